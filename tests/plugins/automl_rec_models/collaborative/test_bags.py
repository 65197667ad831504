import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl_rec_models.collaborative.bags import Bags

OWNERS = torch.tensor([0, 0, 0, 2, 2, 3])
MEMBERS = torch.tensor([1, 4, 1, 0, 4, 2])


def bags() -> Bags:
    """Four owners, of whom the second has nothing, and five rows, of which one is in no bag."""
    return Bags(OWNERS, MEMBERS, 4, 5)


def matrix(weights: Tensor) -> Tensor:
    """The same as a dense matrix (B, M)."""
    return torch.zeros(4, 5).index_put((OWNERS, MEMBERS), weights, accumulate=True)


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


def slopes(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    above = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad(result, inputs, above))


def test_sums_and_their_slopes_are_those_of_a_dense_matrix() -> None:
    inputs = tensors((5, 3), (6,))
    rows, weights = inputs
    ours, dense = bags().sums(rows, weights), matrix(weights) @ rows
    torch.testing.assert_close(ours, dense)
    torch.testing.assert_close(slopes(ours, inputs), slopes(dense, inputs))


def test_products_and_their_slopes_are_those_of_gathered_rows() -> None:
    inputs = tensors((5, 3), (4, 3))
    rows, vectors = inputs
    ours, gathered = bags().products(rows, vectors), (rows[MEMBERS] * vectors[OWNERS]).sum(1)
    torch.testing.assert_close(ours, gathered)
    torch.testing.assert_close(slopes(ours, inputs), slopes(gathered, inputs))


def test_softmax_is_that_of_each_bag_alone() -> None:
    (logits,) = tensors((6,))
    expected = torch.cat([logits[:3].softmax(0), logits[3:5].softmax(0), torch.ones(1)])
    ours = bags().softmax(logits)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(slopes(ours, [logits]), slopes(expected, [logits]))


def test_softmax_bears_large_logits() -> None:
    shares = bags().softmax(torch.tensor([1e4, 1e4, -1e4, -1e4, -1e4, 0.0]))
    assert shares.tolist() == [0.5, 0.5, 0.0, 0.5, 0.5, 1.0]


def test_without_entries_everything_is_zero() -> None:
    nothing = torch.empty(0, dtype=torch.int64)
    empty = Bags(nothing, nothing, 2, 3)
    rows, vectors = tensors((3, 4), (2, 4))
    assert torch.equal(empty.sums(rows, torch.empty(0)), torch.zeros(2, 4))
    assert len(empty.softmax(empty.products(rows, vectors))) == 0


@given(st.lists(st.lists(st.integers(0, 6), max_size=4), min_size=1, max_size=5))
def test_any_bags_sum_what_they_hold(lists: list[list[int]]) -> None:
    owners = torch.tensor([b for b, items in enumerate(lists) for _ in items], dtype=torch.int64)
    members = torch.tensor([item for items in lists for item in items], dtype=torch.int64)
    rows = torch.arange(7.0)[:, None] ** 2
    sums = Bags(owners, members, len(lists), 7).sums(rows, torch.ones(len(members)))
    assert sums.squeeze(1).tolist() == [sum(item**2 for item in items) for items in lists]
