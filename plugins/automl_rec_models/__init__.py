"""First-party models."""

from automl_rec.plugin import Component, hookimpl
from automl_rec_models import collaborative, featured, ranking, sequential

AUTOML_REC_API = (1, 0)


@hookimpl
def register_models() -> list[Component]:
    """Returns every model of this package."""
    packages = (collaborative, featured, ranking, sequential)
    return [component for package in packages for component in package.COMPONENTS]
