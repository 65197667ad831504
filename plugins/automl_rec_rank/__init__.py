"""First-party ranks."""

from automl_rec.plugin import Choice, Component, Float, hookimpl

AUTOML_REC_API = (1, 0)

FULL = Component(
    kind="rank",
    name="full",
    summary="Weights stay whole.",
    source="The unfactorised model of every publication.",
    implementation="automl_rec_rank.full:FullRank",
    neutral=True,
)

SVD = Component(
    kind="rank",
    name="svd",
    summary="Truncated singular value decomposition of every weight it makes smaller.",
    source=(
        "Eckart and Young, 1936; balanced factors U S^1/2 and V S^1/2 after training, one share of "
        "ranks for all weights or one share of the sum of squares. Weights that factors would not "
        "make smaller stay whole; of item-item weights the diagonal stays 0."
    ),
    implementation="automl_rec_rank.svd:Svd",
    hyperparameters={
        "allocation": Choice(("uniform", "energy"), "uniform"),
        "ratio": Float(0.01, 1.0, 0.25, log=True, only_if={"allocation": ("uniform",)}),
        "energy": Float(0.3, 0.999, 0.95, only_if={"allocation": ("energy",)}),
    },
)


@hookimpl
def register_ranks() -> list[Component]:
    """Returns the ranks of this package."""
    return [FULL, SVD]
