import numpy as np
import pytest
import torch

from automl_rec.plugin import CodebookMatrix, Use
from automl_rec_embeddings.row_stores.word_rows import Vocabulary, WordRows

ROWS, WIDTH, PARTS, WORDS = 40, 6, 3, 8
FREQUENT = np.array([3, 11, 17, 30])


def store(vocabulary: Vocabulary | None = None) -> WordRows:
    vocabulary = vocabulary or Vocabulary(PARTS, WORDS, WORDS)
    made = WordRows("item.store", ROWS, WIDTH, Use(), vocabulary)
    made.initialise(0.0, 0.1, torch.Generator().manual_seed(0))
    made.begin(torch.Generator().manual_seed(1), plain=False)
    return made


def words_of(made: WordRows) -> torch.Tensor:
    assert made.words is not None
    return made.words


def settled(made: WordRows) -> CodebookMatrix:
    made.weight.freeze()
    made.settle()
    assert isinstance(made.weight.matrix, CodebookMatrix)
    return made.weight.matrix


def shares(rows: torch.Tensor) -> torch.Tensor:
    return rows.detach().reshape(len(rows), PARTS, WIDTH // PARTS)


def test_every_part_is_read_as_the_nearest_word() -> None:
    made = store()
    queries, words, read = map(shares, (made.weight.trainable, words_of(made), made.rows()))
    for row in range(ROWS):
        for part in range(PARTS):
            distances = (words[:, part] - queries[row, part]).square().sum(1)
            assert torch.equal(read[row, part], words[distances.argmin(), part])


def test_words_start_as_different_queries() -> None:
    queries, words = store().weight.trainable, words_of(store())
    owners = (words[:, None] == queries[None]).all(-1).nonzero()
    assert owners[:, 0].tolist() == [*range(WORDS)]
    assert len(owners[:, 1].unique()) == WORDS


def test_slopes_go_to_the_word_and_straight_through_to_the_query() -> None:
    made, slope = store(), torch.arange(1.0, WIDTH + 1)
    (made.read(torch.tensor([5])) * slope).sum().backward()
    assert made.weight.trainable.grad is not None
    assert torch.equal(made.weight.trainable.grad[5], slope)
    assert torch.equal(made.weight.trainable.grad.abs().sum(1).nonzero()[:, 0], torch.tensor([5]))
    gradient = words_of(made).grad
    assert gradient is not None
    assert torch.equal(gradient.sum(0), slope)
    assert int(gradient.count_nonzero()) == WIDTH, "of each part one word"


def test_the_distance_is_the_mean_of_what_was_read_and_pulls_both_ends() -> None:
    made, ids = store(), torch.tensor([2, 9, 9])
    made.read(torch.tensor([1]))  # before it listens
    made.listen(0.25)
    read = made.read(ids)
    expected = (read - made.weight.trainable[ids]).detach()  # (3, D)
    distance = made.distance()
    assert distance.item() == pytest.approx(1.25 * expected.square().sum(1).mean().item())
    distance.backward()
    assert made.weight.trainable.grad is not None
    moved = -0.25 * 2 / 3 * (expected[1] + expected[2])
    assert torch.allclose(made.weight.trainable.grad[9], moved, atol=1e-7)
    gradient = words_of(made).grad
    assert gradient is not None
    assert torch.allclose(gradient.sum(0), 2 / 3 * expected.sum(0), atol=1e-7)


def test_words_that_nothing_read_restart_as_queries_and_others_stay() -> None:
    made = store()
    with torch.no_grad():
        words_of(made)[4:] += 100.0
    made.listen(0.25)
    made.rows()
    before = words_of(made).detach().clone()
    used = [
        [
            bool((shares(made.rows())[:, part] == shares(before)[word, part]).all(-1).any())
            for part in range(PARTS)
        ]
        for word in range(WORDS)
    ]
    made.restart()
    after, queries = shares(words_of(made)), shares(made.weight.trainable)
    for word in range(WORDS):
        for part in range(PARTS):
            if used[word][part]:
                assert torch.equal(after[word, part], shares(before)[word, part])
            else:
                assert (queries[:, part] == after[word, part]).all(-1).any()
    assert not all(map(all, used))


def test_what_is_read_is_what_is_served() -> None:
    made = store()
    read = made.rows().detach()
    matrix = settled(made)
    assert torch.equal(made.rows(), read)
    assert matrix.codes.dtype == torch.uint8
    assert int(matrix.codes.max()) < WORDS
    stored = sum(tensor.nbytes for tensor in made.state_dict().values())
    assert stored == ROWS * PARTS + WORDS * WIDTH * 4
    assert made.weight.price() == matrix.form()


def test_rare_rows_have_the_first_words_alone() -> None:
    made = store(Vocabulary(PARTS, WORDS, 2, FREQUENT))
    assert made.common is not None
    assert made.common.nonzero()[:, 0].tolist() == FREQUENT.tolist()
    codes = settled(made).codes
    rare = np.setdiff1d(np.arange(ROWS), FREQUENT)
    assert int(codes[rare].max()) < 2
    assert int(codes[FREQUENT].max()) >= 2


def test_words_of_frequent_rows_start_and_restart_as_their_queries() -> None:
    made = store(Vocabulary(PARTS, WORDS, 4, FREQUENT))
    for _ in range(2):
        frequent = made.weight.trainable.detach()[FREQUENT]
        owners = (words_of(made)[4:, None] == frequent[None]).all(-1).any(1)
        assert owners.all()
        made.restart()  # nothing was read


def test_as_many_words_as_rows_store_any_rows() -> None:
    made = store(Vocabulary(PARTS, ROWS, ROWS))
    rows = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(2))
    made.assign(rows)
    settled(made)
    assert torch.allclose(made.rows(), rows, atol=1e-6)


def test_words_found_for_rows_are_nearer_than_drawn_ones_and_not_given_up_for_worse() -> None:
    rows = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(2))
    made = store()
    with torch.no_grad():
        made.weight.trainable.copy_(rows)
        words_of(made).copy_(rows[:WORDS])
    drawn = (made.rows() - rows).norm()
    made.find()
    once = made.rows().detach().clone()
    assert (once - rows).norm() < 0.9 * drawn
    made.assign(once)
    assert torch.allclose(made.rows(), once, atol=1e-6)


def test_queries_are_read_as_they_are_until_there_are_words() -> None:
    made = store()
    made.begin(torch.Generator().manual_seed(1), plain=True)
    assert torch.equal(made.rows(), made.weight.trainable)
    assert torch.equal(made.read(torch.tensor([4])), made.weight.trainable[[4]])
    made.begin(torch.Generator().manual_seed(1), plain=False)
    assert not torch.equal(made.rows(), made.weight.trainable)


def test_a_training_that_ends_among_queries_serves_words_found_for_them() -> None:
    made, found = store(), store()
    made.begin(torch.Generator().manual_seed(1), plain=True)
    found.find()
    settled(made)
    settled(found)
    assert torch.equal(made.rows(), found.rows())
