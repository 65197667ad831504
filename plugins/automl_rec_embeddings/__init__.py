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

MIXED_DIM = Component(
    kind="embedding",
    name="mixed-dim",
    summary="Narrower rows, each with a projection, the rarer the ids are.",
    source=(
        "Mixed-dimension embeddings (Ginart et al., 2019), the popularity rule in the form of "
        "DLRM's code. Blocks of equally many train events, and a factor on all widths where "
        "alpha alone does not reach a budget, are ours. Rows given by a closed form are stored as "
        "the truncated SVD of their block."
    ),
    implementation="automl_rec_embeddings.mixed_dim:MixedDim",
    hyperparameters={
        **sized_by("alpha"),
        "alpha": Float(0.0, 1.0, 0.3, only_if={"sized_by": ("alpha",)}),
        "unit": Choice(("block", "field"), "block"),
        "blocks": Integer(2, 16, 4, only_if={"unit": ("block",)}),
        "powers_of_two": Choice((False, True), False, search=False),
        **CODEC,
    },
)

QR = Component(
    kind="embedding",
    name="qr",
    summary="Two small stores whose combined rows differ for every id.",
    source=(
        "Quotient-remainder trick of compositional embeddings (Shi et al., 2019). Ids are "
        "shuffled first; a budget takes divisors above the root of the number of ids, for finer "
        "steps. Rows given by a closed form are fitted in least squares weighted by train counts."
    ),
    implementation="automl_rec_embeddings.qr:QR",
    hyperparameters={
        **sized_by("collisions", default=0.5),
        "collisions": Integer(2, 4096, 4, log=True, only_if={"sized_by": ("collisions",)}),
        "combine": Choice(("mul", "sum", "concat"), "mul"),
        **CODEC,
    },
)

DNIS = Component(
    kind="embedding",
    name="dnis",
    summary="Entries that gates, learned on held-out events for blocks of ids, find worth keeping.",
    source=(
        "Cheng et al., 2020, with the normalised steps of AutoSrh by the same group. Ours holds "
        "events out of train to learn the gates, not out of validation, and keeps exactly as many "
        "entries as the budget pays for; columns of blocks as dense pieces are ours."
    ),
    implementation="automl_rec_embeddings.dnis:Dnis",
    hyperparameters={
        **sized_by(),
        "export": Choice(("entries", "columns"), "entries"),
        "blocks": Integer(4, 20, 6),
        "gate_rate": Float(1e-4, 1e-2, 1e-3, log=True),
        "l1": Float(0.0, 0.5, 1e-5, search=False),
        "held_out": Float(0.05, 0.5, 0.1, search=False),
        "retrain": Choice((False, True), False),
        **CODEC,
    },
)

PEP = Component(
    kind="embedding",
    name="pep",
    summary="Entries farthest above thresholds learned with them, trained again from the start.",
    source=(
        "Plug-in embedding pruning (Liu et al., 2021): soft thresholds, then training from the "
        "initial values within the mask. Ours keeps exactly as many entries as the budget pays "
        "for, by their distance to the threshold, instead of stopping when few enough are left. It "
        "starts thresholds higher: from -15, as published, none leaves 0 in trainings as short as "
        "ours, and all granularities keep the same entries."
    ),
    implementation="automl_rec_embeddings.pep:Pep",
    hyperparameters={
        **sized_by(),
        "granularity": Choice(("global", "column", "row", "entry"), "entry"),
        "start": Float(-20.0, -7.0, -7.0, search=False),
        **CODEC,
    },
)

