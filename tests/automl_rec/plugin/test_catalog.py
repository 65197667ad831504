from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_rec.plugin import Catalog, Histories


def two_users() -> Histories:
    indptr = np.array([0, 3, 6], np.int64)
    items = np.array([5, 1, 3, 2, 0, 2], np.int32)
    for array in (indptr, items):
        array.setflags(write=False)
    return Histories(indptr, items)


def test_the_matrix_leaves_histories_in_their_order_and_reads_memory_it_must_not_write() -> None:
    histories = two_users()
    histories.matrix(7)
    assert histories.items.tolist() == [5, 1, 3, 2, 0, 2]


def test_the_matrix_is_binary_with_sorted_columns_and_merged_repeats() -> None:
    matrix = two_users().matrix(7)
    assert matrix.toarray().tolist() == [[0, 1, 0, 1, 0, 1, 0], [1, 0, 1, 0, 0, 0, 0]]
    assert matrix.indices.tolist() == [1, 3, 5, 0, 2]


def test_counts_are_of_different_users_and_items() -> None:
    catalog = Catalog(7, two_users())
    assert catalog.item_counts.tolist() == [1, 1, 1, 1, 0, 1, 0]
    assert catalog.user_counts.tolist() == [3, 2]


class Making:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> dict[str, np.ndarray[Any, Any]]:
        self.asked += 1
        return {"squares": np.arange(1000) ** 2, "one": np.array(1, np.uint8)}


def derived(folder: Path | None, make: Making, name: str = "squares 1") -> None:
    found = Catalog(7, two_users(), folder=folder).derived(name, make)
    assert found["squares"].tolist() == [n**2 for n in range(1000)]
    assert found["one"].dtype == np.uint8


def test_what_is_derived_is_computed_once_a_catalog_and_once_a_folder(tmp_path: Path) -> None:
    make, catalog = Making(), Catalog(7, two_users())
    assert catalog.derived("squares 1", make) is catalog.derived("squares 1", make)
    assert make.asked == 1
    for _ in range(3):
        derived(tmp_path / "derived", make)
    assert make.asked == 2
    derived(tmp_path / "derived", make, "squares 2")
    assert make.asked == 3
    derived(None, make)
    assert make.asked == 4


def test_names_of_what_is_derived_never_name_files(tmp_path: Path) -> None:
    derived(tmp_path / "derived", Making(), "../../outside\0")
    assert [path.name for path in tmp_path.iterdir()] == ["derived"]
    (file,) = (tmp_path / "derived").iterdir()
    assert set(file.stem) <= set("0123456789abcdef")


@pytest.mark.parametrize("damage", ["empty", "cut", "changed", "text", "pickle"])
def test_a_damaged_file_is_computed_anew(tmp_path: Path, damage: str) -> None:
    make = Making()
    derived(tmp_path, make)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 255
    if damage == "pickle":
        np.savez(file, squares=np.array([object()]), allow_pickle=True)
    else:
        wrong = {"empty": b"", "cut": content[:500], "changed": bytes(changed), "text": b"text"}
        file.write_bytes(wrong[damage])
    derived(tmp_path, make)
    derived(tmp_path, make)
    assert make.asked == 2


def test_where_nothing_can_be_written_it_is_computed_each_time(tmp_path: Path) -> None:
    make, file = Making(), tmp_path / "a file"
    file.write_bytes(b"")
    derived(file, make)
    derived(file, make)
    assert make.asked == 2
    assert file.read_bytes() == b""
