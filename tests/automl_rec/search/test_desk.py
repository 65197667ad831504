"""The desk of a study: its word reaches who asks, its files stay in their folders."""

import asyncio
from pathlib import Path

import pytest

from automl_rec.errors import StorageError
from automl_rec.search.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "artefacts", tmp_path / "trainings")


def test_an_answer_waits_until_it_is_told_and_is_the_same_when_asked_again(desk: Desk) -> None:
    async def ask() -> list[bool]:
        early = asyncio.create_task(desk.answer("run", 1))
        other = asyncio.create_task(desk.answer("run", 2))
        await asyncio.sleep(0.01)
        assert not early.done()
        await desk.tell("run", 1, True)
        await asyncio.sleep(0.01)
        assert early.done()
        assert not other.done()
        await desk.tell("run", 2, False)
        # What was told stays: a trial that is run again asks again.
        await desk.tell("run", 2, True)
        return [await early, await other, await desk.answer("run", 1), await desk.answer("run", 2)]

    assert asyncio.run(ask()) == [True, False, True, False]


def test_who_no_longer_waits_does_not_take_the_answer_with_it(desk: Desk) -> None:
    async def ask() -> bool:
        gone = asyncio.create_task(desk.answer("run", 1))
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        await desk.tell("run", 1, True)
        return await desk.answer("run", 1)

    assert asyncio.run(ask())


def test_a_run_is_large_until_it_has_ended(desk: Desk) -> None:
    async def ask() -> list[dict[str, int]]:
        await desk.complain("run", 7)
        before = dict(await desk.large())
        await desk.forget("run")
        return [before, dict(await desk.large())]

    assert asyncio.run(ask()) == [{"run": 7}, {}]


def test_files_are_kept_where_the_study_looks_for_them(desk: Desk, tmp_path: Path) -> None:
    assert asyncio.run(desk.training("trial")) is None
    asyncio.run(desk.keep_training("trial", b"one"))
    asyncio.run(desk.keep_training("trial", b"two"))
    assert asyncio.run(desk.training("trial")) == b"two"
    assert (tmp_path / "trainings/trial").read_bytes() == b"two"
    path = Path(asyncio.run(desk.keep_model("run", b"model")))
    assert path == tmp_path / "artefacts/run/model.safetensors"
    assert path.read_bytes() == b"model"
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "model.safetensors",
        "trial",
    ]


@pytest.mark.parametrize("name", ["..", "../trial", "/etc/passwd", "a/b", ""])
def test_no_name_leads_out_of_the_folders(desk: Desk, tmp_path: Path, name: str) -> None:
    for asked in (
        desk.training(name),
        desk.keep_training(name, b"x"),
        desk.keep_model(name, b"x"),
    ):
        with pytest.raises(StorageError, match="must have a plain name"):
            asyncio.run(asked)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    desk = Desk(tmp_path / "file" / "artefacts", tmp_path)
    with pytest.raises(StorageError, match=r"could not be written .* --out"):
        asyncio.run(desk.keep_model("run", b"x"))
