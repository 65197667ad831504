from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_rec.plugin import Requests
from automl_rec_models.collaborative.distinct import distinct


@given(st.lists(st.lists(st.integers(0, 6), max_size=9), max_size=6))
def test_every_user_keeps_the_set_of_his_items(lists: list[list[int]]) -> None:
    indptr = np.concatenate([[0], np.cumsum([len(items) for items in lists])]).astype(np.int64)
    items = torch.tensor([item for items in lists for item in items], dtype=torch.int64)
    users = torch.arange(len(lists))
    known = distinct(Requests(users, torch.from_numpy(indptr), items), 7)
    bounds = known.indptr.tolist()
    sets = [known.items[low:high].tolist() for low, high in pairwise(bounds)]
    assert sets == [sorted(set(items)) for items in lists]
    assert known.users is users
