"""Item vectors of a model in closed form, as another model's frozen table."""

import torch
from torch import Tensor

from automl_rec.plugin import Catalog, Layers
from automl_rec_models import collaborative


def item_vectors(name: str, catalog: Catalog, width: int, generator: torch.Generator) -> Tensor:
    """The item table of a model, solved at its defaults for the catalog: (I, D) float32.

    Args:
        name: of a collaborative model in closed form with a table ``item``.
        catalog: the train part.
        width: D.
        generator: of every draw.
    """
    (component,) = (part for part in collaborative.COMPONENTS if part.name == name)
    values = {key: domain.default for key, domain in component.hyperparameters.items()}
    model = component.load()(catalog, Layers(catalog, generator), **values | {"width": width})
    model.fit(catalog, generator)
    vectors: Tensor = model.item.rows().detach()
    return vectors
