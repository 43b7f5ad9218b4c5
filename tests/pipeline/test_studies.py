"""The studies of a run, and when a stage has what it needs of one."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from nasrec_automl.errors import RunFolderError, StudyError
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import (
    Kind,
    Trainings,
    begun_study,
    found_study,
    make_study,
    stage_ended,
    study_trials,
    trainings_study_name,
    why_no_more,
)
from nasrec_automl.pipeline.tune import TuneStage
from tests.pipeline.changed import changed


@pytest.mark.parametrize("kind", ["rank", "verdict", "teachers", "tune-truth"])
def test_trainings_of_another_space_are_in_another_study(
    copied_run: RunFolder, kind: Trainings, tmp_path: Path
) -> None:
    """Until a stage has ended the space may change, also what is in a file of one name."""
    before = trainings_study_name(copied_run, kind)
    content = Path(copied_run.job.space).read_text()
    Path(copied_run.job.space).write_text(content.replace("max_inputs: 3", "max_inputs: 2"))
    assert trainings_study_name(copied_run, kind) != before
    Path(copied_run.job.space).write_text(content)
    assert trainings_study_name(copied_run, kind) == before


def test_names_directions_and_what_they_are_about(copied_run: RunFolder) -> None:
    search, retrain = begun_study(copied_run, "search"), begun_study(copied_run, "retrain")
    tune = make_study(copied_run, "tune")
    assert search.study_name == "tiny-search"
    assert retrain.study_name.startswith("tiny-retrain-")
    assert tune.study_name.startswith("tiny-tune-")
    assert [study.direction for study in (search, retrain, tune)] == [
        StudyDirection.MINIMIZE,
        StudyDirection.MINIMIZE,
        StudyDirection.MAXIMIZE,
    ]
    assert [study.user_attrs["nasrec:stage"] for study in (search, retrain, tune)] == ["search", "retrain", "tune"]
    assert len({study.user_attrs["nasrec:data"] for study in (search, retrain, tune)}) == 1


def test_trainings_of_other_settings_are_another_study(copied_run: RunFolder) -> None:
    def names(**retrain: object) -> list[str]:
        run = changed(copied_run, "retrain", **retrain)
        return [make_study(run, "rank").study_name, make_study(run, "verdict").study_name]

    own = names()
    assert [name.rpartition("-")[0] for name in own] == ["tiny-rank", "tiny-verdict"]
    assert names(top_k=9, trials=99, pruner="none") == own
    assert names(final_seeds=9) == own
    assert names(teachers=0, teacher_share=0.1) == own, "nobody teaches them"
    assert not {*names(max_epochs=7)} & {*own}


def test_supernets_of_other_settings_are_another_study(copied_run: RunFolder) -> None:
    def name(run: RunFolder) -> str:
        run.disclaim("tune")
        run.claim("tune", TuneStage().settings(run))
        return make_study(run, "tune").study_name

    own = name(copied_run)
    assert name(changed(copied_run, "tune", trials=99)) == own
    for section, settings in {"tune": {"architectures": 9}, "supernet": {"batch_size": 32}}.items():
        assert name(changed(copied_run, section, **settings)) != own


@pytest.mark.parametrize("section", ["search", "retrain"])
def test_a_folder_with_other_settings_takes_no_study_of_a_database_that_both_use(
    copied_run: RunFolder, tmp_path: Path, section: Literal["search", "retrain"]
) -> None:
    begun_study(copied_run, section)
    job = copied_run.job.model_copy(update={"storage": copied_run.job.storage_url, "run_folder": tmp_path / "other"})
    other = RunFolder(job)
    shutil.copytree(copied_run.path, other.path)
    assert begun_study(other, section).study_name == begun_study(copied_run, section).study_name
    (other.path / "stages" / f"{section}.json").unlink()
    assert begun_study(other, section).study_name == begun_study(copied_run, section).study_name
    changes = {"search": {"max_rows": 50}, "retrain": {"patience": 9}}[section]
    another = RunFolder(job.model_copy(update={section: getattr(job, section).model_copy(update=changes)}))
    with pytest.raises(StudyError, match=r"settings .* choose another name for the study"):
        begun_study(another, section)


def test_a_study_is_read_once_a_process_and_each_caller_has_a_sampler_of_its_own(copied_run: RunFolder) -> None:
    first = begun_study(copied_run, "search")
    first.sampler = optuna.samplers.RandomSampler()
    second = begun_study(copied_run, "search")
    assert second.sampler is not first.sampler
    pairs = zip(first.get_trials(deepcopy=False), second.get_trials(deepcopy=False), strict=True)
    assert all(one is other for one, other in pairs)
    url = copied_run.job.storage_url
    optuna.load_study(study_name="tiny-search", storage=url).enqueue_trial({})
    assert begun_study(copied_run, "search").get_trials()[-1].state == TrialState.WAITING


def test_a_study_that_was_deleted_and_made_anew_is_not_taken_for_the_earlier_one(copied_run: RunFolder) -> None:
    assert make_study(copied_run, "tune").get_trials() == []
    make_study(copied_run, "tune").add_trial(optuna.create_trial(state=TrialState.FAIL))
    before = make_study(copied_run, "tune")
    assert len(before.get_trials()) == 1
    optuna.delete_study(study_name=before.study_name, storage=copied_run.job.storage_url)
    assert make_study(copied_run, "tune").get_trials() == []
    make_study(copied_run, "tune").add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=0.5))
    optuna.delete_study(study_name=before.study_name, storage=copied_run.job.storage_url)
    url = copied_run.job.storage_url
    again = optuna.create_study(study_name=before.study_name, storage=url, direction="maximize")
    again.add_trial(optuna.create_trial(state=TrialState.COMPLETE, value=0.25))
    with pytest.raises(StudyError, match="holds trials that this package did not make"):
        make_study(copied_run, "tune")


def test_what_only_reads_makes_no_study(copied_run: RunFolder) -> None:
    """A study that a stage has ended is missed; one that is still to be made is not."""
    optuna.delete_study(study_name="tiny-search", storage=copied_run.job.storage_url)
    asks: list[tuple[Callable[..., object], Kind]] = [
        (begun_study, "search"),
        (make_study, "search"),
        (make_study, "tune"),
        (study_trials, "search"),
    ]
    for ask, kind in asks:
        with pytest.raises(RunFolderError, match="no trial of its study 'tiny-search'"):
            ask(copied_run, kind)
    make_study(copied_run, "retrain")  # it is there
    copied_run.top.unlink()
    assert study_trials(copied_run, "search") == []
    assert found_study(copied_run, "search") is None
    with pytest.raises(
        RunFolderError, match=r"no study 'tiny-search' in sqlite:.*; `nasrec-automl status .*` says how far"
    ):
        begun_study(copied_run, "search")
    assert "tiny-search" not in optuna.get_all_study_names(copied_run.job.storage_url)
    optuna.create_study(study_name="tiny-search", storage=copied_run.job.storage_url)
    assert study_trials(copied_run, "search") == []
    study = optuna.load_study(study_name="tiny-search", storage=copied_run.job.storage_url)
    assert study.user_attrs == {}, "nothing is written into one that a user has made"
    assert make_study(copied_run, "search").study_name == "tiny-search"


@pytest.mark.parametrize(
    ("finished", "mine", "count", "worker", "ended"),
    [
        (10, 3, 3, None, True),  # it has its trials
        (7, 3, 3, None, False),  # this worker stopped at its limit
        (7, 2, 3, None, True),  # nothing is left: it stopped short of its limit
        (7, 2, None, None, True),
        (7, 2, 3, "another", False),  # another worker still runs one
    ],
)
def test_a_stage_ends_when_nothing_more_can_come(
    finished: int, mine: int, count: int | None, worker: str | None, ended: bool
) -> None:
    study = optuna.create_study()
    # One that was asked for by hand may never end, and is not waited for.
    study.add_trial(optuna.create_trial(state=TrialState.RUNNING))
    if worker is not None:
        study.add_trial(optuna.create_trial(state=TrialState.RUNNING, user_attrs={"nasrec:worker": worker}))
    assert stage_ended(study, finished=finished, target=10, mine=mine, count=count) == ended


def test_a_stage_says_why_it_has_fewer_trials_than_the_job_asks_for() -> None:
    study = optuna.create_study()
    began = datetime(2026, 1, 1)
    trial = optuna.trial.create_trial(value=0.5)
    trial.datetime_start, trial.datetime_complete = began, began + timedelta(minutes=59)
    study.add_trials([trial, trial])
    assert why_no_more(study, 9, 9, None) == why_no_more(study, 10, 9, "1h") == ""
    assert why_no_more(study, 4, 9, None) == why_no_more(study, 4, 9, "2h") == "nothing new was found to try"
    assert why_no_more(study, 4, 9, "1h") == "no more after 1h"
