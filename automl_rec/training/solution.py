"""Solutions: what a closed form found, kept in a file for others who need the same."""

import torch

from automl_rec.builder import require_types
from automl_rec.costs import weights_of
from automl_rec.plugin import Catalog, ClosedFormModel
from automl_rec.plugin.matrices.describing import blank, describe
from automl_rec.training.resumption import TrainingFile


def solve(model: ClosedFormModel, catalog: Catalog, seed: int, file: TrainingFile | None) -> None:
    """Gives a model its weights: from its file if there is one, else from the train part.

    Args:
        model: as built.
        catalog: the train part.
        seed: of what is drawn.
        file: written if it is to be kept.

    Raises:
        Infeasible: the data are too large for the method.
        StorageError: the file is of another model, or cannot be read or written.
    """
    if file is not None and _taken(model, file):
        return
    model.fit(catalog, torch.Generator().manual_seed(seed))
    if file is not None and file.keep:
        stored = (pair for pair in weights_of(model).items() if not pair[1].in_training)
        layouts = {name: describe(weight.matrix) for name, weight in stored}
        file.write(model.state_dict(), {"layouts": layouts})


@torch.no_grad()
def _taken(model: ClosedFormModel, file: TrainingFile) -> bool:
    """Whether there was a file, whose weights the model has now."""
    found = file.read()
    if found is None:
        return False
    tensors, facts = found
    with file.taking():
        weights = weights_of(model)
        for name, layout in facts["layouts"].items():
            weights[name].matrix = blank(layout)
        require_types(model, tensors)
        model.load_state_dict(tensors, assign=True)
    return True