MATRYOSHKA = Component(
    kind="embedding",
    name="matryoshka",
    summary="Full rows whose first columns are trained to serve alone.",
    source=(
        "MRL-E of Kusupati et al., NeurIPS 2022, with the item table as the head and equal weights "
        "divided by their number; nested linear weights after fMRLRec (Wang et al., 2024). Ours "
        "halves widths, serves one prefix, and draws one middle size where sandwich training (Yu "
        "and Huang, 2019) draws two."
    ),
    implementation="automl_rec_embeddings.matryoshka:Matryoshka",
    hyperparameters={
        **sized_by("level"),
        "level": Integer(0, 7, 2, only_if={"sized_by": ("level",)}),
        "levels": Integer(1, 7, 3),
        "sizes_a_step": Choice(("all", "sandwich"), "all", only_if={"levels": (3, 4, 5, 6, 7)}),
        "nested": Choice((False, True), False),
        **CODEC,
    },
)

GRAPHHASH = Component(
    kind="embedding",
    name="graphhash",
    summary="Ids of one community of the train graph share a row.",
    source=(
        "Wu et al., 2024, from the equations of the paper: Louvain on the bipartite train graph; "
        "communities come from scikit-network. Ours sends all ids without an edge to one row, and "
        "gives features and the fields of rows graphs of their own."
    ),
    implementation="automl_rec_embeddings.graphhash:GraphHash",
    hyperparameters={
        **sized_by("resolution"),
        "resolution": Float(0.1, 5000.0, 200.0, log=True, only_if={"sized_by": ("resolution",)}),
        "double": Choice((False, True), False),
        **CODEC,
    },
)


TT = Component(
    kind="embedding",
    name="tt",
    summary="Rows as products of matrices that the digits of an id name in three cores.",
    source=(
        "TT-Rec (Yin et al., 2021): tensor trains with equal ranks, cores that start away from 0. "
        "Ours chooses the shapes, and stores rows given by a closed form by the TT-SVD (Oseledets, "
        "2011). Neighbouring ids share cores: their order matters. Rows are computed, which costs "
        "time."
    ),
    implementation="automl_rec_embeddings.tt:TT",
    hyperparameters={
        **sized_by("rank"),
        "rank": Integer(2, 64, 16, log=True, only_if={"sized_by": ("rank",)}),
        **CODEC,
    },
)

ROBE = Component(
    kind="embedding",
    name="robe",
    summary="Rows put together from hashed pieces of one array for all tables.",
    source=(
        "Random offset block embedding (Desai et al., 2022), with the signs of the benchmark of "
        "Zhang et al., 2024. Ours fits rows given by closed forms to all tables at once, by "
        "weighted least squares. Rows are computed, which costs time."
    ),
    implementation="automl_rec_embeddings.robe:Robe",
    hyperparameters={
        **sized_by("size"),
        "size": Float(0.001, 1.0, 0.1, log=True, only_if={"sized_by": ("size",)}),
        "chunk_size": Choice((1, 2, 4, 8, 16, 32, 64), 16),
        **CODEC,
    },
)

UNIFIED = Component(
    kind="embedding",
    name="unified",
    summary="Rows of hashed chunks from one store for all tables.",
    source=(
        "Unified embedding, or feature multiplexing (Coleman et al., 2023). Ours leaves the width "
        "of a table to its model and searches that of a chunk; universal hash functions drawn "
        "from the seed; rows given by closed forms are fitted to all tables at once, by weighted "
        "least squares."
    ),
    implementation="automl_rec_embeddings.unified:Unified",
    hyperparameters={
        **sized_by("ratio"),
        "ratio": Float(0.001, 1.0, 0.1, log=True, only_if={"sized_by": ("ratio",)}),
        "chunk_width": Choice((8, 16, 32), 16),
        **CODEC,
    },
)

