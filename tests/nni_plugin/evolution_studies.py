"""What tests of OptunaEvolution read of its studies, and the scripts that they run."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.nni_plugin.nas import ModelEventType, ModelStatus

RUN = Path(__file__).with_name("evolution_run.py")


def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trials_of(folder: Path, name: str = "nasrec-nni") -> list[FrozenTrial]:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'studies.db'}").get_trials()


def complete(folder: Path) -> list[FrozenTrial]:
    done = [trial for trial in trials_of(folder) if trial.state == TrialState.COMPLETE]
    assert max(Counter(trial.user_attrs["nasrec:key"] for trial in done).values()) == 1
    return done


def run(experiment: Any) -> None:
    try:
        experiment.run()
    finally:
        experiment.stop()


class Engine:
    """Two workers elsewhere: models end when they are told to, in any order; the last one never says so."""

    def __init__(self) -> None:
        self.callbacks: list[Any] = []
        self.models: list[Any] = []
        self.most = 0

    def register_model_event_callback(self, kind: Any, callback: Any) -> None:
        self.callbacks.append((kind, callback))

    def unregister_model_event_callback(self, kind: Any, callback: Any) -> None:
        self.callbacks.remove((kind, callback))

    def tell(self, model: Any, *, metric: float | None = None, status: ModelStatus | None = None) -> None:
        kind = ModelEventType.FinalMetric if status is None else ModelEventType.TrainingEnd
        for wanted, callback in self.callbacks:
            if wanted == kind:
                callback(SimpleNamespace(model=model, metric=metric, status=status))

    def budget_available(self) -> bool:
        return True

    def idle_worker_available(self) -> bool:
        if len(self.models) == 2:
            self.end(self.models[-1])
        return len(self.models) < 2

    def submit_models(self, model: Any) -> None:
        self.models.append(model)
        self.most = max(self.most, len(self.models))

    def end(self, model: Any) -> None:
        self.models.remove(model)
        self.tell(model, metric=-0.5)
        self.tell(model, status=ModelStatus.Trained)

    def wait_models(self) -> None:
        return
