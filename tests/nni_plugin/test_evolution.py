from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import nni
import optuna
import pytest
from optuna.trial import TrialState

from nasrec_automl import heartbeat
from nasrec_automl.errors import StudyError
from nasrec_automl.nni_plugin import NasRecSpace, OptunaEvolution
from nasrec_automl.nni_plugin.nas import ModelStatus, RawFormatModelSpace
from nasrec_automl.search.ledger import Ledger
from nasrec_automl.testing.examples import tiny_schema, tiny_space
from tests.nni_plugin.evolution_studies import Engine, complete, run, trials_of

RUN = Path(__file__).with_name("evolution_run.py")


def test_in_process_the_study_has_the_trials_and_the_export_is_its_best(tmp_path: Path, runs: ModuleType) -> None:
    def evaluate(model: Any) -> None:
        nni.report_final_result(-runs.log_loss(model))

    experiment = runs.make_experiment(tmp_path, evaluate, trials=20)
    run(experiment)
    done = complete(tmp_path)
    assert len(trials_of(tmp_path)) == len(done) == 20
    for trial in done:
        assert trial.value == pytest.approx(
            runs.log_loss(experiment.strategy.model_space.freeze(trial.params).executable_model())
        )
    best = sorted(done, key=lambda trial: trial.value or 0.0)
    assert experiment.export_top_models(3, formatter="dict") == [trial.params for trial in best[:3]]
    models = experiment.export_top_models(2)
    assert [model.metric for model in models] == [-(trial.value or 0.0) for trial in best[:2]]
    assert {model.status for model in models} == {ModelStatus.Trained}
    listed = [model.sample for model in experiment.strategy.list_models(sort=False)]
    assert listed == [trial.params for trial in done]


def test_before_it_has_run_it_says_where_models_are(tmp_path: Path, runs: ModuleType) -> None:
    experiment = runs.make_experiment(tmp_path, print, trials=2)
    with pytest.raises(StudyError, match=r"has not been run.*optuna\.load_study"):
        experiment.export_top_models(1)


@pytest.mark.slow
def test_killed_and_resumed_it_finds_what_an_unbroken_run_finds(tmp_path: Path) -> None:
    def start(name: str, seconds: float) -> subprocess.Popen[str]:
        (tmp_path / name).mkdir(exist_ok=True)
        command = [sys.executable, "-W", "ignore", str(RUN), str(tmp_path / name), str(seconds)]
        # NNI lists experiments in a folder of its own under HOME.
        environment = {**os.environ, "HOME": str(tmp_path / name)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    whole = start("whole", 0)
    process = start("broken", 0.2)
    assert process.stdout is not None
    for _ in range(12):
        while process.stdout.readline() != "begun\n":  # NNI logs there too
            assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = start("broken", 0)
    for ended in (process, whole):
        ended.communicate()
        assert ended.returncode == 0
    (failed,) = [trial for trial in trials_of(tmp_path / "broken") if trial.state == TrialState.FAIL]
    assert "is gone" in failed.user_attrs["nasrec:reason"]
    found = [[(trial.params, trial.value) for trial in complete(tmp_path / name)] for name in ("broken", "whole")]
    assert len(found[0]) == 24
    assert found[0] == found[1]


def test_a_model_that_fails_is_a_failed_trial(tmp_path: Path, runs: ModuleType) -> None:
    seen: list[Any] = []

    def evaluate(model: Any) -> None:
        seen.append(model)
        if len(seen) == 2:
            raise OSError("no such thing")
        if len(seen) == 3:
            nni.report_final_result(float("nan"))
        elif len(seen) != 4:
            nni.report_final_result(-1.0)

    experiment = runs.make_experiment(tmp_path, evaluate, trials=5)
    experiment.config.execution_engine.continue_on_failure = True
    run(experiment)
    states = [trial.state for trial in trials_of(tmp_path)]
    assert states == [TrialState.COMPLETE] + 3 * [TrialState.FAIL] + 4 * [TrialState.COMPLETE]
    reasons = [trial.user_attrs["nasrec:reason"] for trial in trials_of(tmp_path)[1:4]]
    assert reasons[0] == "NNI's model ended as failed: the log of its trial, or of the experiment, says why"
    assert reasons[1].startswith("the model reported the final result nan: expected the negative log loss")
    assert reasons[2] == "the evaluator ended without a final result (nni.report_final_result)"


@pytest.mark.parametrize(
    ("evaluate", "reason"),
    [
        (lambda model: -0.5, "the evaluator ended without a final result"),
        (lambda model: nni.report_final_result(True), "the model reported the final result True"),
        (lambda model: nni.report_final_result(float("nan")), "the model reported the final result nan"),
    ],
)
def test_where_no_model_has_a_result_the_experiment_ends_and_says_why(
    tmp_path: Path, runs: ModuleType, evaluate: Any, reason: str
) -> None:
    with pytest.raises(StudyError, match=f"^16 models in a row have no result; .*'nasrec-nni' says: {reason}"):
        run(runs.make_experiment(tmp_path, evaluate, trials=20))
    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.FAIL] * 16
    few = runs.make_experiment(tmp_path, evaluate, trials=20)
    few.config.max_trial_number = 3
    with pytest.raises(StudyError, match=f"^3 models have run, and none has a result; .* says: {reason}"):
        run(few)


