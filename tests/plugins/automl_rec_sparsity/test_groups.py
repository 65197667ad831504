import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import Pattern
from automl_rec_sparsity.groups import largest_of_groups, largest_present


def test_the_largest_of_groups_by_hand() -> None:
    values = torch.tensor([[1.0, -3.0, 2.0, 0.0, 0.0, 5.0]])
    kept = largest_of_groups(values, Pattern(2, 4))
    assert kept.int().tolist() == [[0, 1, 1, 0, 1, 1]], "a narrow group keeps all it has"
    ties = largest_of_groups(torch.ones(1, 4), Pattern(1, 4))
    assert ties.int().tolist() == [[1, 0, 0, 0]], "the first of equals"
    down = largest_of_groups(values.T, Pattern(1, 3, down=True))
    assert down.int().T.tolist() == [[0, 1, 0, 0, 0, 1]]


@given(st.integers(1, 6), st.integers(1, 20), st.integers(0, 999), st.sampled_from([0.5, 1.0]))
def test_those_present_compete_as_all_do(rows: int, columns: int, seed: int, share: float) -> None:
    draws = np.random.default_rng(seed)
    dense = draws.normal(size=(rows, columns)) * (draws.random((rows, columns)) < share)
    matrix, pattern = sp.csr_matrix(dense.astype(np.float32)), Pattern(2, 5)
    kept = largest_present(matrix, pattern)
    expected = largest_of_groups(torch.from_numpy(matrix.toarray()), pattern).numpy()
    assert (expected[matrix.nonzero()] == kept).all()