QUANT = Component(
    kind="embedding",
    name="quant",
    summary="Rows of 4, 8 or 16 bits with a step each, learned in training or fitted after it.",
    source=(
        "ALPT (Li et al., AAAI 2023): stochastic rounding to grids whose steps are learned by a "
        "second pass; or row-wise symmetric post-training quantisation. Ours keeps float32 rows "
        "beside the grid in training, because the loop's Adam moves rows that no batch reads; "
        "what is read and served is on the grid. Without write-back the rows of a batch are not "
        "rounded for good either, as in learned step size quantisation (Esser et al., 2020)."
    ),
    implementation="automl_rec_embeddings.quant:Quant",
    hyperparameters={
        **sized_by("bits", default=0.5),
        "bits": Choice((4, 8, 16), 8, only_if={"sized_by": ("bits",)}),
        "steps": Choice(("learned", "fitted"), "learned"),
        "step_rate": Float(1e-6, 1e-3, 2e-5, log=True, only_if={"steps": ("learned",)}),
        "write_back": Choice((True, False), True, only_if={"steps": ("learned",)}),
    },
)

DPQ = Component(
    kind="embedding",
    name="dpq",
    summary="Rows put together from the nearest words of a codebook, part by part.",
    source=(
        "Differentiable product quantisation, nearest words (Chen et al., ICML 2020): full query "
        "rows in training, codes and a codebook when served. Ours trains queries alone for half of "
        "the epochs and starts words at their k-means, gives words the slopes of the task, "
        "restarts unused ones as queries, and holds queries near their words by a commitment loss "
        "(van den Oord et al., 2017). Rows given by a closed form are fitted by k-means."
    ),
    implementation="automl_rec_embeddings.dpq:Dpq",
    hyperparameters={
        **sized_by("parts"),
        "parts": Integer(1, 64, 8, log=True, only_if={"sized_by": ("parts",)}),
        "words": Integer(2, 256, 32, log=True, only_if={"sized_by": ("parts",)}),
        "commitment": Float(0.01, 2.0, 0.25, log=True, search=False),
        **CODEC,
    },
)

MGQE = Component(
    kind="embedding",
    name="mgqe",
    summary="Product quantisation in which rare ids choose among the first words alone.",
    source=(
        "Multi-granular quantised embeddings (Kang et al., 2020) on the words of dpq: the most "
        "frequent tenth of ids have all words, the others the first quarter, as with 256 and 64. "
        "A code is a byte for either, so that bytes are those of dpq: what differs is how few "
        "words rare ids have to learn."
    ),
    implementation="automl_rec_embeddings.mgqe:Mgqe",
    hyperparameters={
        **sized_by("parts"),
        "parts": Integer(1, 64, 4, log=True, only_if={"sized_by": ("parts",)}),
        "words": Integer(2, 256, 256, log=True, only_if={"sized_by": ("parts",)}),
        "hot_share": Float(0.01, 0.5, 0.1, log=True),
        "cold_words": Float(0.02, 0.9, 0.25, log=True),
        "commitment": Float(0.01, 2.0, 0.25, log=True, search=False),
        **CODEC,
    },
)

SEMANTIC_ID = Component(
    kind="embedding",
    name="semantic-id",
    summary="Rows are sums over codes, those of rows learned first or of what is known of items.",
    source=(
        "Residual-quantised codes as in TIGER (Rajput et al., 2023), as embeddings after Singh et "
        "al., 2024. Ours finds codes by k-means level by level, with no autoencoder, and tells ids "
        "of the same codes apart by the row of a number."
    ),
    implementation="automl_rec_embeddings.semantic_id:SemanticId",
    hyperparameters={
        **sized_by("codes"),
        "codes": Integer(16, 256, 256, log=True, only_if={"sized_by": ("codes",)}),
        "levels": Integer(1, 4, 3),
        "unique": Choice((True, False), True),
        "source": Choice(("pretrained", "content"), "pretrained"),
        **CODEC,
    },
)


@hookimpl
def register_embeddings() -> list[Component]:
    """Returns the embeddings of this package."""
    return [
        FULL,
        FIXED_DIM,
        HASH,
        MIXED_DIM,
        QR,
        DNIS,
        PEP,
        MATRYOSHKA,
        GRAPHHASH,
        TT,
        ROBE,
        UNIFIED,
        QUANT,
        DPQ,
        MGQE,
        SEMANTIC_ID,
    ]
