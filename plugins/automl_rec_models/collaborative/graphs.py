"""Descriptions of the models that spread over the graph of who met what."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training

HOME = "automl_rec_models.collaborative"

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
