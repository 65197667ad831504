"""First-party ranks."""

from automl_rec.plugin import Component, hookimpl

AUTOML_REC_API = (1, 0)

FULL = Component(
    kind="rank",
    name="full",
    summary="Weights stay whole.",
    source="The unfactorised model of every publication.",
    implementation="automl_rec_rank.full:FullRank",
    neutral=True,
)


@hookimpl
def register_ranks() -> list[Component]:
    """Returns the ranks of this package."""
    return [FULL]
