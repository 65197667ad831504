"""DeepFM: a factorisation machine and a perceptron on the same tables."""

from torch import Tensor

from automl_rec.plugin import Catalog, Layers
from automl_rec_models.ranking.fields import Reading
from automl_rec_models.ranking.fm import FactorizationMachine
from automl_rec_models.ranking.perceptron import Hidden, Perceptron


class DeepFm(FactorizationMachine):
    """The log-odds of a factorisation machine plus those of a perceptron on its vectors.

    Source: Guo et al., IJCAI 2017.
    """

    def __init__(
        self,
        catalog: Catalog,
        layers: Layers,
        /,
        *,
        width: int,
        regularization: float,
        hidden: int,
        depth: int,
        batch_norm: bool,
        dropout: float,
    ) -> None:
        super().__init__(catalog, layers, width=width, regularization=regularization)
        shape = Hidden(hidden, depth, batch_norm, dropout)
        self.deep = Perceptron("deep", self.size, layers, shape)
        self.output = layers.linear("output", hidden, 1, bias=False, sensitive=True)

    def judge(self, *readings: Reading) -> Tensor:
        """See `FieldModel.judge`."""
        deep: Tensor = self.output(self.deep(readings[1].vectors.flatten(1))).squeeze(1)
        return super().judge(*readings) + deep

    def operations(self) -> float:
        """Multiply-adds of the factorisation machine and of batch normalisations."""
        return super().operations() + self.deep.operations
