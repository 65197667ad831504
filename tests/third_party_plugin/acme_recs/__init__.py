"""Acme's components for automl_rec: descriptions alone, so that listing them stays quick."""

from automl_rec.plugin import Component, Float, Integer, hookimpl

AUTOML_REC_API = (1, 0)

FADING_MEMORY = Component(
    kind="model",
    name="acme-fading-memory",
    summary="Items like those met lately: nearest neighbours by cosine, the last events first.",
    source=(
        "Cosine of item columns (Sarwar et al., 2001). The weight that fades with every later "
        "event is Acme's own."
    ),
    implementation="acme_recs.fading_memory:FadingMemory",
    hyperparameters={
        "fading": Float(0.5, 1.0, 0.9),
        "length": Integer(1, 50, 20, log=True),
        "neighbours": Integer(5, 200, 50, log=True),
    },
    # It has no table, and its weight is sparse by nature: there is nothing for a rank to factorise.
    compressible=frozenset({"sparsity"}),
)

BEST_OF_ROW = Component(
    kind="sparsity",
    name="acme-best-of-row",
    summary="The largest entries of every row stay, equally many in each.",
    source="Acme's own; magnitude pruning with one budget a row, so that no row is left empty.",
    implementation="acme_recs.best_of_row:BestOfRow",
    hyperparameters={"entries": Integer(1, 512, 16, log=True)},
)


@hookimpl
def register_models() -> list[Component]:
    """The models of this plugin."""
    return [FADING_MEMORY]


@hookimpl
def register_sparsities() -> list[Component]:
    """The sparsities of this plugin."""
    return [BEST_OF_ROW]