def test_after_results_it_is_architectures_that_end_an_experiment(tmp_path: Path, runs: ModuleType) -> None:
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=2))
    with pytest.raises(StudyError, match=r"^16 architectures in a row have no result"):
        run(runs.make_experiment(tmp_path, lambda model: None, trials=40))
    failed = [trial for trial in trials_of(tmp_path) if trial.state == TrialState.FAIL]
    assert len({trial.user_attrs["nasrec:key"] for trial in failed}) == 16
    assert len(failed) == 15 * 4 + 1, "each is tried four times"


def test_a_result_between_failures_lets_the_experiment_go_on(tmp_path: Path, runs: ModuleType) -> None:
    seen: list[Any] = []

    def evaluate(model: Any) -> None:
        seen.append(model)
        if len(seen) % 10 == 0:
            nni.report_final_result(-1.0)

    run(runs.make_experiment(tmp_path, evaluate, trials=3))
    assert (len(seen), len(complete(tmp_path))) == (30, 3)


def test_a_log_loss_without_its_minus_sign_is_a_warning(
    tmp_path: Path, runs: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    results = iter([-0.1, 0.7, 0.6])
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(next(results)), trials=3))
    assert [trial.value for trial in complete(tmp_path)] == [0.1, -0.7, -0.6]
    (warning,) = [record.getMessage() for record in caplog.records if "minus sign" in record.getMessage()]
    assert "final result 0.7, above 0" in warning


def test_a_trial_whose_model_cannot_be_made_is_tried_again_by_the_next_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 'studies.db'}", "population_size": 2}
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    with monkeypatch.context() as patch:
        patch.setattr(RawFormatModelSpace, "freeze", _no_memory)
        with pytest.raises(MemoryError):
            OptunaEvolution(tournament_size=2, trials=3, **options)(space, Engine())
    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.RUNNING]
    engine = Engine()
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution.time.sleep", lambda _: engine.end(engine.models[-1]))
    OptunaEvolution(tournament_size=2, trials=3, **options)(space, engine)
    failed, *done = trials_of(tmp_path)
    assert failed.state == TrialState.FAIL
    assert failed.params in [trial.params for trial in done]


def _no_memory(self: Any, sample: Any) -> None:
    raise MemoryError


def test_a_trial_that_is_no_architecture_is_no_model(tmp_path: Path, runs: ModuleType) -> None:
    experiment = runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=2)
    run(experiment)
    study = optuna.load_study(study_name="nasrec-nni", storage=f"sqlite:///{tmp_path / 'studies.db'}")
    study.add_trial(optuna.create_trial(value=0.1))
    assert len(experiment.export_top_models(3, formatter="dict")) == 2


def test_an_error_that_ends_the_experiment_is_raised_and_its_trial_fails(tmp_path: Path, runs: ModuleType) -> None:
    def evaluate(model: Any) -> None:
        raise OSError("no such thing")

    with pytest.raises(OSError, match="no such thing"):
        run(runs.make_experiment(tmp_path, evaluate))
    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.FAIL]


def test_the_experiments_budget_ends_it_too(tmp_path: Path, runs: ModuleType) -> None:
    experiment = runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=None)
    experiment.config.execution_engine.max_model_count = 3
    run(experiment)
    assert len(complete(tmp_path)) == 3


