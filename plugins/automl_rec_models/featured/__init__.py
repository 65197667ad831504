"""Models that know users and items by their features."""

from automl_rec.plugin import Choice, Component, Float, Integer, gradient_training

HOME = "automl_rec_models.featured"

MASKED = {"masking": ("rfm", "cfm")}

TWO_TOWER = Component(
    kind="model",
    name="two-tower",
    summary="A tower for users and one for items, over their features; knows items nobody met yet.",
    source=(
        "Yi et al., RecSys 2019 (towers, softmax over the batch with logQ correction); Yao et al., "
        "CIKM 2021 (masking rfm and cfm, dropout of values). Ours masks the same features for a "
        "whole batch, counts ids among the features and begins without masking, which needs two "
        "item features (rfm) or three (cfm). The papers tune temperatures and weights; the "
        "defaults are ours, the hidden width an eighth of theirs."
    ),
    implementation=f"{HOME}.two_tower:TwoTower",
    hyperparameters={
        "width": Integer(8, 256, 64, log=True),
        "layers": Integer(0, 2, 1),
        "hidden": Choice((32, 64, 128, 256, 512), 128, only_if={"layers": (1, 2)}),
        "user_ids": Choice((True, False), default=True, search=False),
        "item_ids": Choice((True, False), default=True),
        "temperature": Float(0.03, 0.5, 0.1, log=True),
        "masking": Choice(("none", "rfm", "cfm"), "none"),
        "masking_weight": Float(1e-3, 1.0, 0.3, log=True, only_if=MASKED),
        "masking_temperature": Float(0.03, 0.5, 0.1, log=True, only_if=MASKED),
        "value_dropout": Float(0.0, 0.5, 0.2, only_if=MASKED),
    },
    # A step holds a score of each user of the batch for each of its items.
    training=gradient_training(
        learning_rate=3e-3, batch_size=1024, batch_sizes=(256, 512, 1024, 2048, 4096)
    ),
)

COMPONENTS = (TWO_TOWER,)
