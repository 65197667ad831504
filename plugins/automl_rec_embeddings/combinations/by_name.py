"""Combinations by the names that hyperparameters give them."""

from typing import Literal, TypeAlias

from automl_rec_embeddings.combinations.combination import Combination
from automl_rec_embeddings.combinations.concat import Concat
from automl_rec_embeddings.combinations.product import Product
from automl_rec_embeddings.combinations.sum import Sum

Name: TypeAlias = Literal["sum", "concat", "mul"]
COMBINATIONS: dict[Name, type[Combination]] = {"sum": Sum, "concat": Concat, "mul": Product}


def combination_of(name: Name, width: int, stores: int) -> Combination:
    """The combination of a name; rows of fewer columns than stores are added, never divided."""
    narrow = name == "concat" and width < stores
    return Sum() if narrow else COMBINATIONS[name]()
