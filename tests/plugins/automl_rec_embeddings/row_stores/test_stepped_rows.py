import pytest
import torch

from automl_rec.plugin import DenseMatrix, Precision, Use
from automl_rec_embeddings.row_stores.stepped_rows import SteppedRows, stochastic_round

ROWS, WIDTH = 20, 6
STEP = 4 * 0.1 / 127
"""Of fresh rows of 8 bits and deviation 0.1."""
INTEGERS: tuple[tuple[Precision, int], ...] = (("int4", 7), ("int8", 127), ("int16", 32767))


def store(precision: Precision = "int8") -> SteppedRows:
    made = SteppedRows("item.store", ROWS, WIDTH, Use(), precision)
    made.initialise(0.0, 0.1, torch.Generator().manual_seed(0))
    made.begin(torch.Generator().manual_seed(1))
    return made


def steps_of(made: SteppedRows) -> torch.Tensor:
    assert made.steps is not None
    return made.steps.detach()


@pytest.mark.parametrize(("precision", "largest"), INTEGERS)
def test_what_is_read_is_the_nearest_multiple_of_the_step(
    precision: Precision, largest: int
) -> None:
    made = store(precision)
    exact, read, steps = made.weight.trainable, made.rows(), steps_of(made)[:, None]
    integers = read / steps
    assert torch.allclose(integers, integers.round(), atol=1e-6 * largest)
    assert ((read - exact).abs() <= steps / 2 * (1 + 1e-5)).all()
    assert torch.equal(made.read(torch.tensor([3, 3, 0])), read[[3, 3, 0]])


def test_the_largest_integer_of_a_fresh_row_stands_for_four_deviations() -> None:
    assert steps_of(store("int8")).tolist() == pytest.approx([STEP] * ROWS)
    assert steps_of(store("int4")).tolist() == pytest.approx([0.4 / 7] * ROWS)


def test_a_row_has_the_slopes_of_what_is_read() -> None:
    made, weights = store(), torch.arange(2.0 * WIDTH).reshape(2, WIDTH)
    (made.read(torch.tensor([4, 9])) * weights).sum().backward()
    assert made.weight.trainable.grad is not None
    assert torch.equal(made.weight.trainable.grad[[4, 9]], weights)


def test_a_step_has_the_slope_of_the_rounding_errors_it_scales() -> None:
    made = store()
    with torch.no_grad():
        made.weight.trainable[2] = STEP * torch.tensor([1.4, -0.6, 0.0, 900, -900, 127])
        made.weight.trainable[3] = 0.0
    made.read(torch.tensor([2])).sum().backward()
    assert made.steps is not None
    assert made.steps.grad is not None
    # 1 - 1.4, -1 + 0.6, 0; out of reach: 127 and -127; at its end: 127 - 127
    assert made.steps.grad[2].item() == pytest.approx(-0.4 - 0.4, abs=1e-4)
    assert made.steps.grad[3].item() == 0.0


def test_stochastic_rounding_has_the_value_as_its_mean() -> None:
    values = torch.full((200_000,), 0.3)
    rounded = stochastic_round(values, torch.Generator().manual_seed(0))
    assert set(rounded.unique().tolist()) == {0.0, 1.0}
    assert rounded.mean().item() == pytest.approx(0.3, abs=0.002)
    below = stochastic_round(-values, torch.Generator().manual_seed(0))
    assert below.mean().item() == pytest.approx(-0.3, abs=0.002)


def test_only_rows_with_slopes_are_put_onto_the_grid() -> None:
    made = store()
    before = made.weight.trainable.detach().clone()
    made.read(torch.tensor([5, 11])).sum().backward()
    made.write_back()
    after, touched = made.weight.trainable.detach(), [5, 11]
    others = [row for row in range(ROWS) if row not in touched]
    assert torch.equal(after[others], before[others])
    integers = after[touched] / STEP
    assert torch.allclose(integers, integers.round(), atol=1e-4)
    assert ((after - before)[touched].abs() < STEP).all()
    assert torch.equal(made.rows().detach()[touched], after[touched])


