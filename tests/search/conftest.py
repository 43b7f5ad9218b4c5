from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

from nasrec_automl.search import open_storage, open_study, search
from nasrec_automl.space import SearchSpace
from tests.search.search_worker import sampler, score

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


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives this machine other mounts, each a place and its kind."""

    def mount(*mounts: tuple[str, str]) -> None:
        found = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts]
        monkeypatch.setattr("psutil.disk_partitions", lambda **_: found)

    return mount


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


@pytest.fixture
def run(study: optuna.Study, storage: RDBStorage, space: SearchSpace) -> Callable[..., int]:
    """Run a search of cheap scores; keyword arguments are those of `search`, and `evaluate`."""

    def call(**options: Any) -> int:
        arguments: dict[str, Any] = {"storage": storage, "sampler": sampler(space), "target": 10, **options}
        evaluate = arguments.pop("evaluate", score)
        return search(study, space, evaluate, **arguments)

    return call
