"""The hooks a plugin implements; each returns descriptions, none of them imports torch."""

import pluggy

from automl_rec.plugin.component import Component

PROJECT = "automl_rec"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_models() -> list[Component]:
    """Returns the models of this plugin."""
    raise AssertionError("a specification is never called")


@hookspec
def register_embeddings() -> list[Component]:
    """Returns the embeddings of this plugin."""
    raise AssertionError("a specification is never called")


@hookspec
def register_sparsities() -> list[Component]:
    """Returns the sparsities of this plugin."""
    raise AssertionError("a specification is never called")


@hookspec
def register_ranks() -> list[Component]:
    """Returns the ranks of this plugin."""
    raise AssertionError("a specification is never called")
