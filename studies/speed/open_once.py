"""Opens prepared data in a fresh process: open_once.py REQUEST CACHE, the request as JSON."""

import json
import sys
import time
from pathlib import Path

from automl_rec.data import DataRequest, Prepared, prepare


def main() -> None:
    request, cache = DataRequest(**json.loads(sys.argv[1])), sys.argv[2]
    folder = next(Path(cache).iterdir())
    started = time.perf_counter()
    histories = Prepared.open(folder).catalog.histories
    assert histories.indptr[-1] == len(histories.items)
    opened = time.perf_counter()
    prepare(request, cache)
    again = time.perf_counter()
    print(json.dumps({"open": opened - started, "prepare": again - opened}))


if __name__ == "__main__":
    main()
