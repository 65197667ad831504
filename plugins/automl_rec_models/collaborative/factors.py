"""Descriptions of the models that give users and items a vector each."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training
from automl_rec_models.sampler_domains import sampler_domains

HOME = "automl_rec_models.collaborative"

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
        **sampler_domains("uniform-rejecting", "uniform", "popularity"),
    },
    training=gradient_training(),
)

SAMPLED = {"loss": ("ccl", "bce", "gbce", "sampled-softmax", "warp")}
FOR_A_BATCH = {"sampler": ("shared-uniform",)}
FOR_EACH_POSITIVE = {"sampler": ("uniform", "uniform-rejecting", "popularity")}

MF = Component(
    kind="model",
    name="mf",
    summary="Matrix factorisation with a loss of cosines, of probabilities or of ranks.",
    source=(
        "Losses: ccl of Mao et al., CIKM 2021 (SimpleX); bce; gbce of Petrov and Macdonald, RecSys "
        "2023; sampled-softmax; in-batch with logQ of Yi et al., RecSys 2019; softmax over all "
        "items; warp of Weston et al., IJCAI 2011. Ours lets a batch share its negatives. Defaults "
        "of the public SimpleX configuration that is plain matrix factorisation (Yelp 2018), whose "
        "1000 negatives are each positive's own."
    ),
    implementation=f"{HOME}.mf:Mf",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "loss": Choice((*SAMPLED["loss"], "in-batch", "softmax"), "ccl"),
        "regularization": Float(1e-9, 1e-1, 1e-8, log=True),
        **sampler_domains(
            "shared-uniform", "uniform", "uniform-rejecting", "popularity", only_if=SAMPLED
        ),
        "shared_negatives": Integer(
            16, 2000, 1000, log=True, only_if={"sampler": ("shared-uniform",)}
        ),
        "negatives": Integer(1, 128, 16, log=True, only_if=FOR_EACH_POSITIVE),
        "negative_weight": Float(1.0, 1000.0, 150.0, log=True, only_if={"loss": ("ccl",)}),
        "margin": Float(0.0, 0.95, 0.9, only_if={"loss": ("ccl",)}),
        "start": Float(1e-4, 0.1, 1e-4, log=True, only_if={"loss": ("ccl",)}),
        "calibration": Float(0.1, 1.0, 0.75, only_if={"loss": ("gbce",)}),
    },
    training=gradient_training(learning_rate=1e-4, batch_size=512),
)

REL_MF = Component(
    kind="model",
    name="rel-mf",
    summary="Matrix factorisation that discounts how often popular items are merely seen.",
    source=(
        "Saito et al., WSDM 2020, with clipped inverse propensities. Ours offers cross-entropy "
        "beside the squared error of its public code, goes through all positives once an epoch, "
        "and penalises the rows of a batch where the code penalises whole tables (at 1e-4). Other "
        "defaults are the code's on Yahoo! R3, where a batch has 16,384 positives."
    ),
    implementation=f"{HOME}.rel_mf:RelMf",
    hyperparameters={
        "width": Integer(8, 256, 200, log=True),
        "error": Choice(("mse", "bce"), "mse"),
        "exponent": Float(0.1, 1.0, 0.5),
        "clip": Float(1e-3, 0.3, 0.0091, log=True),
        "regularization": Float(1e-7, 1.0, 1e-4, log=True),
    },
    training=gradient_training(learning_rate=5e-3),
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

FOR_EACH_UNIFORM = {"sampler": ("uniform", "uniform-rejecting")}

SIMPLEX = Component(
    kind="model",
    name="simplex",
    summary="A user's own vector mixed with what he has met, trained by cosines.",
    source=(
        "Mao et al., CIKM 2021, cosine contrastive loss, and its public code. Ours lets a batch "
        "share its negatives (sampler uniform is published), leaves padding out of the softmax and "
        "the positive out of the history it is learned from, penalises the rows of a batch, and "
        "has no biases of users. Defaults of the public code on Gowalla, whose learning rate is "
        "1e-4 and batch 256; on MovieLens 1M it has width 128, history mean, 1500 negatives of "
        "weight 10, dropout 0.4, regularization 1e-5, learning rate 1e-3 and batch 1024."
    ),
    implementation=f"{HOME}.simplex:SimpleX",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "history": Choice(("mean", "user-attention", "self-attention"), "user-attention"),
        "own_share": Float(0.05, 0.95, 0.8),
        "length": Choice((50, 100, 200, 500), 500),
        "target_in_history": Choice((False, True), default=False, search=False),
        "sampler": Choice(("shared-uniform", "uniform", "uniform-rejecting"), "shared-uniform"),
        "shared_negatives": Integer(50, 2000, 2000, log=True, only_if=FOR_A_BATCH),
        "negatives": Integer(1, 2000, 64, log=True, only_if=FOR_EACH_UNIFORM),
        "draw": Choice(("edge", "user"), "edge"),
        "negative_weight": Float(1.0, 1000.0, 250.0, log=True),
        "margin": Float(0.0, 0.95, 0.9),
        "dropout": Float(0.0, 0.5, 0.1),
        "regularization": Float(1e-9, 1e-2, 1e-7, log=True),
        "start": Float(1e-4, 1e-1, 1e-4, log=True, search=False),
    },
    training=gradient_training(),
)
