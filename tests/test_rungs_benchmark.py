"""The benchmark's rungs: the order of trainings at a validation against their order at the end."""

from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.rungs.command import FEWEST, tau_at


def trial(end: float, **at: float) -> FrozenTrial:
    values = {int(name.removeprefix("v")): value for name, value in at.items()}
    return optuna.trial.create_trial(value=end, intermediate_values=values)


def test_tau_is_that_of_the_trainings_that_came_so_far() -> None:
    trials = [trial(end, v1=-end, v2=end) for end in (0.1, 0.2, 0.3, 0.4)] + [trial(0.5, v1=-0.5)]
    assert tau_at(trials, 1) == (5, pytest.approx(-1))
    assert tau_at(trials, 2) == (4, pytest.approx(1))
    assert tau_at(trials, 3) is None
    assert tau_at(trials[: FEWEST - 1], 1) is None


def test_the_command_reads_runs(
    finished_run: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", "rungs", str(finished_run.path)])
    benchmarks.main()
    shown = capsys.readouterr().out
    assert "Kendall's tau with the end" in shown
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│")] == ["1", "2", "4"]
