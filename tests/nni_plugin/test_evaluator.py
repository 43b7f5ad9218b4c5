from pathlib import Path
from typing import Any

import nni
import pytest

from nasrec_automl.nni_plugin import ClickEvaluatorModule, NasRecOneShot, NasRecSpace
from nasrec_automl.testing.examples import tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import make_evaluator, run_experiment
from nasrec_automl.training.module import ClickModule


def test_it_is_the_click_module() -> None:
    assert issubclass(ClickEvaluatorModule, ClickModule)


def test_validations_are_intermediate_results_and_the_last_is_the_final_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    intermediate: list[Any] = []
    final: list[Any] = []
    monkeypatch.setattr(nni, "report_intermediate_result", intermediate.append)
    monkeypatch.setattr(nni, "report_final_result", final.append)
    space = NasRecSpace(tiny_space(), tiny_schema())
    run_experiment(space, make_evaluator(steps=12, val_check_interval=4), NasRecOneShot(), tmp_path)
    assert len(intermediate) == 3
    assert final == intermediate[-1:]
    for result in intermediate:
        assert set(result) == {"default", "log_loss", "auc"}
        # NNI's strategies maximise.
        assert result["default"] == -result["log_loss"]
        assert 0 < result["auc"] < 1
