"""A model that reads columns of every kind, and rows for it; a run whose search has not begun."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nasrec_automl import load_model
from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import save_network
from nasrec_automl.pipeline.model_folder import Model
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.testing.examples import tiny_space
from tests.data.learned import fit


@dataclass
class Varied:
    """A model's folder, and raw rows that it has not seen."""

    folder: Path
    frame: pd.DataFrame


@pytest.fixture(scope="session")
def frame(finished_run: RunFolder) -> pd.DataFrame:
    """Raw rows of the finished run's kind."""
    return make_synthetic(**{"rows": 100_000, "seed": 0, **finished_run.job.data.options}).frame.head(500)


@pytest.fixture(scope="session")
def model(finished_run: RunFolder) -> Model:
    """The finished run's model."""
    return load_model(finished_run.best)


@pytest.fixture(scope="session")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Varied:
    """Multi-valued fields (mean and sum), quantiles, flags of missing values, hex digits, hashes, derived columns."""
    folder = tmp_path_factory.mktemp("varied")
    frame = varied_rows(600)
    preprocessing = fit(
        frame.head(400),
        dense={
            "price": DenseOptions(transform="quantile", flag_missing=True),
            "age": DenseOptions(transform="standardise"),
            "count": DenseOptions(flag_missing=True),
        },
        categorical={
            "tags": CategoricalOptions(max_values=3, pooling="mean"),
            "words": CategoricalOptions(max_values=2, pooling="sum", separator=" ", kind="hash", max_table_size=20),
            "code": CategoricalOptions(format="hex", kind="hash", max_table_size=30),
            "site": CategoricalOptions(format="hex", min_count=2),
            "id": CategoricalOptions(),
            "hour": CategoricalOptions(),
        },
        derived=[DerivedColumn(name="hour", source="at", kind="hour")],
    )
    torch.manual_seed(0)
    subnet = Subnet(tiny_space().random(np.random.default_rng(0)), preprocessing.schema(8))
    with torch.no_grad():
        subnet.embedding.weight.normal_()
    save_network(subnet, folder / "model.safetensors")
    preprocessing.save(folder / "preprocessing.json")
    return Varied(folder, frame.tail(200).reset_index(drop=True))


def varied_rows(count: int) -> pd.DataFrame:
    draw = np.random.default_rng(0)

    def some(values: list[str | None]) -> list[str | None]:
        return [values[i] for i in draw.integers(len(values), size=count)]

    return pd.DataFrame(
        {
            "price": np.where(draw.random(count) < 0.2, np.nan, draw.gamma(2.0, 10.0, count).round(2)),
            "age": np.where(draw.random(count) < 0.1, np.nan, draw.integers(18, 90, count)),
            "count": np.where(draw.random(count) < 0.5, np.nan, draw.integers(-3, 1000, count)),
            "tags": some([None, "a", "a|b", "c|a|b", "d|c|b|a", "|b"]),
            "words": some([None, "new shoes", "red", "blue red new", "42 shoes"]),
            "code": some([None, "0a1b2c3d", "ffffffff", "00000000", "deadbeef"]),
            "site": some([None, "00000001", "00000002", "0000000a"]),
            "id": [str(2**60 + i) for i in draw.integers(50, size=count)],
            "at": draw.integers(0, 10**9, count),
        }
    )


@pytest.fixture
def searching(copied_run: RunFolder) -> RunFolder:
    """A run whose supernet is trained, and nothing after it done."""
    for path in copied_run.path.iterdir():
        if path.name not in ("data", "supernet", "stages", "progress", "job.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (copied_run.path / "stages").iterdir():
        if path.stem not in ("data", "supernet"):
            path.unlink()
    return copied_run


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared rows that a small supernet learns from."""
    path = tmp_path_factory.mktemp("data") / "prepared"
    prepare(make_synthetic(4000, 0, fields=4, dense=2, categories=10), path)
    return path
