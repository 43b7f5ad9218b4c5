from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from nasrec_automl.search import open_storage, open_study
from nasrec_automl.space import SearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """Two blocks, 9,216 architectures."""
    return SearchSpace(
        name="two-blocks",
        blocks=2,
        dense_ops=("fc", "dot_product"),
        sparse_ops=("efc",),
        dense_dims=(16, 32),
        sparse_dims=(16, 32),
    )


@pytest.fixture(scope="session")
def tiny() -> SearchSpace:
    """One block, 16 architectures, 16 keys."""
    return SearchSpace(
        name="tiny",
        blocks=1,
        dense_ops=("fc",),
        sparse_ops=("efc",),
        dense_dims=(16, 32),
        sparse_dims=(16, 32),
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'studies.db'}"


@pytest.fixture
def storage(url: str) -> RDBStorage:
    return open_storage(url)


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    return open_study(storage, name="search", identity={})
