"""One whole run of the real stages under the real `nnictl`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from nasrec_automl import load_model
from nasrec_automl.config import load_job
from nasrec_automl.data.sources import read_source
from nasrec_automl.experiment.launch import launch
from nasrec_automl.experiment.spec import write_experiment
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import run_status


def test_a_job_runs_to_done_and_leaves_what_a_run_in_one_process_leaves(
    experiment: Any, write_job: Callable[..., Path], finished_run: RunFolder
) -> None:
    job = write_job(experiment.folder)
    file = write_experiment(job, experiment.folder / "experiment.yml")
    run = RunFolder(load_job(job))
    seen: dict[str, Any] = {}

    def follow() -> None:
        manager = experiment.manager()
        seen["status"], seen["trials"] = manager.status()[0], manager.trials()

    launch(file, port=experiment.port, follow=follow)

    assert seen["status"] == "DONE"
    assert [trial.parameters["stage"] for trial in seen["trials"]] == [
        *("supernet", "search", "search", "retrain", "final")
    ]
    assert {trial.status for trial in seen["trials"]} == {"SUCCEEDED"}
    assert not experiment.processes()
    assert {status.state for status in run_status(run)} == {"done"}

    # The database, with plain Optuna.
    storage = f"sqlite:///{run.path / 'studies.db'}"
    result, alone = read_json(run.result), read_json(finished_run.result)
    assert result["studies"][0] == "tiny-search"
    search, retrain = (optuna.load_study(study_name=name, storage=storage).trials for name in result["studies"])
    assert Counter(trial.state.name for trial in search) == {"COMPLETE": 20}
    assert len({trial.user_attrs["nasrec:key"] for trial in search}) == 20
    assert len([trial for trial in retrain if trial.state.name in ("COMPLETE", "PRUNED")]) == len(retrain) == 6

    # With one worker at a time nothing differs from `nasrec-automl run`, times aside.
    assert {**result, "seconds": None} == {**alone, "seconds": None}
    assert run.report.is_file()
    frame = read_source("synthetic", **run.job.data.options).frame.head(20)
    assert load_model(run.best).predict(frame).tolist() == load_model(finished_run.best).predict(frame).tolist()
