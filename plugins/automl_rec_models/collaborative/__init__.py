"""Models that learn from who met what, without order."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training

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

STEP_WEIGHTS = {f"weight_{q}": 0.01 if q < 3 else 1.0 for q in (1, 2, 3, 4)}

FASTRP = Component(
    kind="model",
    name="fastrp",
    summary="Random projections of the powers of the user-item graph; nothing is trained.",
    source=(
        "Chen et al., CIKM 2019: weighted sum of M^q L R for q = 1 to 4. Ours ranks items for "
        "users, keeps users and items without interactions at 0, and can leave out the last "
        "standardisation. The published weights 0, 0, 1, 1 are 0.01, 0.01, 1, 1 on a logarithmic "
        "scale."
    ),
    implementation=f"{HOME}.fastrp:FastRp",
    hyperparameters={
        "width": Integer(16, 1024, 512, log=True),
        "projection": Choice(("gaussian", "sparse", "very-sparse"), "gaussian"),
        "walk": Choice(("transition", "adjacency"), "transition"),
        "degree_exponent": Float(-1.0, 0.0, -0.5),
        **{name: Float(1e-2, 1e2, weight, log=True) for name, weight in STEP_WEIGHTS.items()},
        "normalise": Choice((True, False), default=False),
        "standardise": Choice((True, False), default=True),
        "similarity": Choice(("cosine", "dot"), "cosine"),
    },
)

IALS = Component(
    kind="model",
    name="ials",
    summary="Matrix factorisation by alternating least squares; fast, and small at narrow widths.",
    source=(
        "Hu, Koren, Volinsky, ICDM 2008, equations 4-5, with the unobserved weight and the scaled "
        "regularisation of Rendle et al., RecSys 2022. Ours keeps the sum of all penalties when "
        "the exponent changes, and solves users last, against the item table as it is stored. "
        "Defaults of its public code on MovieLens 20M."
    ),
    implementation=f"{HOME}.ials:Ials",
    hyperparameters={
        "width": Integer(4, 256, 64, log=True),
        "regularization": Float(1e-4, 1e-1, 3e-3, log=True),
        "unobserved_weight": Float(3e-3, 1.0, 0.1, log=True),
        "frequency_exponent": Float(0.0, 1.0, 1.0, search=False),
        "iterations": Integer(1, 32, 16, log=True),
    },
)

LIGHTGCN = Component(
    kind="model",
    name="lightgcn",
    summary="Matrix factorisation whose rows are smoothed over the graph of who met what.",
    source=(
        "He et al., SIGIR 2020: propagation without weights, mean of the layers, pairwise loss. "
        "Ours can serve the last layer alone and has no edge dropout. Defaults of the public "
        "LightGCN-PyTorch code."
    ),
    implementation=f"{HOME}.lightgcn:LightGcn",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "layers": Integer(0, 4, 3),
        "combine": Choice(("mean", "last"), "mean"),
        "regularization": Float(1e-7, 1e-1, 1e-4, log=True),
    },
    training=gradient_training(),
)

COMPONENTS = (BPR_MF, EASE, FASTRP, IALS, ITEM_KNN, LIGHTGCN, POPULARITY)
