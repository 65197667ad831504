"""Models that learn from who met what, without order."""

from automl_rec_models.collaborative.factors import BPR_MF, IALS, MF, REL_MF, SIMPLEX
from automl_rec_models.collaborative.graphs import FASTRP, LIGHTGCN, ULTRAGCN
from automl_rec_models.collaborative.neighbours import EASE, ITEM_KNN, POPULARITY, RP3BETA, USER_KNN

COMPONENTS = (
    BPR_MF,
    EASE,
    FASTRP,
    IALS,
    ITEM_KNN,
    LIGHTGCN,
    MF,
    POPULARITY,
    REL_MF,
    RP3BETA,
    SIMPLEX,
    ULTRAGCN,
    USER_KNN,
)
