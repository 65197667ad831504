"""Models that judge single events."""

from automl_rec.plugin import Choice, Component, Domain, Float, Integer, gradient_training

HOME = "automl_rec_models.ranking"
SHALLOW = gradient_training(learning_rate=1e-2, batch_size=4096, epochs=20, patience=2)
DEEP = gradient_training(learning_rate=3e-3, batch_size=4096, epochs=20, patience=2)
REGULARIZATION: dict[str, Domain] = {"regularization": Float(1e-8, 1e-1, 1e-2, log=True)}
TABLES: dict[str, Domain] = {"width": Integer(4, 64, 10, log=True), **REGULARIZATION}
WITH_PERCEPTRON = {"structure": ("stacked", "parallel", "stacked-parallel")}
WITH_MIXTURE = {"cross": ("mixture",)}

LR = Component(
    kind="model",
    name="lr",
    summary="Logistic regression: a bias and one weight a value of each field.",
    source=(
        "No paper: the floor every model of single events must beat. Ours averages the weights of "
        "several values of a field, scales that of a numeric one, is trained by Adam, and "
        "regularises the rows of each batch."
    ),
    implementation=f"{HOME}.linear:LogisticRegression",
    hyperparameters=REGULARIZATION,
    training=SHALLOW,
    tasks=("ranking",),
    compressible=frozenset({"embedding", "sparsity"}),
    baseline=True,
)

FM = Component(
    kind="model",
    name="fm",
    summary="Logistic regression with the inner products of all pairs of fields.",
    source=(
        "Rendle, ICDM 2010, equation 1 by the identity of lemma 3.1. Ours pools several values of "
        "a field before they meet others, is trained by Adam, and regularises the rows of each "
        "batch. Width 10 as in RecBole; learning rate and regularisation chosen on Frappe."
    ),
    implementation=f"{HOME}.fm:FactorizationMachine",
    hyperparameters=TABLES,
    training=SHALLOW,
    tasks=("ranking",),
)

DEEPFM = Component(
    kind="model",
    name="deepfm",
    summary="A factorisation machine and a perceptron on the same tables.",
    source=(
        "Guo et al., IJCAI 2017, equations 1 to 4. Defaults of RecBole: width 10, three layers of "
        "128, dropout 0.2; learning rate (1e-3 there) and regularisation chosen on Frappe."
    ),
    implementation=f"{HOME}.deepfm:DeepFm",
    hyperparameters={
        **TABLES,
        "hidden": Integer(16, 512, 128, log=True),
        "depth": Integer(1, 4, 3),
        "batch_norm": Choice((True, False), default=False),
        "dropout": Float(0.0, 0.5, 0.2),
    },
    training=DEEP,
    tasks=("ranking",),
)

DCN_V2 = Component(
    kind="model",
    name="dcn-v2",
    summary="A cross network, of full weights or a mixture of low rank, with a perceptron.",
    source=(
        "Wang et al., WWW 2021. The gates of the mixture are shared by all layers, as in public "
        "code. Defaults of FuxiCTR (three cross layers beside three hidden ones, rank 32, four "
        "experts), but for width 10 and 128 units, where it takes 40 and 500; learning rate and "
        "regularisation chosen on Frappe."
    ),
    implementation=f"{HOME}.dcn_v2:DcnV2",
    hyperparameters={
        **TABLES,
        "crosses": Integer(1, 4, 3),
        "cross": Choice(("full", "mixture"), "full"),
        "rank": Integer(8, 256, 32, log=True, only_if=WITH_MIXTURE),
        "experts": Choice((1, 2, 4), 4, only_if=WITH_MIXTURE),
        "structure": Choice(("crossnet", "stacked", "parallel", "stacked-parallel"), "parallel"),
        "hidden": Integer(16, 512, 128, log=True, only_if=WITH_PERCEPTRON),
        "depth": Integer(1, 4, 3, only_if=WITH_PERCEPTRON),
        "batch_norm": Choice((True, False), default=False, only_if=WITH_PERCEPTRON),
        "dropout": Float(0.0, 0.5, 0.2, only_if=WITH_PERCEPTRON),
    },
    training=DEEP,
    tasks=("ranking",),
)

DLRM = Component(
    kind="model",
    name="dlrm",
    summary="Inner products of all pairs of fields, judged by a perceptron.",
    source=(
        "Naumov et al., 2019, arXiv 1906.00091. Ours is trained by Adam, adds the vectors of "
        "several values, and has one shape for both perceptrons. Defaults of FuxiCTR: width 10, "
        "three layers of 64; learning rate and regularisation chosen on Frappe."
    ),
    implementation=f"{HOME}.dlrm:Dlrm",
    hyperparameters={
        **TABLES,
        "op": Choice(("dot", "cat"), "dot"),
        "hidden": Integer(16, 512, 64, log=True),
        "depth": Integer(1, 4, 3),
        "batch_norm": Choice((True, False), default=False),
        "dropout": Float(0.0, 0.5, 0.0),
    },
    training=DEEP,
    tasks=("ranking",),
)

COMPONENTS = (DCN_V2, DEEPFM, DLRM, FM, LR)
