"""First-party models."""

from automl_rec.plugin import Component, hookimpl
from automl_rec_models import collaborative, ranking, sequential

AUTOML_REC_API = (1, 0)


@hookimpl
def register_models() -> list[Component]:
    """Returns every model of this package."""
    return [*collaborative.COMPONENTS, *ranking.COMPONENTS, *sequential.COMPONENTS]
