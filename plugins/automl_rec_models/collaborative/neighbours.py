"""Descriptions of the models that let known items and like users speak."""

from automl_rec.plugin import Choice, Component, Float, Integer

HOME = "automl_rec_models.collaborative"

LENGTHS_DIVIDE = {"weighting": ("cosine", "tf-idf")}

ITEM_KNN = Component(
    kind="model",
    name="item-knn",
    summary="Items met by the same users stand for each other; sparse by nature, nothing to train.",
    source=(
        "Sarwar et al., WWW 2001; Deshpande, Karypis, TOIS 2004 (cosine); tf-idf and bm25 "
        "weighting, defaults k1, b and 20 neighbours as in the package implicit. Ours uses "
        "ln(1 + I / n_u), which is never negative, and shrinks by a term in the denominator."
    ),
    implementation=f"{HOME}.item_knn:ItemKnn",
    hyperparameters={
        "weighting": Choice(("cosine", "tf-idf", "bm25"), "cosine"),
        "neighbours": Integer(1, 500, 20, log=True),
        "shrinkage": Float(0.0, 1000.0, 0.0, only_if=LENGTHS_DIVIDE),
        "saturation": Float(0.0, 10.0, 1.2, only_if={"weighting": ("bm25",)}),
        "length_weight": Float(0.0, 1.0, 0.75, only_if={"weighting": ("bm25",)}),
    },
    compressible=frozenset({"sparsity"}),
    baseline=True,
)

RP3BETA = Component(
    kind="model",
    name="rp3beta",
    summary="Three-step walks from known items, popular ends held back; sparse, seconds to fit.",
    source=(
        "Paudel et al., ACM TiiS 2016, as an item-item model (Ferrari Dacrema et al., RecSys "
        "2019), whose ranges these are; default beta of the package irspack, whose other weights "
        "are equal to ours at its alpha of 1. The default alpha is ours: at 1, items that hardly "
        "anybody met lead all lists unless data.k_core drops them. Ours gives an item nothing of "
        "its own."
    ),
    implementation=f"{HOME}.rp3beta:Rp3Beta",
    hyperparameters={
        "alpha": Float(0.0, 2.0, 0.5),
        "beta": Float(0.0, 2.0, 0.6),
        "neighbours": Integer(1, 1000, 100, log=True),
        "normalise": Choice((False, True), default=False),
    },
    compressible=frozenset({"sparsity"}),
    baseline=True,
)

USER_KNN = Component(
    kind="model",
    name="user-knn",
    summary="What users with a like history have met; nothing to train, all histories to ship.",
    source=(
        "Sarwar et al., EC 2000, for what was met and what was not: cosine similarity, summed over "
        "the nearest users; default neighbours of the package irspack. Ours compares when a list "
        "is asked for and counts everybody's train items among the bytes."
    ),
    implementation=f"{HOME}.user_knn:UserKnn",
    hyperparameters={
        "neighbours": Integer(1, 1000, 100, log=True),
        "shrinkage": Float(0.0, 1000.0, 0.0),
    },
    compressible=frozenset(),
    baseline=True,
)

POPULARITY = Component(
    kind="model",
    name="popularity",
    summary="The same list for everybody: items by their number of train users.",
    source="No paper: the reference every recommender must beat. Each user counts once an item.",
    implementation=f"{HOME}.popularity:Popularity",
    compressible=frozenset(),
    baseline=True,
)

EASE = Component(
    kind="model",
    name="ease",
    summary="Item-item regression in closed form; strong, fast to fit, large unless pruned.",
    source=(
        "Steck, WWW 2019, equation 8: B_ij = -P_ij / P_jj of P = (X'X + lambda I)^-1, diagonal 0. "
        "Ours inverts by Cholesky in float64 and serves float32; default lambda of RecBole."
    ),
    implementation=f"{HOME}.ease:Ease",
    hyperparameters={"regularization": Float(1.0, 1e4, 250.0, log=True)},
    compressible=frozenset({"rank", "sparsity"}),
    baseline=True,
)
