"""First-party embeddings: id transform, row store, combination, output map and codec."""

from automl_rec.plugin import Choice, Component, Domain, hookimpl

AUTOML_REC_API = (1, 0)

CODEC: dict[str, Domain] = {"precision": Choice(("fp32", "fp16", "int8"), "fp32")}

FULL = Component(
    kind="embedding",
    name="full",
    summary="One stored row of full width for every id.",
    source=(
        "The plain table of every published model; int8 is row-wise symmetric post-training "
        "quantisation."
    ),
    implementation="automl_rec_embeddings.full:Full",
    hyperparameters=CODEC,
    neutral=True,
)


@hookimpl
def register_embeddings() -> list[Component]:
    """Returns the embeddings of this package."""
    return [FULL]
