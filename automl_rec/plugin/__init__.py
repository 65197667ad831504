"""The public API of plugin authors; everything importable from here is promised.

Axes in shapes: B batch, U users, I items, L history length, D embedding width, N rows of a table or
negatives, E events, K list cut-off, R rank.

Importing this package does not import torch: names that need it load when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from automl_rec.errors import DivergenceError, Infeasible
from automl_rec.plugin.component import COMPRESSIONS, KINDS, Component, Kind
from automl_rec.plugin.domain import Choice, Constant, Domain, Float, Integer, Value
from automl_rec.plugin.hooks import hookimpl, hookspec
from automl_rec.plugin.training import gradient_training

if TYPE_CHECKING:
    from automl_rec.plugin.batch import (
        PADDING,
        Batch,
        Pairs,
        Requests,
        Rows,
        Sampling,
        Sequences,
    )
    from automl_rec.plugin.catalog import Catalog, Feature, Histories, RowTable
    from automl_rec.plugin.embedding import Embedding
    from automl_rec.plugin.form import (
        LARGEST_INTEGER,
        Coded,
        Either,
        Form,
        Grid,
        Interval,
        Leaf,
        Part,
        Pattern,
        Precision,
        Product,
        Sum,
        Tiled,
        blocks_form,
        csr_bytes,
        dense_bytes,
        dense_form,
        index_bytes,
        layout_bytes,
        part_form,
        tiled_form,
    )
    from automl_rec.plugin.layers import Layers, Linear
    from automl_rec.plugin.life_cycle import LifeCycle, Loss, Phase, Step
    from automl_rec.plugin.matrices.blocks import BlockMatrix, in_blocks, in_blocks_shape
    from automl_rec.plugin.matrices.codes import CodebookMatrix
    from automl_rec.plugin.matrices.corner import CornerMatrix
    from automl_rec.plugin.matrices.dense import DenseMatrix, from_integers
    from automl_rec.plugin.matrices.grid import GridMatrix, GridSizes
    from automl_rec.plugin.matrices.keeping import keep, keep_shape
    from automl_rec.plugin.matrices.leaves import leaves, map_leaves
    from automl_rec.plugin.matrices.low_rank import LowRankMatrix
    from automl_rec.plugin.matrices.matrix import Matrix
    from automl_rec.plugin.matrices.part import PartMatrix, part
    from automl_rec.plugin.matrices.pattern import PatternMatrix, grouped, ungrouped
    from automl_rec.plugin.matrices.quantising import quantise
    from automl_rec.plugin.matrices.sparse import BitmapMatrix, CsrMatrix
    from automl_rec.plugin.matrices.sum import SumMatrix
    from automl_rec.plugin.matrices.tiles import TileMatrix, in_tiles, spread_tiles, tiles_of
    from automl_rec.plugin.matrices.trainable import TrainableMatrix
    from automl_rec.plugin.matrices.watched import WatchedMatrix
    from automl_rec.plugin.model import (
        ClosedFormModel,
        GradientModel,
        Model,
        RankingModel,
        RetrievalModel,
        TrainedModel,
    )
    from automl_rec.plugin.rank import Rank
    from automl_rec.plugin.sparsity import Sparsity
    from automl_rec.plugin.table import Field, PlainTable, Table
    from automl_rec.plugin.weight import Role, Use, Weight

API = (1, 0)
"""Version of this interface: a plugin that states another major number is refused."""

_HOMES = {
    "batch": ("PADDING", "Batch", "Pairs", "Requests", "Rows", "Sampling", "Sequences"),
    "catalog": ("Catalog", "Feature", "Histories", "RowTable"),
    "embedding": ("Embedding",),
    "form": (
        "LARGEST_INTEGER",
        "Coded",
        "Either",
        "Form",
        "Grid",
        "Interval",
        "Leaf",
        "Part",
        "Pattern",
        "Precision",
        "Product",
        "Sum",
        "Tiled",
        "blocks_form",
        "csr_bytes",
        "dense_bytes",
        "dense_form",
        "index_bytes",
        "layout_bytes",
        "part_form",
        "tiled_form",
    ),
    "layers": ("Layers", "Linear"),
    "life_cycle": ("LifeCycle", "Loss", "Phase", "Step"),
    "matrices.blocks": ("BlockMatrix", "in_blocks", "in_blocks_shape"),
    "matrices.codes": ("CodebookMatrix",),
    "matrices.corner": ("CornerMatrix",),
    "matrices.dense": ("DenseMatrix", "from_integers"),
    "matrices.keeping": ("keep", "keep_shape"),
    "matrices.leaves": ("leaves", "map_leaves"),
    "matrices.grid": ("GridMatrix", "GridSizes"),
    "matrices.low_rank": ("LowRankMatrix",),
    "matrices.matrix": ("Matrix",),
    "matrices.part": ("PartMatrix", "part"),
    "matrices.pattern": ("PatternMatrix", "grouped", "ungrouped"),
    "matrices.quantising": ("quantise",),
    "matrices.sparse": ("BitmapMatrix", "CsrMatrix"),
    "matrices.sum": ("SumMatrix",),
    "matrices.tiles": ("TileMatrix", "in_tiles", "spread_tiles", "tiles_of"),
    "matrices.trainable": ("TrainableMatrix",),
    "matrices.watched": ("WatchedMatrix",),
    "model": (
        "ClosedFormModel",
        "GradientModel",
        "Model",
        "RankingModel",
        "RetrievalModel",
        "TrainedModel",
    ),
    "rank": ("Rank",),
    "sparsity": ("Sparsity",),
    "table": ("Field", "PlainTable", "Table"),
    "weight": ("Role", "Use", "Weight"),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "API",
    "COMPRESSIONS",
    "KINDS",
    "LARGEST_INTEGER",
    "PADDING",
    "Batch",
    "BitmapMatrix",
    "BlockMatrix",
    "Catalog",
    "Choice",
    "ClosedFormModel",
    "CodebookMatrix",
    "Coded",
    "Component",
    "Constant",
    "CornerMatrix",
    "CsrMatrix",
    "DenseMatrix",
    "DivergenceError",
    "Domain",
    "Either",
    "Embedding",
    "Feature",
    "Field",
    "Float",
    "Form",
    "GradientModel",
    "Grid",
    "GridMatrix",
    "GridSizes",
    "Histories",
    "Infeasible",
    "Integer",
    "Interval",
    "Kind",
    "Layers",
    "Leaf",
    "LifeCycle",
    "Linear",
    "Loss",
    "LowRankMatrix",
    "Matrix",
    "Model",
    "Pairs",
    "Part",
    "PartMatrix",
    "Pattern",
    "PatternMatrix",
    "Phase",
    "PlainTable",
    "Precision",
    "Product",
    "Rank",
    "RankingModel",
    "Requests",
    "RetrievalModel",
    "Role",
    "RowTable",
    "Rows",
    "Sampling",
    "Sequences",
    "Sparsity",
    "Step",
    "Sum",
    "SumMatrix",
    "Table",
    "TileMatrix",
    "Tiled",
    "TrainableMatrix",
    "TrainedModel",
    "Use",
    "Value",
    "WatchedMatrix",
    "Weight",
    "blocks_form",
    "csr_bytes",
    "dense_bytes",
    "dense_form",
    "from_integers",
    "gradient_training",
    "grouped",
    "hookimpl",
    "hookspec",
    "in_blocks",
    "in_blocks_shape",
    "in_tiles",
    "index_bytes",
    "keep",
    "keep_shape",
    "layout_bytes",
    "leaves",
    "map_leaves",
    "part",
    "part_form",
    "quantise",
    "spread_tiles",
    "tiled_form",
    "tiles_of",
    "ungrouped",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