def test_models_run_at_once_and_what_the_end_leaves_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution._LATE", 0.0)
    engine = Engine()
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution.time.sleep", lambda _: engine.end(engine.models[-1]))
    options: dict[str, Any] = {"storage": f"sqlite:///{tmp_path / 'studies.db'}", "population_size": 4}
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    monkeypatch.setattr(engine, "budget_available", lambda: len(trials_of(tmp_path)) < 7)
    OptunaEvolution(tournament_size=2, **options)(space, engine)
    assert engine.most == 2
    done = complete(tmp_path)
    left = [trial for trial in trials_of(tmp_path) if trial.state == TrialState.FAIL]
    assert len(done) + len(left) == 7
    assert left
    assert {trial.user_attrs["nasrec:failure"] for trial in left} == {"interrupted"}
    assert engine.callbacks == []
    engine = Engine()
    OptunaEvolution(tournament_size=2, trials=8, **options)(space, engine)
    assert {t.user_attrs["nasrec:key"] for t in left} <= {t.user_attrs["nasrec:key"] for t in complete(tmp_path)}


def test_what_was_measured_is_written_although_its_end_was_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution._LATE", 0.0)
    engine = Engine()
    submit = engine.submit_models

    def measured(model: Any) -> None:
        submit(model)
        engine.tell(model, metric=-0.25)

    monkeypatch.setattr(engine, "submit_models", measured)
    monkeypatch.setattr(engine, "budget_available", lambda: len(trials_of(tmp_path)) < 2)
    monkeypatch.setattr(engine, "idle_worker_available", lambda: True)
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    OptunaEvolution(tournament_size=2, population_size=4, storage=storage)(space, engine)
    assert [trial.value for trial in complete(tmp_path)] == [0.25, 0.25]
    assert len(trials_of(tmp_path)) == 2


def test_the_strategy_ends_once_its_last_result_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    submit, finish = engine.submit_models, Ledger.finish
    told, writing = threading.Event(), threading.Event()

    def slow(self: Ledger, *args: Any) -> bool:
        writing.set()
        told.wait(1.0)  # it never is: the strategy has nothing else to wait for
        return finish(self, *args)

    def from_a_thread(model: Any) -> None:
        submit(model)
        threading.Thread(target=engine.end, args=(model,)).start()
        writing.wait()

    monkeypatch.setattr(Ledger, "finish", slow)
    monkeypatch.setattr(engine, "submit_models", from_a_thread)
    monkeypatch.setattr(engine, "budget_available", lambda: not trials_of(tmp_path))
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    OptunaEvolution(tournament_size=2, population_size=4, storage=storage)(space, engine)
    assert [trial.value for trial in complete(tmp_path)] == [0.5]


def test_while_a_model_runs_its_trial_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.01)
    engine = Engine()
    signs: list[float] = []

    def long(model: Any) -> None:
        Engine.submit_models(engine, model)
        late = time.monotonic() + 10
        while len(set(signs)) < 3 and time.monotonic() < late:
            signs.append(trials_of(tmp_path)[0].user_attrs["nasrec:alive"])
        engine.end(model)

    monkeypatch.setattr(engine, "submit_models", long)
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    OptunaEvolution(tournament_size=2, population_size=4, storage=storage, trials=1)(space, engine)
    assert len(set(signs)) == 3
    assert len(complete(tmp_path)) == 1


def test_a_result_that_comes_too_late_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine()
    storage = f"sqlite:///{tmp_path / 'studies.db'}"

    def failed_meanwhile(model: Any) -> None:
        Engine.submit_models(engine, model)
        if len(trials_of(tmp_path)) == 1:
            study = optuna.load_study(study_name="nasrec-nni", storage=storage)
            study.tell(0, state=TrialState.FAIL)
        engine.end(model)

    monkeypatch.setattr(engine, "submit_models", failed_meanwhile)
    space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    OptunaEvolution(tournament_size=2, population_size=4, storage=storage, trials=2)(space, engine)
    assert [trial.state for trial in trials_of(tmp_path)] == [TrialState.FAIL, *2 * [TrialState.COMPLETE]]
    warned = [record.message for record in caplog.records if "is lost" in record.message]
    assert len(warned) == 1
    assert warned[0].startswith("the result 0.5 of trial 0 is lost: another process had ended the trial")


_STATUS = {"end": ModelStatus.Trained, "die": ModelStatus.Failed, "stop": ModelStatus.Interrupted}


