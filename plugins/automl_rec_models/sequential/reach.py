"""How far back a model of positions reads."""

from automl_rec.plugin import Histories


def reach(histories: Histories, length: int) -> int:
    """``length``, but no more items than the longest of the histories has before its last.

    A position that training never reaches would keep its random start, and be shipped.
    """
    return int(min(length, max(histories.lengths.max(initial=0) - 1, 1)))
