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
        "layers": Integer(1, 4, 3),
        "combine": Choice(("mean", "last"), "mean"),
        "draw": Choice(("edge", "user"), "user"),
        "regularization": Float(1e-7, 1e-1, 1e-4, log=True),
    },
    training=gradient_training(),
)

FOR_A_BATCH = {"sampler": ("shared-uniform",)}
FOR_EACH_POSITIVE = {"sampler": ("uniform", "uniform-rejecting")}
WITH_NEIGHBOURS = {"neighbours": (5, 10, 20)}

ULTRAGCN = Component(
    kind="model",
    name="ultragcn",
    summary="Matrix factorisation whose loss stands for endless smoothing over the graph.",
    source=(
        "Mao et al., CIKM 2021, equations 9 to 15, and its public code: the loss is summed over a "
        "batch, negatives may have been met, an item is its own first neighbour. Ours lets a batch "
        "share its negatives, penalises the rows of a batch, and starts at the scores that are "
        "best where all users are the same. Published, on Gowalla: sampler uniform, decay all, "
        "popular_start false, learning rate 1e-4, batch 512; other defaults are its. "
        "On MovieLens 1M it has width 128, 200 negatives of weight 200, bases 1e-7, "
        "neighbour_weight 1e-3 and start 1e-3."
    ),
    implementation=f"{HOME}.ultragcn:UltraGcn",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "sampler": Choice(("shared-uniform", "uniform", "uniform-rejecting"), "shared-uniform"),
        "shared_negatives": Integer(50, 2000, 1500, log=True, only_if=FOR_A_BATCH),
        "negatives": Integer(1, 2000, 64, log=True, only_if=FOR_EACH_POSITIVE),
        "draw": Choice(("edge", "user"), "edge"),
        "negative_weight": Float(10.0, 1000.0, 300.0, log=True),
        "base_positive": Float(1e-8, 1.0, 1e-6, log=True),
        "degree_positive": Float(1e-8, 1.0, 1.0, log=True, search=False),
        "base_negative": Float(1e-8, 1.0, 1e-6, log=True),
        "degree_negative": Choice((1e-8, 1.0), 1.0),
        "regularization": Float(1e-6, 1e-1, 1e-4, log=True),
        "decay": Choice(("batch", "all"), "batch", search=False),
        "neighbours": Choice((0, 5, 10, 20), 10),
        "neighbour_weight": Float(1e-7, 3.0, 5e-4, log=True, only_if=WITH_NEIGHBOURS),
        "own_neighbour": Choice((True, False), default=True, search=False, only_if=WITH_NEIGHBOURS),
        "popular_start": Choice((True, False), default=True, search=False),
        "start": Float(1e-4, 1e-1, 1e-4, log=True, search=False),
    },
    training=gradient_training(learning_rate=2e-3),
)
