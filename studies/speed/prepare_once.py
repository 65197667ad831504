"""Prepares data in a fresh process: prepare_once.py REQUEST CACHE, the request as JSON."""

import json
import sys
import time

from automl_rec.data import DataRequest, prepare
from studies.processes import peak_bytes


def main() -> None:
    request, cache = DataRequest(**json.loads(sys.argv[1])), sys.argv[2]
    wall, processor = time.perf_counter(), time.process_time()
    folder = str(prepare(request, cache).folder)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    found = {"folder": folder, "wall": wall, "processor": processor, "peak": peak_bytes()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
