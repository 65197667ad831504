import pytest

from automl_rec.space.units import parse_bytes, parse_seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4MB", 4_000_000),
        ("512 kB", 512_000),
        ("1MiB", 1_048_576),
        ("1.5KiB", 1536),
        (".5 kB", 500),
        ("7B", 7),
        ("2GB", 2_000_000_000),
    ],
)
def test_bytes_count_in_thousands_or_in_1024s(text: str, expected: float) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text", ["", "4", "MB", "4 mb", "4M", "-4MB", "4MB 2kB", "1e3kB", "4 apples"]
)
def test_what_is_no_amount_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("3m", 180), ("2min", 120), ("1h", 3600), ("1h 30m", 5400), ("1h30m", 5400),
     ("500ms", 0.5), ("1.5h", 5400), ("1d", 86400)],
)  # fmt: skip
def test_durations_are_seconds(text: str, expected: float) -> None:
    assert parse_seconds(text) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("text", ["", "3", "m", "3 weeks", "-3m", "3m, 2s", "1:30"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_seconds(text)
