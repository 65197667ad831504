"""Users' events, from files to numbered, split and memory-mapped histories."""

from automl_rec.data.builtin import list_sources
from automl_rec.data.columns import ColumnNames
from automl_rec.data.prepared import Prepared, describe, prepare
from automl_rec.data.request import DataRequest, FeatureFile, SplitRequest

__all__ = [
    "ColumnNames",
    "DataRequest",
    "FeatureFile",
    "Prepared",
    "SplitRequest",
    "describe",
    "list_sources",
    "prepare",
]
