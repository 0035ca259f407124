from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs are seen in a store; not in that of the folder where the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_HOME", str(tmp_path_factory.mktemp("store")))
        yield
