"""Models that judge single events."""

from automl_rec.plugin import Choice, Component, Domain, Float, Integer, gradient_training

HOME = "automl_rec_models.ranking"
TRAINING = gradient_training(batch_size=4096, epochs=20, patience=2)
REGULARIZATION: dict[str, Domain] = {"regularization": Float(1e-8, 1e-3, 1e-6, log=True)}
TABLES: dict[str, Domain] = {"width": Integer(4, 64, 10, log=True), **REGULARIZATION}
WITH_PERCEPTRON = {"structure": ("stacked", "parallel", "stacked-parallel")}
WITH_MIXTURE = {"cross": ("mixture",)}

LR = Component(
    kind="model",
    name="lr",
    summary="Logistic regression: a bias and one weight a value of each field.",
    source="The floor every model of single events must beat; trained by Adam like the others.",
    implementation=f"{HOME}.linear:LogisticRegression",
    hyperparameters=REGULARIZATION,
    training=TRAINING,
    tasks=("ranking",),
    compressible=frozenset({"embedding", "sparsity"}),
    baseline=True,
)

FM = Component(
    kind="model",
    name="fm",
    summary="Logistic regression with the inner products of all pairs of fields.",
    source="Rendle, ICDM 2010, degree 2.",
    implementation=f"{HOME}.fm:FactorizationMachine",
    hyperparameters=TABLES,
    training=TRAINING,
    tasks=("ranking",),
)

DEEPFM = Component(
    kind="model",
    name="deepfm",
    summary="A factorisation machine and a perceptron on the same tables.",
    source="Guo et al., IJCAI 2017.",
    implementation=f"{HOME}.deepfm:DeepFm",
    hyperparameters={
        **TABLES,
        "hidden": Integer(16, 512, 128, log=True),
        "depth": Integer(1, 4, 3),
        "batch_norm": Choice((True, False), default=False),
        "dropout": Float(0.0, 0.5, 0.2),
    },
    training=TRAINING,
    tasks=("ranking",),
)

DCN_V2 = Component(
    kind="model",
    name="dcn-v2",
    summary="A cross network, of full weights or a mixture of low rank, with a perceptron.",
    source="Wang et al., WWW 2021, equations 1 to 4.",
    implementation=f"{HOME}.dcn_v2:DcnV2",
    hyperparameters={
        **TABLES,
        "crosses": Integer(1, 4, 3),
        "cross": Choice(("full", "mixture"), "full"),
        "rank": Integer(8, 256, 32, log=True, only_if=WITH_MIXTURE),
        "experts": Choice((1, 2, 4), 4, only_if=WITH_MIXTURE),
        "structure": Choice(("crossnet", "stacked", "parallel", "stacked-parallel"), "parallel"),
        "hidden": Integer(16, 512, 500, log=True, only_if=WITH_PERCEPTRON),
        "depth": Integer(1, 4, 3, only_if=WITH_PERCEPTRON),
        "batch_norm": Choice((True, False), default=False, only_if=WITH_PERCEPTRON),
        "dropout": Float(0.0, 0.5, 0.2, only_if=WITH_PERCEPTRON),
    },
    training=TRAINING,
    tasks=("ranking",),
)

DLRM = Component(
    kind="model",
    name="dlrm",
    summary="Inner products of all pairs of fields, judged by a perceptron.",
    source="Naumov et al., 2019, arXiv 1906.00091.",
    implementation=f"{HOME}.dlrm:Dlrm",
    hyperparameters={
        **TABLES,
        "op": Choice(("dot", "cat"), "dot"),
        "hidden": Integer(16, 512, 64, log=True),
        "depth": Integer(1, 4, 3),
        "batch_norm": Choice((True, False), default=False),
        "dropout": Float(0.0, 0.5, 0.0),
    },
    training=TRAINING,
    tasks=("ranking",),
)

COMPONENTS = (DCN_V2, DEEPFM, DLRM, FM, LR)
