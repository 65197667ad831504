"""Conformance suites for plugin authors, and small planted data sets."""

import pytest

# Before the suites are imported, so that their assertions tell what they compared.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "contract",
            "embeddings",
            "life_cycles",
            "models",
            "rankings",
            "ranks",
            "sparsities",
            "suite",
        )
    )
)

from automl_rec.testing.embeddings import EmbeddingTests
from automl_rec.testing.models import ModelTests
from automl_rec.testing.rankings import RankingTests
from automl_rec.testing.ranks import RankTests
from automl_rec.testing.sparsities import SparsityTests

__all__ = ["EmbeddingTests", "ModelTests", "RankTests", "RankingTests", "SparsityTests"]
