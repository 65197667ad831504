"""Reasons as they are told."""

from automl_rec.search.reason import commonest


def test_reasons_are_one_where_only_numbers_differ() -> None:
    reasons = ["Another.", "A budget of 0.5 is 1,024 bytes.", "A budget of 3e-05 is 7 bytes."]
    assert commonest(reasons) == ("A budget of 0.5 is 1,024 bytes.", 2)


def test_no_reason_is_none() -> None:
    assert commonest([]) is None
