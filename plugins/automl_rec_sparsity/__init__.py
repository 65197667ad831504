"""First-party sparsities."""

from automl_rec.plugin import Choice, Component, Float, Integer, Value, hookimpl

AUTOML_REC_API = (1, 0)

NONE = Component(
    kind="sparsity",
    name="none",
    summary="Every entry of every weight is kept.",
    source="The dense model of every publication.",
    implementation="automl_rec_sparsity.none:NoSparsity",
    neutral=True,
)

GRADUALLY: dict[str, tuple[Value, ...]] = {"mode": ("gradual",)}

GROUP = Component(
    kind="sparsity",
    name="group",
    summary="Whole inputs go: hidden units and columns of tables are no longer computed or stored.",
    source=(
        "The weighted group sparse envelope (WGSEF), 2024; its proximal map is derived anew, after "
        "each step of Adam, harder and harder; then the largest columns of each weight stay and "
        "are tuned. A group is what reads a unit; the published one has the unit's own row too."
    ),
    implementation="automl_rec_sparsity.group:Group",
    hyperparameters={
        "keep": Float(0.05, 1.0, 0.5),
        "strength": Float(0.01, 100.0, 1.0, log=True),
        "select": Float(0.1, 0.9, 0.7, search=False),
    },
    in_training=True,
    excludes={("rank", "svd"): "its factors would fill again what is masked"},
)

MAGNITUDE = Component(
    kind="sparsity",
    name="magnitude",
    summary="The largest entries stay, chosen once after training or gradually during it.",
    source=(
        "Zhu and Gupta, 2017, equation 1 (cubic schedule of gradual pruning, from dense); one-shot "
        "and global selection are common practice, densities by shape (erk) are those of Evci et "
        "al., ICML 2020. Exactly round(density * size) entries stay; "
        "masked entries may return until the schedule ends."
    ),
    implementation="automl_rec_sparsity.magnitude:Magnitude",
    hyperparameters={
        "density": Float(0.001, 1.0, 0.1, log=True),
        "mode": Choice(("one-shot", "gradual"), "one-shot"),
        "scope": Choice(("uniform", "erk", "global"), "uniform"),
        "start": Float(0.0, 0.5, 0.15, search=False, only_if=GRADUALLY),
        "end": Float(0.5, 1.0, 0.75, search=False, only_if=GRADUALLY),
        "every": Integer(1, 1000, 10, log=True, search=False, only_if=GRADUALLY),
        "spare_rows": Choice((False, True), False, search=False, only_if={"scope": ("global",)}),
        "block": Choice((1, 4, 8, 16), 1, search=False, only_if={"scope": ("uniform",)}),
    },
)

DSNOT = Component(
    kind="sparsity",
    name="dsnot",
    summary="As many entries of each row, chosen after training by what they are multiplied with.",
    source=(
        "Sun et al., ICLR 2024 (Wanda: by size and inputs); Zhang et al., ICLR 2024 (DSnoT: then "
        "swaps that bring the mean error of each row near 0; none where inputs have mean 0), "
        "without patterns of N in M. 0 cycles are Wanda alone. The model answers for a sample of "
        "train to be watched; what is only looked up is pruned by size."
    ),
    implementation="automl_rec_sparsity.dsnot:DsNot",
    hyperparameters={
        "density": Float(0.001, 1.0, 0.1, log=True),
        "cycles": Integer(0, 50, 50, search=False),
        "start": Choice(("wanda", "magnitude"), "wanda", search=False),
    },
)

DST = Component(
    kind="sparsity",
    name="dst",
    summary="As few entries from the first step on; at times some give way to others.",
    source=(
        "Mocanu et al., Nature Communications 2018 (SET: grow random); Evci et al., ICML 2020 "
        "(RigL: grow gradient); Wang et al., 2024 (Dynamic Sparse Learning: all matrices together, "
        "tables among them). The budget is exact at every step. Of the last no code is public: "
        "intervals and shares are ours."
    ),
    implementation="automl_rec_sparsity.dst:DynamicSparse",
    hyperparameters={
        "density": Float(0.001, 1.0, 0.1, log=True),
        "scope": Choice(("uniform", "erk", "global"), "global"),
        "grow": Choice(("gradient", "accumulated", "random"), "gradient"),
        "moving": Float(0.05, 0.5, 0.3),
        "every": Float(0.05, 10.0, 1.0, log=True),
        "start": Choice(("random", "magnitude"), "random", search=False),
        "end": Float(0.5, 1.0, 0.75, search=False),
        "regrow": Choice((False, True), False, search=False, only_if={"grow": ("gradient",)}),
    },
    in_training=True,
    excludes={("rank", "svd"): "its factors would fill again what is masked"},
)

DECAYING: dict[str, tuple[Value, ...]] = {"mode": ("decay",)}

NM = Component(
    kind="sparsity",
    name="nm",
    summary="N of every M entries stay, chosen after training or with the others weighed down.",
    source=(
        "Zhou et al., ICLR 2021 (straight slopes and the pull of SR-STE); Kao et al., 2022 "
        "(progressive gradient flow: linear, exponential and structural decay), whose constants "
        "are ours, by the length of the decay. Groups run along inputs. It saves bytes; time only "
        "where few of many entries of a large layer stay."
    ),
    implementation="automl_rec_sparsity.nm:GroupPattern",
    hyperparameters={
        "pattern": Choice(("2:4", "1:4", "2:8", "1:8", "1:16"), "2:4"),
        "mode": Choice(("one-shot", "decay"), "decay"),
        "decay": Choice(("linear", "exponential", "structural"), "linear", only_if=DECAYING),
        "slopes": Choice(("product", "straight"), "product", search=False, only_if=DECAYING),
        "pull": Float(0.0, 0.01, 2e-4, search=False, only_if={"slopes": ("straight",)}),
        "start": Float(0.0, 0.5, 0.15, search=False, only_if=DECAYING),
        "end": Float(0.5, 1.0, 0.75, search=False, only_if=DECAYING),
        "every": Integer(1, 1000, 10, log=True, search=False, only_if=DECAYING),
    },
)

PIXELFLY = Component(
    kind="sparsity",
    name="pixelfly",
    summary="Linear weights of a few fixed blocks and a product of narrow factors, from the start.",
    source=(
        "Dao et al., ICLR 2022 (Pixelated Butterfly): flat block butterfly and low rank with a "
        "learned scalar between them. Blocks start from the weight's values, factors from its "
        "singular vectors. It takes the place of a rank too; tables stay whole."
    ),
    implementation="automl_rec_sparsity.pixelfly:Pixelfly",
    hyperparameters={
        "block": Choice((4, 8, 16, 32), 16, search=False),
        "strides": Integer(1, 6, 2),
        "rank": Float(0.01, 0.5, 0.1, log=True),
    },
    in_training=True,
    excludes={("rank", "svd"): "it trains factors of its own"},
)


@hookimpl
def register_sparsities() -> list[Component]:
    """Returns the sparsities of this package."""
    return [DSNOT, DST, GROUP, MAGNITUDE, NM, NONE, PIXELFLY]
