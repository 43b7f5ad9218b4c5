from __future__ import annotations

from types import ModuleType

import pytest

from tests.nni_plugin.evolution_studies import RUN, load


@pytest.fixture(scope="module")
def runs() -> ModuleType:
    return load(RUN)
