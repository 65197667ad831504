"""Descriptions of the models that give users and items a vector each."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training

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
    },
    training=gradient_training(),
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
