"""Models that learn from who met what, without order."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training

HOME = "automl_rec_models.collaborative"

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

BPR_MF = Component(
    kind="model",
    name="bpr-mf",
    summary="Matrix factorisation trained to rank what a user met above what he has not.",
    source=(
        "Rendle et al., UAI 2009, BPR-Opt with matrix factorisation; no biases, Adam instead of "
        "plain gradient steps, negatives outside the user's train items, regularisation on the "
        "rows of a batch. Defaults of the public LightGCN code, start N(0, 0.1)."
    ),
    implementation=f"{HOME}.bpr_mf:BprMf",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "regularization": Float(1e-7, 1e-1, 1e-4, log=True),
        "negatives": Choice((1, 4, 16), 1),
    },
    training=gradient_training(),
)

COMPONENTS = (BPR_MF, EASE, POPULARITY)
