"""First-party embeddings: id transform, row store, combination, output map and codec."""

from automl_rec.plugin import Choice, Component, Float, Integer, hookimpl
from automl_rec_embeddings.hyperparameters import CODEC, sized_by

AUTOML_REC_API = (1, 0)

FULL = Component(
    kind="embedding",
    name="full",
    summary="One stored row of full width for every id.",
    source=(
        "The plain table of every published model; int8 is row-wise symmetric post-training "
        "quantisation."
    ),
    implementation="automl_rec_embeddings.full:Full",
    hyperparameters=CODEC,
    neutral=True,
)

FIXED_DIM = Component(
    kind="embedding",
    name="fixed-dim",
    summary="Narrow rows and a learned projection to the width the model expects.",
    source=(
        "The projection of mixed-dimension tables (Ginart et al., 2019) with one width for all "
        "ids. Rows given by a closed form are stored as their truncated SVD."
    ),
    implementation="automl_rec_embeddings.fixed_dim:FixedDim",
    hyperparameters={
        **sized_by("width"),
        "width": Integer(1, 256, 16, log=True, only_if={"sized_by": ("width",)}),
        **CODEC,
    },
)

HASH = Component(
    kind="embedding",
    name="hash",
    summary="Ids share rows by a hash; the most frequent ones keep rows of their own.",
    source=(
        "Hashing trick (Weinberger et al., 2009) and double hashing (Zhang et al., 2020) with "
        "frequency-aware own rows; universal hash functions drawn from the seed, separate tables. "
        "Rows given by a closed form are fitted in least squares weighted by train counts."
    ),
    implementation="automl_rec_embeddings.hash:Hash",
    hyperparameters={
        **sized_by("ratio"),
        "ratio": Float(0.001, 1.0, 0.1, log=True, only_if={"sized_by": ("ratio",)}),
        "hashes": Choice((1, 2), 1),
        "combine": Choice(("sum", "concat", "mul"), "sum", only_if={"hashes": (2,)}),
        "hot_share": Float(0.0, 0.9, 0.5),
        **CODEC,
    },
)


@hookimpl
def register_embeddings() -> list[Component]:
    """Returns the embeddings of this package."""
    return [FULL, FIXED_DIM, HASH]