class Service(Engine):
    """NNI's training service with two workers: whoever asks first takes the oldest model, whatever it was started for.

    Args:
        order: of what happens, by the number of a process: `ask`, `report`, `end`, `die` (which it may before it asks),
            or `stop`, by NNI.
    """

    def __init__(self, order: list[tuple[int, str]]) -> None:
        super().__init__()
        self.order = order
        self.submitted: list[Any] = []
        self.asked: dict[int, Any] = {}
        self.waiting: list[Any] = []

    def submit_models(self, model: Any) -> None:
        super().submit_models(model)
        self.submitted.append(model)
        self.waiting.append(model)

    def idle_worker_available(self) -> bool:
        return len(self.models) < 2

    def budget_available(self) -> bool:
        return bool(self.order)

    def step(self, _: float = 0.0) -> None:
        """The next thing that happens to a process that was started."""
        at = next((i for i, (process, _) in enumerate(self.order) if process < len(self.submitted)), None)
        if at is None:
            return
        process, what = self.order.pop(at)
        meant = self.submitted[process]
        if what == "ask":
            self.asked[process] = self.waiting.pop(0)
        elif what == "report":
            self.tell(self.asked[process], metric=-1.0 - self.submitted.index(self.asked[process]))
        else:
            self.models.remove(meant)
            self.tell(meant, status=_STATUS[what])


def one_after(*steps: str, processes: int = 4) -> list[tuple[int, str]]:
    return [(process, step) for process in range(processes) for step in steps]


WHOLE = ("ask", "report", "end")


SWAPPED = [(1, "ask"), (0, "ask"), (1, "report"), (1, "end"), (0, "report"), (0, "end")]


@pytest.mark.parametrize(
    ("order", "reasons"),
    [
        (one_after(*WHOLE), []),
        # The second process asks first, and each measures the other's model.
        (SWAPPED + one_after(*WHOLE)[6:], []),
        # The first dies before it asks: every later one measures the model before its own, and one more is started.
        ([(0, "die"), *one_after(*WHOLE, processes=5)[3:]], ["the evaluator ended without a final result"]),
        # One says nothing: it is tried again. One fails: it is not.
        ([(0, "ask"), (0, "end"), *one_after(*WHOLE, processes=5)[3:]], ["the evaluator ended without a final result"]),
        ([(0, "ask"), (0, "die"), *one_after(*WHOLE, processes=5)[3:]], ["NNI's model ended as failed"]),
        ([(0, "ask"), (0, "stop"), *one_after(*WHOLE, processes=5)[3:]], ["the experiment was interrupted"]),
    ],
    ids=["in turn", "swapped", "dead before it asks", "silent", "failed", "interrupted"],
)
def test_a_model_has_its_own_metric_whichever_process_measured_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: list[tuple[int, str]], reasons: list[str]
) -> None:
    service = Service(order)
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution.time.sleep", service.step)
    strategy = OptunaEvolution(
        storage=f"sqlite:///{tmp_path / 'studies.db'}", trials=4, population_size=4, tournament_size=2
    )
    strategy(RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None), service)
    done = complete(tmp_path)
    assert len(done) == 4
    submitted = [dict(model.sample) for model in service.submitted]
    assert len(submitted) == 4 + len(reasons)
    for trial in done:  # of one that is tried again either metric is its own
        assert trial.value in {1.0 + i for i, sample in enumerate(submitted) if sample == trial.params}
    failed = [trial.user_attrs["nasrec:reason"] for trial in trials_of(tmp_path) if trial.state == TrialState.FAIL]
    assert len(failed) == len(reasons)
    assert all(found.startswith(reason) for found, reason in zip(failed, reasons, strict=True))


def test_options_out_of_range_are_named_at_once() -> None:
    with pytest.raises(StudyError, match=r"storage must be a SQLAlchemy URL, .* but it is a InMemoryStorage"):
        OptunaEvolution(**{"storage": optuna.storages.InMemoryStorage()})
    with pytest.raises(StudyError, match="trials must be at least 1, but it is 0"):
        OptunaEvolution(storage="sqlite://", trials=0)
    with pytest.raises(StudyError, match="tournament_size must be from 1 to population_size"):
        OptunaEvolution(storage="sqlite://", population_size=4, tournament_size=5)


def test_its_repr_hides_the_password() -> None:
    strategy = OptunaEvolution(storage="postgresql://me:secret@host/db", trials=3)
    assert repr(strategy) == "OptunaEvolution(storage='postgresql://me:***@host/db', study='nasrec-nni', trials=3)"
