"""Times products of single matrices of random values, and writes results/layers.jsonl.

usage: python -m studies.compression.layers [--rounds N]

Each is the matrix that would be served, at its fastest kernel that keeps it compressed; the dense
one takes its turn beside it. Reads are sums of rows, as EASE serves a user's items.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from automl_rec.plugin import (
    BitmapMatrix,
    CsrMatrix,
    DenseMatrix,
    LowRankMatrix,
    Matrix,
    Pattern,
    in_tiles,
    keep,
    part,
)
from automl_rec.plugin.matrices.expanding import ExpandingMatrix, Kernel
from automl_rec.plugin.matrices.sparse import pack
from studies.compression.study import RESULTS

LAYERS = [(64, 64), (128, 128), (256, 512), (1024, 1024)]
"""Rows (outputs) and columns (inputs): of SASRec, of the rankers, and larger ones."""
BATCHES = [1, 64, 1000]
ITEMS, READ = 3628, 100
"""Of the item-item weight of MovieLens 1M, and how many of them a user knows."""
READERS = [1, 64]
DENSITIES = [0.5, 0.2, 0.1, 0.05, 0.01]
PATTERNS = [Pattern(2, 4), Pattern(1, 4), Pattern(1, 8), Pattern(1, 16)]
SHARES = [0.5, 0.25]
RATIOS = [0.25, 0.125]
SIDE = 16
COMPRESSED_KERNELS: tuple[Kernel, ...] = ("scipy", "torch")
SEED = 0
LEAST_SECONDS = 0.001
"""Of one timing."""


class Store(NamedTuple):
    """One way to hold a matrix: its name, its size, and the matrix."""

    name: str
    size: str
    matrix: Matrix

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        return COMPRESSED_KERNELS if isinstance(self.matrix, ExpandingMatrix) else ("dense",)

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.matrix.state_dict().values())


def stores(rows: int, columns: int) -> list[Store]:
    """The dense matrix, then all others."""
    draw = torch.Generator().manual_seed(SEED)
    weight = torch.randn(rows, columns, generator=draw)
    found = [Store("dense", "1", DenseMatrix(weight))]
    for density in DENSITIES:
        kept = torch.rand(rows, columns, generator=draw) < density
        found.append(Store("CSR", f"{density:g}", compressed_rows(weight, kept)))
        bitmap = BitmapMatrix(rows, columns, pack(kept), weight[kept])
        found.append(Store("bitmap", f"{density:g}", bitmap))
        tiles = torch.rand(-(-rows // SIDE), -(-columns // SIDE), generator=draw) < density
        if tiles.any():
            found.append(Store(f"blocks of {SIDE}", f"{density:g}", in_tiles(weight, tiles, SIDE)))
    for pattern in PATTERNS:
        kept = of_groups(weight, pattern)
        found.append(Store("N:M", f"{pattern.kept}:{pattern.of}", keep(weight, kept, pattern)))
    for share in SHARES:
        whole = torch.ones(rows, dtype=torch.bool)
        columns_kept = torch.arange(columns) < share * columns
        found.append(Store("columns kept", f"{share:g}", part(weight, whole, columns_kept)))
    for ratio in RATIOS:
        rank = round(ratio * min(rows, columns))
        factors = (DenseMatrix(torch.randn(size, rank, generator=draw)) for size in (rows, columns))
        found.append(Store("factors", f"{ratio:g}", LowRankMatrix(*factors)))
    return found


def compressed_rows(weight: Tensor, kept: Tensor) -> CsrMatrix:
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), kept.sum(1).cumsum(0)])
    return CsrMatrix(weight.shape[1], starts, kept.nonzero()[:, 1], weight[kept])


def of_groups(weight: Tensor, pattern: Pattern) -> Tensor:
    """The largest N of every M along the rows, as all rows here are multiples of M."""
    groups = weight.abs().reshape(-1, pattern.of)
    places = groups.topk(pattern.kept, dim=1).indices
    kept = torch.zeros(groups.shape, dtype=torch.bool).scatter_(1, places, value=True)
    return kept.reshape(weight.shape)


def microseconds(ask: Callable[[], object]) -> float:
    """Processor time of one answer, the least of several: what else runs here only ever adds."""
    taken: list[float] = []
    while sum(taken) < LEAST_SECONDS or not taken:
        started = time.thread_time()
        ask()
        taken.append(time.thread_time() - started)
    return 1e6 * min(taken)


def product(batch: int) -> Callable[[Matrix], Callable[[], object]]:
    def asked(matrix: Matrix) -> Callable[[], object]:
        x = torch.randn(batch, matrix.columns, generator=torch.Generator().manual_seed(SEED))
        return lambda: matrix.multiply(x)

    return asked


def reading(users: int) -> Callable[[Matrix], Callable[[], object]]:
    def asked(matrix: Matrix) -> Callable[[], object]:
        draw = torch.Generator().manual_seed(SEED)
        ids = torch.randint(matrix.rows, (users * READ,), generator=draw)
        return lambda: matrix.bag(torch.arange(users + 1) * READ, ids)

    return asked


@torch.inference_mode()
def times(
    dense: Matrix, store: Store, asked: Callable[[Matrix], Callable[[], object]], rounds: int
) -> dict[str, Any]:
    """The fastest kernel of a store, and how it does beside the dense matrix."""
    whole, tried = asked(dense), {}
    for kernel in store.kernels:
        if isinstance(store.matrix, ExpandingMatrix):
            store.matrix.kernel = kernel
        own = asked(store.matrix)
        own()  # what is expanded at first use
        tried[kernel] = [(microseconds(whole), microseconds(own)) for _ in range(rounds)]
    fastest = min(tried, key=lambda kernel: min(own for _, own in tried[kernel]))
    gains = [dense_us / own_us for dense_us, own_us in tried[fastest]]
    whole_us, own_us = (min(column) for column in zip(*tried[fastest], strict=True))
    return {
        "kernel": fastest,
        "us": round(own_us, 1),
        "dense_us": round(whole_us, 1),
        "gain": round(whole_us / own_us, 3),
        "middle": round(statistics.median(gains), 3),
        "least": round(min(gains), 3),
        "most": round(max(gains), 3),
    }


def lines(rows: int, columns: int, what: str, batches: list[int], rounds: int) -> list[str]:
    dense, *others = stores(rows, columns)
    found = []
    for batch in batches:
        asked = product(batch) if what == "product" else reading(batch)
        for store in others:
            told = {
                "what": what,
                "rows": rows,
                "columns": columns,
                "batch": batch,
                "store": store.name,
                "size": store.size,
                "bytes": store.bytes,
                "dense_bytes": dense.bytes,
            }
            measured = times(dense.matrix, store, asked, rounds)
            found.append(json.dumps(told | measured | {"load": os.getloadavg()[0]}) + "\n")
        print(f"{what} of {rows} x {columns}, batch {batch}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Times products of single matrices.")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = [line for shape in LAYERS for line in lines(*shape, "product", BATCHES, asked.rounds)]
    found += lines(ITEMS, ITEMS, "reading", READERS, asked.rounds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "layers.jsonl").write_text("".join(found))


if __name__ == "__main__":
    main()
