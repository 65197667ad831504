"""First-party ranks."""

from automl_rec.plugin import Choice, Component, Float, Integer, Kind, Value, hookimpl

AUTOML_REC_API = (1, 0)

MASKED: dict[tuple[Kind, str], str] = {
    ("sparsity", name): "it masks weights while they train, and this rank would fill them again"
    for name in ("dst", "group", "pixelfly")
}
TRAINED: dict[tuple[Kind, str], str] = {
    ("sparsity", name): "it masks weights while they train, and this rank trains factors itself"
    for name in ("dst", "group", "pixelfly")
}
SPARSE: dict[tuple[Kind, str], str] = {
    ("sparsity", name): "this rank keeps sparse entries of its own, among which it would choose"
    for name in ("magnitude", "dsnot", "dst", "nm", "group", "pixelfly")
}

AFM = Component(
    kind="rank",
    name="afm",
    summary="Principal components of what weights give for the train part, not of the weights.",
    source=(
        "Yu and Wu, AAAI 2023 (atomic feature mimicking), for click-through rates Yu et al., KDD "
        "2024. Products of linears about their mean, which the bias takes in; rows of tables as "
        "they are looked up, about 0. The model answers for a sample of train to be watched; what "
        "nobody sees is factored as by svd. Nothing is trained afterwards, and linears that follow "
        "each other are not fused."
    ),
    implementation="automl_rec_rank.afm:Afm",
    hyperparameters={
        "allocation": Choice(("uniform", "energy", "global"), "uniform"),
        "ratio": Float(0.01, 1.0, 0.25, log=True, only_if={"allocation": ("uniform",)}),
        "energy": Float(0.3, 0.999, 0.95, only_if={"allocation": ("energy",)}),
        "budget": Float(0.01, 1.0, 0.25, log=True, only_if={"allocation": ("global",)}),
    },
    excludes=MASKED,
)

BTT = Component(
    kind="rank",
    name="btt",
    summary="Linears trained as grids of blocks of low rank: block tensor trains and Monarch.",
    source=(
        "Block tensor trains of two cores (Qiu et al., ICML 2024, arXiv 2406.06248) and Monarch "
        "matrices (Dao et al., ICML 2022, arXiv 2204.00595). Ours starts as the nearest grid to "
        "the weight's start, at its length, and both products learn at the loop's rate. Tables "
        "stay whole."
    ),
    implementation="automl_rec_rank.btt:Btt",
    hyperparameters={
        "grid": Choice(("even", "monarch"), "even"),
        "block_rank": Integer(1, 8, 1, log=True, only_if={"grid": ("even",)}),
        "blocks": Integer(2, 16, 4, log=True, only_if={"grid": ("monarch",)}),
    },
    in_training=True,
    excludes={
        **TRAINED,
        ("sparsity", "nm"): "groups run along inputs or outputs, but columns of blocks are ranks",
    },
)

CONDLR = Component(
    kind="rank",
    name="condlr",
    summary="Linears trained at a fixed rank with singular values that are kept close together.",
    source=(
        "Savostianova et al., NeurIPS 2023, arXiv 2306.01485. The triangles of the decompositions "
        "that keep bases orthonormal go into the core, and singular values are touched only where "
        "the bound is passed. Tables stay whole."
    ),
    implementation="automl_rec_rank.condlr:CondLr",
    hyperparameters={
        "ratio": Float(0.05, 0.75, 0.25, log=True),
        "spread": Choice(("bounded", "equal"), "bounded"),
        "condition": Float(1.1, 10.0, 2.0, log=True, only_if={"spread": ("bounded",)}),
    },
    in_training=True,
    excludes=TRAINED,
)

DLRT = Component(
    kind="rank",
    name="dlrt",
    summary="Linears trained along matrices of low rank, which grows and falls with the gradient.",
    source=(
        "Schotthoefer et al., NeurIPS 2022, arXiv 2205.13571, algorithm 1 (rank-adaptive). Ours "
        "divides gradients by one running mean square a weight, takes the loop's learning rate, "
        "and leaves tables whole. Two passes a step."
    ),
    implementation="automl_rec_rank.dlrt:Dlrt",
    hyperparameters={
        "theta": Float(0.01, 0.3, 0.1, log=True),
        "start": Float(0.05, 1.0, 0.5, search=False),
        "warm_up": Float(0.0, 20.0, 1.0, search=False),
    },
    in_training=True,
    excludes=TRAINED,
)

