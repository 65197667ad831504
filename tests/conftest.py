"""What every test relies on: repeatable examples and a cache of its own."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Prepared data of the tests never mixes with the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOML_REC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
