"""A whole run on rows that have weights, multi-valued fields, quantiles and missing flags: raw file to prediction."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from nasrec_automl import load_model
from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job

SCHEMA = """
label: y
weight: copies
dense:
  price: {transform: quantile, flag_missing: true}
categorical:
  shop:
  tags: {max_values: 3, pooling: sum}
  code: {format: hex, kind: hash, max_table_size: 50}
"""


def write_clicks(path: Path, rows: int = 3000) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    shop, tags = draw.integers(0, 20, rows), draw.integers(0, 9, (rows, 3))
    chance = 1 / (1 + np.exp(-(shop / 10 - 1 + (tags == 4).any(axis=1))))
    price = draw.lognormal(size=rows)
    price[draw.random(rows) < 0.1] = np.nan
    frame = pd.DataFrame(
        {
            "y": (draw.random(rows) < chance).astype(int),
            "copies": draw.integers(0, 4, rows),
            "price": price,
            "shop": [f"shop{number}" for number in shop],
            "tags": ["|".join(f"t{tag}" for tag in some[: 1 + some[0] % 3]) for some in tags],
            "code": [f"{number:08x}" for number in draw.integers(0, 500, rows)],
        }
    )
    frame.to_csv(path, index=False)
    return frame


def test_weights_count_from_the_file_to_the_last_measurement(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    frame = write_clicks(tmp_path / "clicks.csv")
    (tmp_path / "schema.yaml").write_text(SCHEMA)
    data = {"source": "table", "input": "clicks.csv", "schema": "schema.yaml", "options": {}}
    run = RunFolder(load_job(write_job(tmp_path, data=data)))
    run_job(run)
    prepared = PreparedData.open(run.data, test=True)
    assert sum(part.weight or 0 for part in prepared.description.parts.values()) == frame["copies"].sum()

    test = prepared.part("test")
    model = load_model(run.best)
    # The rows of test in the raw file are those that give its tensors.
    raw_dense, raw_ids = model.preprocessing.transform(frame)
    wanted = {
        (*dense, *ids)
        for dense, ids in zip(np.asarray(test.dense).tolist(), np.asarray(test.ids).tolist(), strict=True)
    }
    there = np.array(
        [(*dense, *ids) in wanted for dense, ids in zip(raw_dense.tolist(), raw_ids.tolist(), strict=True)]
    )
    rows = frame[there]
    assert len(rows) == len(test)
    by_hand = log_loss(rows["y"], model.predict(rows), sample_weight=rows["copies"])
    measured = json.loads(run.result.read_text())
    assert _find(measured, "log_loss", by_hand)
    assert not _find(measured, "log_loss", log_loss(rows["y"], model.predict(rows)))


def _find(content: object, name: str, value: float) -> bool:
    """Whether a number of that name is anywhere in a JSON file's content."""
    if isinstance(content, dict):
        return any(
            (key == name and isinstance(inner, float) and inner == pytest.approx(value, abs=1e-5))
            or _find(inner, name, value)
            for key, inner in content.items()
        )
    return isinstance(content, list) and any(_find(inner, name, value) for inner in content)
