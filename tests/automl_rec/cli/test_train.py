"""``automl-rec train``: one configuration, in one go or several."""

from pathlib import Path

import pytest

from automl_rec.cli import main

EVENTS = "user,item\n" + "".join(f"u{u},i{(u * u + n) % 40}\n" for u in range(60) for n in range(9))
SPACE = """data: {path: events.csv}
objectives: [ndcg@5, bytes]
model: {bpr-mf: {width: 8, epochs: EPOCHS, patience: 1000, learning_rate: 0.01}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "events.csv").write_text(EVENTS)
    return tmp_path


def write_space(folder: Path, epochs: int) -> Path:
    path = folder / "one.yaml"
    fixed = {
        "regularization": 1e-4,
        "negatives": 1,
        "sampler": "uniform",
        "draw": "edge",
        "batch_size": 512,
        "evaluate_every": 1,
    }
    values = "".join(f", {name}: {value}" for name, value in fixed.items())
    text = SPACE.replace("EPOCHS", str(epochs)).replace("0.01}", f"0.01{values}}}")
    path.write_text(text)
    return path


@pytest.mark.slow
def test_a_training_that_time_stopped_is_exported_and_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, checkpoint = write_space(folder, 1000), folder / "checkpoint"
    parts = ["train", str(space), "--checkpoint", str(checkpoint), "--timeout", "1s", "--out"]
    assert main([*parts, str(folder / "first")]) == 0
    assert f"the same command goes on from {checkpoint}." in capsys.readouterr().out
    before = checkpoint.read_bytes()
    assert main([*parts, str(folder / "second")]) == 0
    assert checkpoint.read_bytes() != before
    assert (folder / "first" / "model.safetensors").is_file()
    assert (folder / "second" / "model.safetensors").is_file()


def test_a_training_that_time_stopped_for_good_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(folder / "model")
    assert main(["train", str(write_space(folder, 1000)), "--timeout", "100ms", "--out", out]) == 0
    shown = capsys.readouterr().out
    assert "Stopped by --timeout; the best epoch so far is exported, and without" in shown


def test_a_training_too_short_to_be_kept_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, out = folder / "checkpoint", str(folder / "model")
    parts = ["train", str(write_space(folder, 1000)), "--checkpoint", str(checkpoint)]
    assert main([*parts, "--timeout", "0.000001", "--out", out]) == 0
    assert not checkpoint.exists()
    assert f"nothing was validated in time, so {checkpoint} is not there" in capsys.readouterr().out


def test_the_checkpoint_of_another_configuration_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = folder / "checkpoint"
    for epochs, status in ((2, 0), (3, 1)):
        parts = ["train", str(write_space(folder, epochs)), "--checkpoint", str(checkpoint)]
        assert main([*parts, "--out", str(folder / f"model{epochs}")]) == status
    assert "this is the training of another configuration" in capsys.readouterr().err
    assert not (folder / "model3").exists()


def test_the_checkpoint_of_a_training_by_another_quality_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space, checkpoint = write_space(folder, 2), folder / "checkpoint"
    parts = ["train", str(space), "--checkpoint", str(checkpoint), "--out"]
    assert main([*parts, str(folder / "by_ndcg")]) == 0
    space.write_text(space.read_text().replace("ndcg@5", "recall@5"))
    assert main([*parts, str(folder / "by_recall")]) == 1
    assert "another first quality" in capsys.readouterr().err
    assert not (folder / "by_recall").exists()
