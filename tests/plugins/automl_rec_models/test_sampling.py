import math

import numpy as np
import pytest

from automl_rec.plugin import Catalog, Histories, Sampling
from automl_rec_models.sampling import Draw, log_shares, pair_sampling


@pytest.mark.parametrize(
    ("draw", "shares"),
    [("edge", [1 / 4, 2 / 4, 1 / 4]), ("user", [1 / 6, 1 / 6 + 1 / 2, 1 / 6])],
)
def test_shares_of_items_are_those_of_the_positives_drawn(draw: Draw, shares: list[float]) -> None:
    """One user met items 0, 1 and 2, one met 1 twice, one nothing; nobody met 3."""
    histories = Histories(np.array([0, 3, 5, 5]), np.array([2, 0, 1, 1, 1], np.int32))
    logs = log_shares(Catalog(4, histories), draw)
    assert logs[:3].tolist() == pytest.approx([math.log(share) for share in shares])
    assert logs[3].isfinite()
    assert logs[3] < logs[:3].min()


def test_one_name_says_that_negatives_are_shared() -> None:
    assert pair_sampling(9, "shared-uniform", draw="user") == Sampling(
        negatives=9, sampler="uniform", shared=True, draw="user"
    )
    assert pair_sampling(2, "popularity", 0.5) == Sampling(
        negatives=2, sampler="popularity", exponent=0.5
    )
