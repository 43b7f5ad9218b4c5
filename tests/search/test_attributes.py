from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.search.attributes import (
    ALIVE,
    ATTEMPT,
    FAILURE,
    INTERRUPTED,
    KEY,
    PREFIX,
    REASON,
    SCHEMA_VERSION,
    STOPPED,
    WORKER,
    written,
)

KEPT = sorted((Path(__file__).parent / "fixtures").glob("studies-*.db"))


def interrupted(architecture: Architecture) -> None:
    raise KeyboardInterrupt


def test_what_a_search_writes_shares_the_prefix(study: optuna.Study, run: Callable[..., int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(target=3, evaluate=interrupted)
    run(target=3)
    lost, again, *_ = study.get_trials()
    assert (lost.user_attrs[FAILURE], again.user_attrs[ATTEMPT]) == (INTERRUPTED, 1)
    assert lost.user_attrs[KEY] == again.user_attrs[KEY]
    names = {name for trial in study.get_trials() for name in trial.user_attrs}
    assert names >= {KEY, WORKER, ALIVE, STOPPED, FAILURE, REASON, ATTEMPT}
    assert all(name.startswith(PREFIX) for name in (*names, *study.user_attrs))


def test_what_users_write_is_left_out() -> None:
    trial = optuna.create_trial(value=1.0, user_attrs={"nasrec:auc": 0.5, "auc": "mine"})
    assert written(trial) == {"auc": 0.5}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_an_earlier_release_wrote_is_found(path: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{shutil.copy(path, tmp_path)}"
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        assert SCHEMA_VERSION in study.user_attrs
        for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
            assert {KEY, WORKER, ALIVE} <= set(trial.user_attrs)
            assert (STOPPED in trial.user_attrs) == name.endswith("-search")
