"""Known items as a set: the binary matrix of the closed forms has no repetitions."""

import torch

from automl_rec.plugin import Requests


def distinct(requests: Requests, num_items: int) -> Requests:
    """The requests with every known item once a user, in the order of item numbers."""
    users = len(requests)
    owners = torch.repeat_interleave(torch.arange(users), requests.indptr.diff())
    known = torch.unique(owners * num_items + requests.items)  # (E',) sorted
    starts = torch.arange(users + 1) * num_items
    return Requests(requests.users, torch.searchsorted(known, starts), known % num_items)
