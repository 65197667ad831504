"""First-party sparsities."""

from automl_rec.plugin import Component, hookimpl

AUTOML_REC_API = (1, 0)

NONE = Component(
    kind="sparsity",
    name="none",
    summary="Every entry of every weight is kept.",
    source="The dense model of every publication.",
    implementation="automl_rec_sparsity.none:NoSparsity",
    neutral=True,
)


@hookimpl
def register_sparsities() -> list[Component]:
    """Returns the sparsities of this package."""
    return [NONE]
