"""Components: light descriptions of models, embeddings, sparsities and ranks."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from automl_rec.errors import PluginError
from automl_rec.plugin.domain import Domain

Kind: TypeAlias = Literal["model", "embedding", "sparsity", "rank"]
KINDS: tuple[Kind, ...] = ("model", "embedding", "sparsity", "rank")
COMPRESSIONS: frozenset[Kind] = frozenset({"embedding", "sparsity", "rank"})


@dataclass(frozen=True, slots=True)
class Component:
    """What a plugin registers: everything a search must know before it loads the code.

    Args:
        kind: which of the four kinds it is.
        name: lower-case words joined by hyphens, unique within its kind.
        summary: one line for a user who chooses.
        source: authors, year and equations implemented, and how ours differs from them.
        implementation: ``"module:Class"``, imported only when the component is built. The class is
            a `Model`, `Embedding`, `Sparsity` or `Rank`, constructed from exactly
            ``hyperparameters``.
        hyperparameters: name -> domain, for the class's constructor.
        training: name -> domain, for the training loop (models trained by gradient only); made
            with `automl_rec.plugin.gradient_training`.
        tasks: the tasks a model solves: ``"retrieval"``, ``"sequence"``, ``"ranking"``.
        compressible: the kinds of compression that can act on a model: ``"embedding"`` if it has
            tables, ``"rank"`` and ``"sparsity"`` if it has weights they may replace.
        baseline: whether every study whose space holds this model starts with it, at its defaults.
        neutral: whether the component leaves a model as it is; used where a space names none.
        in_training: whether a rank or sparsity acts while a model trains, whatever its
            hyperparameters; it then never stands beside a model without ``training``.
        excludes: (kind, name) of components that can never stand beside this one, with the reason.
    """

    kind: Kind
    name: str
    summary: str
    source: str
    implementation: str
    hyperparameters: Mapping[str, Domain] = field(default_factory=dict)
    training: Mapping[str, Domain] = field(default_factory=dict)
    tasks: tuple[str, ...] = ("retrieval",)
    compressible: frozenset[Kind] = COMPRESSIONS
    baseline: bool = False
    neutral: bool = False
    in_training: bool = False
    excludes: Mapping[tuple[Kind, str], str] = field(default_factory=dict)

    @property
    def domains(self) -> dict[str, Domain]:
        """Every hyperparameter a space may name: the constructor's, then the training's."""
        return {**self.hyperparameters, **self.training}

    def load(self) -> type[Any]:
        """The implementing class.

        Raises:
            PluginError: the module cannot be imported or has no such class.
        """
        module, _, name = self.implementation.partition(":")
        try:
            loaded: type[Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.kind} {self.name!r} could not be loaded from {self.implementation}: "
                f"{error}. Install what it needs, or leave it out of the space."
            ) from error
        return loaded
