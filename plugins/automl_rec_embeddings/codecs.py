"""Codecs: the precision of everything a finished table stores."""

from dataclasses import replace

from automl_rec.plugin import Embedding, Form, Precision, Table, quantise


class CodedEmbedding(Embedding):
    """An embedding whose tables are rounded when all else is done.

    int8 is symmetric per row with one float32 step, so that a value errs by half a step at most;
    of a sparse matrix only the kept values are rounded.

    Source: row-wise post-training quantisation, the common form.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision

    def encode(self, table: Table) -> None:
        """See `Embedding.encode`."""
        for weight in table.weights():
            weight.matrix = quantise(weight.matrix, self.precision)

    def price(self, form: Form) -> Form:
        """See `Embedding.price`; what a scheme stored as integers itself stays so in fp32."""
        if self.precision == "fp32":
            return form
        return form.map_leaves(lambda leaf: replace(leaf, precision=self.precision))