def test_write_backs_repeat_from_their_state_and_differ_from_each_other() -> None:
    first, second = store(), store()
    first.rows().sum().backward()
    second.rows().sum().backward()

    def rounded(made: SteppedRows) -> torch.Tensor:
        with torch.no_grad():
            made.weight.trainable.fill_(0.0137)
        made.write_back()
        return made.weight.trainable.detach().clone()

    once = rounded(first)
    second.load_state_dict(first.state_dict())
    again = rounded(first)
    assert not torch.equal(once, again)
    assert torch.equal(again, rounded(second))


def test_steps_move_against_their_slopes_by_a_share_and_stay_positive() -> None:
    made = store()
    slopes = torch.zeros(ROWS)
    slopes[1], slopes[2] = 3e-12, -5.0
    made.learn(slopes, rate=0.1)
    expected = [STEP] * ROWS
    expected[1], expected[2] = (
        0.9 * STEP,
        1.1 * STEP,
    )  # the first step of Adam has the length of its rate
    assert steps_of(made).tolist() == pytest.approx(expected, rel=1e-4)
    for _ in range(200):
        made.learn(slopes, rate=0.1)
    assert steps_of(made)[1] > 0
    assert steps_of(made)[0].item() == pytest.approx(STEP)


def test_steps_that_are_too_large_shrink_until_errors_do() -> None:
    made = store("int4")
    targets = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(2)) * 0.3
    with torch.no_grad():
        made.weight.trainable.copy_(targets)
        assert made.steps is not None
        made.steps.fill_(0.3)
    first = (made.rows() - targets).square().sum().item()
    for _ in range(300):
        made.steps.grad = None
        (made.rows() - targets).square().sum().backward()
        assert made.steps.grad is not None
        made.learn(made.steps.grad, rate=0.01)
    assert (made.rows() - targets).square().sum().item() < first / 2


@pytest.mark.parametrize(
    ("precision", "stored", "size"),
    [
        ("int4", torch.uint8, ROWS * 3 + ROWS * 4),
        ("int8", torch.int8, ROWS * 6 + ROWS * 4),
        ("int16", torch.int16, ROWS * 12 + ROWS * 4),
    ],
)
def test_a_settled_store_holds_integers_and_steps_alone(
    precision: Precision, stored: torch.dtype, size: int
) -> None:
    made = store(precision)
    read = made.rows().detach()
    made.weight.freeze()
    made.settle()
    matrix = made.weight.matrix
    assert isinstance(matrix, DenseMatrix)
    assert matrix.values.dtype == stored
    assert sum(tensor.nbytes for tensor in made.state_dict().values()) == size
    assert made.weight.price() == matrix.form()
    assert torch.equal(made.rows(), read), "what was read is what is served"


def test_assigned_rows_are_exact_until_they_are_settled_with_steps_that_fit() -> None:
    made = store()
    rows = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(3))
    rows[7] = 0.0
    made.assign(rows)
    assert torch.equal(made.rows(), rows)
    made.weight.freeze()
    made.settle()
    fitted = rows.abs().amax(1, keepdim=True) / 127
    assert ((made.rows() - rows).abs() <= fitted / 2 * (1 + 1e-4)).all()


def test_assigned_rows_that_are_trained_have_steps_to_grow_in() -> None:
    made = store()
    rows = torch.full((ROWS, WIDTH), 2.54)
    rows[0] = 0.0
    made.assign(rows)
    made.begin(torch.Generator().manual_seed(1))
    assert steps_of(made).tolist() == pytest.approx([STEP] + [0.02] * (ROWS - 1))
    assert made.rows().isfinite().all()


@pytest.mark.parametrize("whole", [7.0, 127.0, 32766.0, 32767.0, -32767.0])
def test_stochastic_rounding_leaves_integers_where_they_are(whole: float) -> None:
    values = torch.full((1_000_000,), whole)
    assert torch.equal(stochastic_round(values, torch.Generator().manual_seed(0)), values)


def test_stochastic_rounding_of_large_values_has_the_value_as_its_mean() -> None:
    values = torch.full((1_000_000,), 30000.0 + 2**-9)  # the finest float32 there
    rounded = stochastic_round(values, torch.Generator().manual_seed(0))
    assert rounded.sub(30000.0).mean().item() == pytest.approx(2**-9, abs=2e-4)
