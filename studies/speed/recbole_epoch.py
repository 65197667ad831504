"""An epoch of a RecBole model: recbole_epoch.py FOLDER SET MODEL SECONDS SETTINGS.

Run by an interpreter with RecBole 1.2.1; tells processor seconds and peak memory. An epoch that
would take longer than SECONDS is left after that many, and counted up from the batches done. A
model that is solved is so when it is built.
"""

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
warnings.filterwarnings("ignore")

from recbole.config import Config  # noqa: E402
from recbole.data import create_dataset, data_preparation  # noqa: E402
from recbole.utils import ModelType, get_model, get_trainer, init_seed  # noqa: E402

WARM_UP = 2
"""Batches before the clock starts."""


class Timed:
    """The batches of an epoch, as many as time allows."""

    def __init__(self, batches: Any, seconds: float) -> None:
        self._batches, self._seconds = batches, seconds
        self.done = 0
        self.started: float | None = None

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._batches):
            if number == WARM_UP:
                self.started = time.process_time()
            self.done = number - WARM_UP
            if self.started is not None and time.process_time() - self.started > self._seconds:
                return
            yield batch
        self.done = number + 1 - WARM_UP

    def __len__(self) -> int:
        return len(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)


def peak_bytes() -> int:
    with open("/proc/self/status") as status:  # noqa: PTH123
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(folder: str, data: str, name: str, seconds: str, settings: str) -> None:
    given = {
        "data_path": folder,
        "show_progress": False,
        "epochs": 1,
        "state": "ERROR",
        "checkpoint_dir": f"{folder}/saved",
        "train_batch_size": 2048,
        **json.loads(settings),
    }
    sys.argv = sys.argv[:1]
    config = Config(model=name, dataset=data, config_dict=given)
    init_seed(0, True)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    started = time.process_time()
    model = get_model(name)(config, train._dataset)  # noqa: SLF001 - as RecBole itself does
    built = time.process_time() - started
    if config["MODEL_TYPE"] == ModelType.TRADITIONAL:
        print("FOUND", json.dumps({"epoch": built, "share": 1.0, "peak": peak_bytes()}))
        return
    trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
    batches = Timed(train, float(seconds))
    trainer._train_epoch(batches, 0, show_progress=False)  # noqa: SLF001 - one epoch alone
    assert batches.started is not None
    spent = time.process_time() - batches.started
    whole = len(train) / max(batches.done, 1)
    found = {"epoch": spent * whole, "share": min(1.0, 1 / whole), "peak": peak_bytes()}
    print("FOUND", json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
