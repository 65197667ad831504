"""Models that learn from the order in which users met items."""

from automl_rec.plugin import Choice, Component, Domain, Float, Integer, gradient_training

HOME = "automl_rec_models.sequential"

SAMPLED = {"loss": ("sampled-softmax", "gbce", "bce")}
LOSS: dict[str, Domain] = {
    "loss": Choice(("full-ce", "sampled-softmax", "gbce", "bce"), "full-ce"),
    "negatives": Integer(1, 512, 1, log=True, only_if=SAMPLED),
    "shared": Choice((False, True), default=False, only_if=SAMPLED),
    "calibration": Float(0.0, 1.0, 0.75, only_if={"loss": ("gbce",)}),
}

SASREC = Component(
    kind="model",
    name="sasrec",
    summary="A small causal transformer over a user's last items, scored by the item table.",
    source=(
        "Kang and McAuley, ICDM 2018. Ours adds pre- and post-normalisation and the softmax over "
        "all items as loss (the default, as in RecBole; the paper's is bce with one negative), "
        "that over sampled items, and gBCE (Petrov and Macdonald, RecSys 2023; published with 256 "
        "negatives). Padding is banned from attention; all windows of a long history are seen. "
        "Other defaults of the public pmixer code, width 64 for 50."
    ),
    implementation=f"{HOME}.sasrec:SasRec",
    hyperparameters={
        "width": Choice((16, 32, 48, 64, 96, 128, 192, 256), 64),
        "blocks": Integer(1, 3, 2),
        "heads": Choice((1, 2, 4), 1),
        "length": Choice((20, 50, 100, 200), 50),
        "dropout": Float(0.0, 0.7, 0.2),
        "norm": Choice(("pre", "post", "original"), "pre", search=False),
        **LOSS,
    },
    training=gradient_training(batch_size=128, batch_sizes=(32, 64, 128, 256, 512)),
    tasks=("retrieval", "sequence"),
)

GRU = Component(
    kind="model",
    name="gru",
    summary="A recurrent network over a user's last items, for the next item or one further on.",
    source=(
        "Hidasi et al., ICLR 2016 (GRU4Rec), with the defaults of RecBole's. Ours has one weight a "
        "gate, predicts at every position of every window of a history, and adds losses. A horizon "
        "over 1 draws each target from that many next items, and item vectors may be those of "
        "another model, not trained: our reading of user models on several time scales, whose "
        "code is not public."
    ),
    implementation=f"{HOME}.gru:Gru",
    hyperparameters={
        "width": Choice((16, 32, 64, 128, 256), 64),
        "hidden": Choice((32, 64, 128, 256), 128),
        "depth": Integer(1, 2, 1),
        "length": Choice((20, 50, 100, 200), 50),
        "dropout": Float(0.0, 0.7, 0.3),
        "horizon": Choice((1, 10, 50), 1),
        "items": Choice(("trainable", "fastrp", "ials"), "trainable"),
        **LOSS,
    },
    training=gradient_training(batch_size=128, batch_sizes=(32, 64, 128, 256, 512)),
    tasks=("retrieval", "sequence"),
)

COMIREC_SOURCE = (
    "Cen et al., KDD 2020, with the defaults of its public code for books: softmax over 1,280 "
    "negatives a batch, one random cut of each user an epoch. Ours "
    "counts positions from the newest item, pads on the left, draws negatives by counts where the "
    "code draws ranks log-uniformly, and finds the best of all items exactly. Diversity, off by "
    "default, chooses lists greedily by the first categorical feature of the items."
)
SEVERAL = {"interests": (2, 4, 8)}
COMIREC_READING: dict[str, Domain] = {
    "interests": Choice((1, 2, 4, 8), 4),
    "length": Choice((10, 20, 50, 100), 20),
    "negatives": Integer(10, 5000, 1280, log=True),
    "sampler": Choice(("popularity", "uniform"), "popularity"),
    "draw": Choice(("user", "edge"), "user"),
    "readout": Choice(("hard", "soft"), "hard", only_if=SEVERAL),
    "power": Float(1.0, 8.0, 1.0, only_if={"readout": ("soft",)}),
    "diversity": Float(0.0, 10.0, 0.0, search=False),
}

COMIREC_SA = Component(
    kind="model",
    name="comirec-sa",
    summary="Several vectors a user, by attention to his last items; an item takes the best.",
    source=COMIREC_SOURCE,
    implementation=f"{HOME}.comirec:ComiRecSa",
    hyperparameters={
        "width": Choice((16, 32, 64, 128, 256), 64),
        **COMIREC_READING,
    },
    training=gradient_training(batch_size=128, batch_sizes=(128, 256, 512, 1024), patience=20),
    tasks=("retrieval", "sequence"),
)

COMIREC_DR = Component(
    kind="model",
    name="comirec-dr",
    summary="Several vectors a user, by capsules that share his items; an item takes the best.",
    source=COMIREC_SOURCE,
    implementation=f"{HOME}.comirec:ComiRecDr",
    hyperparameters={
        "width": Choice((16, 32, 64, 128), 64),
        **COMIREC_READING,
        "matrices": Choice(("position", "interest"), "position"),
        "rounds": Integer(1, 5, 3, search=False, only_if=SEVERAL),
    },
    training=gradient_training(
        learning_rate=5e-3, batch_size=128, batch_sizes=(128, 256, 512, 1024), patience=20
    ),
    tasks=("retrieval", "sequence"),
)

COMPONENTS = (COMIREC_DR, COMIREC_SA, GRU, SASREC)
