"""OptunaEvolution under NNI's own training service, which runs each model in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nni
import psutil
import pytest
import torch
from optuna.trial import TrialState

from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.training.lightning import quiet
from tests.nni_plugin.evolution_studies import complete, load, trials_of
from tests.ports import free_port

SERVICE_RUN = Path(__file__).with_name("service_run.py")


@dataclass(frozen=True)
class ServiceRun:
    """service_run.py on prepared data of its own; its output is a file, since NNI's manager may outlive it."""

    folder: Path
    port: int

    def start(self, trials: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-W", "ignore", str(SERVICE_RUN), str(self.folder), str(self.port), str(trials)]
        with self.output.open("ab") as output:
            return subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output)

    @property
    def output(self) -> Path:
        return self.folder / "output.txt"

    def begun(self) -> int:
        """Trials that NNI has started; beside the experiment is a link to it."""
        return len(list(self.folder.glob("nni/[!_]*/environments/local-env/trials/*")))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceRun]:
    monkeypatch.setenv("HOME", str(tmp_path))  # NNI lists experiments there
    prepare(make_synthetic(20_000, seed=4), tmp_path / "data")
    yield ServiceRun(tmp_path, free_port())
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("HOME") == str(tmp_path) and process.pid != os.getpid():
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.slow
def test_nnis_training_service_runs_models_side_by_side(service: ServiceRun, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = service.folder
    assert service.start(trials=4).wait(240) == 0, service.output.read_text()
    trials = complete(folder)
    assert len(trials) == 4
    assert len({trial.value for trial in trials}) == 4
    for name in ("report_intermediate_result", "report_final_result"):
        monkeypatch.setattr(nni, name, lambda result: None)
    script = load(SERVICE_RUN)
    for trial in trials:
        evaluator = script.make_evaluator(folder)
        with quiet():
            evaluator.evaluate(script.make_space(folder).freeze(trial.params))
        assert trial.value == pytest.approx(evaluator.module.metrics.log_loss, rel=1e-4)
    best = torch.load(folder / "best.pt", weights_only=True)
    assert best == min(trials, key=lambda trial: trial.value).params
    first, second = sorted(trials, key=lambda trial: trial.datetime_start)[:2]
    assert second.datetime_start < first.datetime_complete, "two at once"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_script_goes_on_once_nnis_manager_is_stopped(service: ServiceRun) -> None:
    folder = service.folder
    process = service.start(trials=6)
    while service.begun() < 4:
        assert process.poll() is None, service.output.read_text()
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = {trial.user_attrs["nasrec:key"] for trial in complete(folder)}
    assert before
    assert service.start(trials=6).wait(240) != 0
    assert f"Port {service.port} is not idle" in service.output.read_text()
    nnictl = Path(sys.executable).with_name("nnictl")
    subprocess.run([nnictl, "stop", "--port", str(service.port)], check=True, capture_output=True, timeout=60)
    assert service.start(trials=6).wait(240) == 0, service.output.read_text()
    done = complete(folder)
    assert len(done) == 6
    assert before < {trial.user_attrs["nasrec:key"] for trial in done}
    failed = [trial for trial in trials_of(folder) if trial.state == TrialState.FAIL]
    assert failed
    assert len(failed) + len(done) == len(trials_of(folder))
    assert all("is gone" in trial.user_attrs["nasrec:reason"] for trial in failed)
