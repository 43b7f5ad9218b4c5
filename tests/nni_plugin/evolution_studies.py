"""What tests of OptunaEvolution read of its studies, and the scripts that they run."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import optuna
from optuna.trial import FrozenTrial, TrialState


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
