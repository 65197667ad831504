"""Data sets that ship with the program."""

from dataclasses import dataclass, replace
from pathlib import Path

from automl_rec.data.columns import ColumnNames
from automl_rec.data.request import DataRequest, FeatureFile
from automl_rec.errors import DataError

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that ships with the program.

    Attributes:
        name: what ``data.source`` says.
        summary: one sentence.
        terms: one sentence on what its licence allows.
        request: how it is read.
    """

    name: str
    summary: str
    terms: str
    request: DataRequest


def list_sources() -> list[Source]:
    """Every built-in data set, by name."""
    return [_movielens_small()]


def resolve(request: DataRequest) -> DataRequest:
    """The request with its ``source`` replaced by the file, columns and features it stands for.

    What the request itself says wins.

    Raises:
        DataError: no such source.
    """
    if request.source is None:
        return request
    sources = {source.name: source.request for source in list_sources()}
    if request.source not in sources:
        raise DataError(
            f"data.source {request.source!r} is not built in. Choose {' or '.join(sources)}, or "
            "give your own file with data.path."
        )
    built_in = sources[request.source]
    return replace(
        request,
        source=None,
        path=built_in.path,
        format=built_in.format,
        columns=built_in.columns,
        item_features=request.item_features or built_in.item_features,
    )


def _movielens_small() -> Source:
    path = str(_FOLDER / "movielens_small.parquet")
    return Source(
        name="movielens-small",
        summary="MovieLens latest-small, 2016 edition: 100,004 ratings with times of 9,066 films "
        "by 671 users, with the films' genres and year.",
        terms="Research, with acknowledgement; no commercial use without GroupLens' permission.",
        request=DataRequest(
            path=path,
            format="parquet",
            columns=ColumnNames(user="userId", item="movieId", time="timestamp", label="rating"),
            item_features=FeatureFile(
                path, {"genres": "multi", "year": "numeric"}, id="movieId", format="parquet"
            ),
        ),
    )
