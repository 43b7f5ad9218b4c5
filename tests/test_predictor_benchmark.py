"""The benchmark's predictor: what few trainings say of architectures that were not trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasrec_automl.architecture import DENSE_OPS, DOT_PRODUCT
from nasrec_automl.evaluation.predictor import operator_counts
from nasrec_automl.pipeline.files import write_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.truth import sample_sizes
from tests.benchmarks import __main__ as benchmarks


@pytest.fixture
def ranked(copied_run: RunFolder) -> RunFolder:
    """A run whose ranks say: every Dot-Product helps, scores are right, and size says nothing."""
    rng = np.random.default_rng(0)
    points = []
    for one in sample_sizes(copied_run, 20):
        loss = 0.5 - 0.01 * operator_counts(one)[DENSE_OPS.index(DOT_PRODUCT)] + rng.normal(0, 1e-4)
        points.append(
            {
                "params": dict(one.params),
                "losses": [loss, loss + rng.normal(0, 1e-4)],
                "score": loss,
                "parameters": int(rng.integers(1000, 2000)),
            }
        )
    write_json(copied_run.rank, {"architectures": points})
    return copied_run


def call(monkeypatch: pytest.MonkeyPatch, path: Path, *more: str) -> None:
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", "predictor", str(path), "--draws", "20", *more])
    benchmarks.main()


def test_it_compares_scores_size_and_predictor_on_what_was_not_trained(
    ranked: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, ranked.path, "--trained", "4", "12")
    rows: list[list[Any]] = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("│")
    ]
    assert [row[:2] for row in rows] == [["tiny", "4"], ["tiny", "12"]]
    scores, size, predictor = (np.array([float(row[i]) for row in rows]) for i in (2, 3, 4))
    assert (scores > 0.85).all()
    assert (np.abs(size) < 0.5).all()
    assert 0.4 < predictor[1] < scores[1], "trainings that have equally many differ by noise alone"
    assert predictor[1] > predictor[0]


def test_it_says_what_it_lacks(
    ranked: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        call(monkeypatch, ranked.path, "--trained", "18")
    assert "from 2 to 17" in capsys.readouterr().err
    ranked.rank.unlink()
    with pytest.raises(SystemExit):
        call(monkeypatch, ranked.path)
    assert "run `nasrec-automl rank`" in capsys.readouterr().err
