"""The search: suggestions, early stopping across trials, engines, and the run of a study.

The package is callable: ``automl_rec.search("space.yaml")`` is `automl_rec.search.study.run`.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_rec.search.study import Study


class _Search(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> "Study":
        """Searches a space; arguments as of `automl_rec.search.study.run`."""
        from automl_rec.search.study import run

        return run(*arguments, **options)


sys.modules[__name__].__class__ = _Search