FULL = Component(
    kind="rank",
    name="full",
    summary="Weights stay whole.",
    source="The unfactorised model of every publication.",
    implementation="automl_rec_rank.full:FullRank",
    neutral=True,
)

MAESTRO = Component(
    kind="rank",
    name="maestro",
    summary="Factors trained so that their first ranks serve alone, while a lasso fades the last.",
    source=(
        "Horvath et al., 2023, arXiv 2308.14929: ordered dropout of one weight a step, a group "
        "lasso on the tails of ranks, progressive shrinking. Ours counts importance relative to "
        "the first rank, and distils nothing."
    ),
    implementation="automl_rec_rank.maestro:Maestro",
    hyperparameters={
        "sized_by": Choice(("importance", "ratio"), "importance"),
        "lasso": Float(1e-7, 1e-2, 1e-6, log=True),
        "ratio": Float(0.05, 0.75, 0.25, log=True, only_if={"sized_by": ("ratio",)}),
        "threshold": Float(
            1e-6, 0.1, 1e-2, log=True, search=False, only_if={"sized_by": ("importance",)}
        ),
        "every": Float(0.05, 10.0, 1.0, log=True, search=False),
        "all_ranks": Choice((False, True), False, search=False),
    },
    in_training=True,
    excludes=TRAINED,
)

SLTRAIN = Component(
    kind="rank",
    name="sltrain",
    summary="Linears trained as narrow factors with sparse entries at random places beside them.",
    source=(
        "Han et al., NeurIPS 2024, arXiv 2406.02214: low rank plus sparse, on a fixed random "
        "support. Served as factors and a sparse matrix, not made dense. Tables stay whole, and no "
        "sparsity may act beside it."
    ),
    implementation="automl_rec_rank.sltrain:SlTrain",
    hyperparameters={
        "ratio": Float(0.05, 0.5, 0.25, log=True),
        "density": Float(0.005, 0.2, 0.03, log=True),
        "scale": Float(0.01, 4.0, 0.25, log=True, search=False),
    },
    in_training=True,
    excludes=SPARSE,
)

BUDGETED: dict[str, tuple[Value, ...]] = {"allocation": ("global", "welore")}

SVD = Component(
    kind="rank",
    name="svd",
    summary="Truncated singular value decomposition of every weight it makes smaller.",
    source=(
        "Eckart and Young, 1936; balanced factors U S^1/2 and V S^1/2 after training. Ranks are a "
        "share of each weight, hold a share of its sum of squares, or are the most important ones "
        "of all weights within a budget: by energy for each number, or by singular values "
        "normalised as in WeLore (Jaiswal et al., arXiv 2407.11239). Factors may be tuned. "
        "Weights that factors would not make smaller stay whole; of item-item weights the diagonal "
        "stays 0."
    ),
    implementation="automl_rec_rank.svd:Svd",
    hyperparameters={
        "allocation": Choice(("uniform", "energy", "global", "welore"), "uniform"),
        "ratio": Float(0.01, 1.0, 0.25, log=True, only_if={"allocation": ("uniform",)}),
        "energy": Float(0.3, 0.999, 0.95, only_if={"allocation": ("energy",)}),
        "budget": Float(0.01, 1.0, 0.25, log=True, only_if=BUDGETED),
        "least_saving": Float(0.0, 0.9, 0.0, search=False, only_if={"allocation": ("welore",)}),
        "tune": Float(0.0, 0.9, 0.0, search=False, only_if={"allocation": ("uniform",)}),
    },
)


@hookimpl
def register_ranks() -> list[Component]:
    """Returns the ranks of this package."""
    return [AFM, BTT, CONDLR, DLRT, FULL, MAESTRO, SLTRAIN, SVD]
