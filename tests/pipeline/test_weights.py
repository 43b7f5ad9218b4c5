"""A whole run on rows that have weights, multi-valued fields, quantiles and missing flags: raw file to prediction."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

from nasrec_automl import load_model
from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.evaluation.paired import auc_difference_error, log_loss_difference_error
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final_baselines import final_baselines
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.studies import begun_study
from nasrec_automl.pipeline.subnets import best_trials, trial_weights
from nasrec_automl.report.calibration import calibration_bins
from nasrec_automl.training.metrics import log_losses

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

    final, choice = json.loads(run.final.read_text()), prepared.part("choice")
    label, weight = np.asarray(choice.label), np.asarray(choice.weight, np.float64)
    study = begun_study(run, "retrain")
    losses = {}
    for name, trial in best_trials(study).items():
        probability = torch.sigmoid(predict_logits(load_subnet(trial_weights(run, study, trial)), choice)).numpy()
        losses[name] = -np.log(np.where(label == 1, probability, 1 - probability), dtype=np.float64)
    winner, *others = final["contenders"]
    for one in (winner, *others):
        weighted = np.average(losses[one["name"]], weights=weight)
        assert one["validation"]["log_loss"] == pytest.approx(weighted, abs=1e-6)
        assert weighted != pytest.approx(losses[one["name"]].mean(), abs=1e-4), "or this shows nothing"
    for one in others:
        both = losses[one["name"]], losses[winner["name"]]
        assert one["less_winner_error"] == pytest.approx(log_loss_difference_error(*both, weight), rel=1e-3)
        assert one["less_winner_error"] != pytest.approx(log_loss_difference_error(*both), rel=1e-2)

    label, weight = np.array(test.label), np.asarray(test.weight, np.float64)
    logits = predict_logits(model.subnet, test)
    assert [
        asdict(one) for one in calibration_bins(torch.from_numpy(label), torch.sigmoid(logits).numpy(), weight)
    ] == (final["calibration"])
    for baseline, noted in zip(final_baselines(run, prepared), read_json(run.result)["baselines"], strict=True):
        its = baseline.model.logits(test)
        error = auc_difference_error(label, its.numpy(), logits.numpy(), weight)
        assert noted["test_less_winner_error"]["auc"] == pytest.approx(error, rel=1e-4)
        assert error != pytest.approx(auc_difference_error(label, its.numpy(), logits.numpy()), rel=1e-2)
        losses = [log_losses(some, torch.from_numpy(label)).numpy() for some in (its, logits)]
        error = log_loss_difference_error(*losses, weight)
        assert noted["test_less_winner_error"]["log_loss"] == pytest.approx(error, rel=1e-4)


def _find(content: object, name: str, value: float) -> bool:
    """Whether a number of that name is anywhere in a JSON file's content."""
    if isinstance(content, dict):
        return any(
            (key == name and isinstance(inner, float) and inner == pytest.approx(value, abs=1e-5))
            or _find(inner, name, value)
            for key, inner in content.items()
        )
    return isinstance(content, list) and any(_find(inner, name, value) for inner in content)
