"""movielens-1m and frappe: an epoch of every model and its memory, beside RecBole's."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studies import places, processes
from studies.speed.figure import Figure
from studies.speed.fresh import fresh

RECBOLE_EPOCH = Path(__file__).with_name("recbole_epoch.py")
MOST_RATIO = 1 / 3
SECONDS, QUICK_SECONDS = 15.0, 3.0
"""What RecBole gets for an epoch; a longer one is counted up from its batches."""
PROFILED = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of ours and, where RecBole has it, its name and settings there."""

    ours: str
    values: dict[str, Any] = field(default_factory=dict)
    recbole: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""


NO_NEGATIVES = {"train_neg_sample_args": None}
RETRIEVAL = (
    Entry("ease", {}, "EASE"),
    Entry("item-knn", {}, "ItemKNN"),
    Entry("rp3beta"),
    Entry("user-knn"),
    Entry("ials"),
    Entry("fastrp"),
    Entry("bpr-mf", {}, "BPR"),
    Entry("mf"),
    Entry("rel-mf"),
    Entry("lightgcn", {}, "LightGCN", {"n_layers": 3}),
    Entry(
        "simplex",
        {"history": "mean", "length": 50, "shared_negatives": 500},
        "SimpleX",
        {},
        "500 negatives: of a batch with us, of each positive with RecBole",
    ),
    Entry("ultragcn"),
    Entry("two-tower"),
    Entry(
        "sasrec",
        {"length": 50},
        "SASRec",
        {"MAX_ITEM_LIST_LENGTH": 50, **NO_NEGATIVES},
        "RecBole learns every prefix of a history on its own, ours all positions of one at once",
    ),
    Entry(
        "gru",
        {"length": 50},
        "GRU4Rec",
        {"MAX_ITEM_LIST_LENGTH": 50, **NO_NEGATIVES},
        "RecBole learns every prefix of a history on its own, ours all positions of one at once",
    ),
    Entry("comirec-sa"),
    Entry("comirec-dr"),
)
RANKING = (
    Entry("lr", {}, "LR"),
    Entry("fm", {}, "FM"),
    Entry("deepfm", {}, "DeepFM"),
    Entry("dcn-v2", {}, "DCNV2"),
    Entry("dlrm"),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One data set, prepared for both."""

    name: str
    folder: Path
    prepared: str
    seconds: float
    settings: dict[str, Any]

    def compare(self, entry: Entry) -> float:
        """Tells both sides of an entry, in turn; gives the seconds of ours."""
        values = json.dumps(entry.values)
        found = fresh("our_epoch", self.prepared, entry.ours, values, "plain")
        peer = None if entry.recbole is None else self._recbole(entry)
        times = (found["epoch"],), ((peer["epoch"],) if peer else ())
        notes = [entry.note] if entry.note else []
        if peer and peer["share"] < 1:
            notes.append(f"RecBole: counted up from {peer['share']:.1%} of an epoch")
        what = f"{self.name}, {entry.ours}"
        most = MOST_RATIO if peer else None
        Figure(f"{what}, an epoch", "s", *times, most=most, note="; ".join(notes)).emit()
        peaks = (found["peak"],), ((peer["peak"],) if peer else ())
        Figure(f"{what}, peak memory", "B", *peaks).emit()
        return float(found["epoch"])

    def _recbole(self, entry: Entry) -> dict[str, float]:
        settings = json.dumps({**self.settings, **entry.settings})
        command = [places.recbole_python(), RECBOLE_EPOCH, self.folder, self.name]
        command += [entry.recbole, self.seconds, settings]
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, check=True, capture_output=True, text=True
        )
        line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
        told: dict[str, float] = json.loads(line.removeprefix("FOUND "))
        return told


def movielens(folder: Path, seconds: float) -> Bench:
    """All events of movielens-1m; the order of a user's items in the file stands for time."""
    source = places.data("movielens-1m")
    rows = [
        (user, item)
        for part in ("train", "valid", "test")
        for line in (source / f"lightgcnpp_{part}.txt").read_text().splitlines()
        for user, *items in [line.split()]
        for item in items
    ]
    lines = [f"{user}\t{item}\t{time}" for time, (user, item) in enumerate(rows)]
    name = "movielens-1m"
    header = "user_id:token\titem_id:token\ttimestamp:float"
    path = _atomic(folder, name, header, lines)
    prepared = _prepared({"path": str(path)}, folder)
    settings = {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {
            "split": {"LS": "valid_and_test"},
            "order": "TO",
            "group_by": "user",
            "mode": "full",
        },
    }
    return Bench(name, folder, prepared, seconds, settings)


def frappe(folder: Path, seconds: float) -> Bench:
    """The train rows of frappe: ten categorical fields."""
    source = places.data("frappe")
    header, *rows = (source / "train.csv").read_text().splitlines()
    label, *fields = header.split(",")
    names = [f"{name}:token" for name in fields]
    path = _atomic(
        folder,
        "frappe",
        "\t".join([f"{label}:float", *names]),
        [row.replace(",", "\t") for row in rows],
    )
    assert path.is_file()
    request: dict[str, Any] = {
        part: str(source / f"{file}.csv")
        for part, file in (("train", "train"), ("validation", "valid"), ("test", "test"))
    }
    request |= {"task": "ranking", "fields": dict.fromkeys(fields, "categorical")}
    prepared = _prepared(request, folder)
    settings = {
        "USER_ID_FIELD": "user",
        "ITEM_ID_FIELD": "item",
        "LABEL_FIELD": label,
        "load_col": {"inter": [label, *fields]},
        "eval_args": {
            "split": {"RS": [0.98, 0.01, 0.01]},
            "order": "RO",
            "group_by": None,
            "mode": "labeled",
        },
        "train_neg_sample_args": None,
        "train_batch_size": 4096,
        "metrics": ["AUC", "LogLoss"],
        "valid_metric": "AUC",
        "embedding_size": 10,
    }
    return Bench("frappe", folder, prepared, seconds, settings)


def _atomic(folder: Path, name: str, header: str, lines: list[str]) -> Path:
    path = folder / name / f"{name}.inter"
    path.parent.mkdir()
    path.write_text("\n".join([header, *lines, ""]))
    return path


def _prepared(request: dict[str, Any], folder: Path) -> str:
    return str(fresh("prepare_once", json.dumps(request), folder / "cache")["folder"])


def main() -> None:
    places.recbole_python()
    quick = "--quick" in sys.argv
    seconds = QUICK_SECONDS if quick else SECONDS
    with tempfile.TemporaryDirectory() as name:
        benches = (
            (movielens(Path(name), seconds), RETRIEVAL),
            (frappe(Path(name), seconds), RANKING),
        )
        slowest = sorted(
            (
                (bench.compare(entry), number, bench, entry)
                for number, (bench, entry) in enumerate(
                    (bench, entry) for bench, entries in benches for entry in entries
                )
            ),
            key=lambda found: -found[0],
        )
        for *_, bench, entry in slowest[:PROFILED]:
            print(f"{entry.ours}:", file=sys.stderr, flush=True)
            values = json.dumps(entry.values)
            processes.run("studies.speed.our_epoch", bench.prepared, entry.ours, values, "profile")


if __name__ == "__main__":
    main()
