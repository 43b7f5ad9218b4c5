"""The whole job: again, with the same seed, killed; and who reads the test part."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from nasrec_automl.config import load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.pipeline.files import newest, read_json, write_json
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, check_stages, next_stage, run_job
from nasrec_automl.pipeline.status import STAGE_NAMES, run_status
from nasrec_automl.pipeline.studies import make_study
from tests.pipeline.changed import changed

Write = Callable[..., Path]

SLOWLY = """
import sys, time
from nasrec_automl.evaluation import WeightSharingEvaluator
from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule
from nasrec_automl.pipeline import final, retrain
from nasrec_automl.cli import main

def slow(owner, name, seconds):
    function = getattr(owner, name)
    def slowed(*args, **kwargs):
        time.sleep(seconds)
        return function(*args, **kwargs)
    setattr(owner, name, slowed)

if sys.argv[2] == "supernet":
    slow(NasRecLightningModule, "training_step", 0.03)
if sys.argv[2] == "search":
    slow(WeightSharingEvaluator, "evaluate", 0.1)
if sys.argv[2] == "retrain":
    slow(retrain, "save_network", 0.3)
if sys.argv[2] == "final":
    slow(final, "predict_logits", 0.5)
main(["run", sys.argv[1]])
"""


def result_of(run: RunFolder) -> dict[str, Any]:
    """The result without its times."""
    return {key: value for key, value in read_json(run.result).items() if key != "seconds"}


def is_whole(run: RunFolder) -> None:
    """The studies have what was asked, nothing twice, and nothing is left running."""
    storage = f"sqlite:///{run.path / 'studies.db'}"
    search = optuna.load_study(study_name="tiny-search", storage=storage).trials
    complete = [trial.user_attrs["nasrec:key"] for trial in search if trial.state.name == "COMPLETE"]
    assert len(complete) == len(set(complete)) == 20
    assert read_json(run.result)["studies"][0] == "tiny-search"
    retrain = optuna.load_study(study_name=read_json(run.result)["studies"][1], storage=storage).trials
    assert len([trial for trial in retrain if trial.state.name in ("COMPLETE", "PRUNED")]) == 6
    assert not [trial for trial in (*search, *retrain) if trial.state.name in ("RUNNING", "WAITING")]


def start(job: Path, *, slow: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SLOWLY, str(job), slow]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_when(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    try:
        while not condition():
            assert process.poll() is None, "it was to be killed in the middle"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@dataclass
class Again:
    """A second run with the same seed, a stage at a time: which parts each stage read, and how often test."""

    run: RunFolder
    opened: dict[str, int]
    read: dict[str, int]
    parts: dict[str, set[Part]]


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory, write_job: Write) -> Again:
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("again"))))
    found = Again(run, dict.fromkeys(STAGES, 0), dict.fromkeys(STAGES, 0), {name: set() for name in STAGES})
    opened, one = PreparedData.open.__func__, PreparedData._one
    now = ""

    def spy_open(cls: type[PreparedData], path: Path, *, test: bool = False) -> PreparedData:
        found.opened[now] += test
        return opened(cls, path, test=test)

    def spy_one(self: PreparedData, part: Part) -> Any:
        found.read[now] += part is Part.TEST
        found.parts[now].add(part)
        return one(self, part)

    hidden = run.path / "hidden"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreparedData, "open", classmethod(spy_open))
        patch.setattr(PreparedData, "_one", spy_one)
        for now, stage in STAGES.items():
            if now in ("supernet", "report"):
                (run.data / "test").rename(hidden)
            if now == "final":
                hidden.rename(run.data / "test")
            assert next_stage(run) is stage
            stage.run(run)
    assert next_stage(run) is None
    return found


def test_why_a_stage_failed_is_forgotten_once_the_job_wants_no_more_of_it(copied_run: RunFolder) -> None:
    copied_run.failure("search").write_text("no architecture is inside the budget")
    run_job(copied_run)
    assert not copied_run.failure("search").exists()


def test_the_same_seed_gives_the_same_result(finished_run: RunFolder, again: Again) -> None:
    assert result_of(again.run) == result_of(finished_run)
    is_whole(again.run)


def test_the_final_stage_alone_reads_test_and_once(again: Again) -> None:
    assert again.opened == {**dict.fromkeys(STAGES, 0), "final": 1}
    assert again.read == {**dict.fromkeys(STAGES, 0), "final": 1}


def test_each_part_has_its_use(again: Again) -> None:
    assert {**again.parts, "final": None} == {
        "data": set(),
        "supernet": {Part.TRAIN, Part.HEAD, Part.HPO, Part.SEARCH},
        "search": {Part.HEAD, Part.SEARCH},
        "retrain": {Part.TRAIN, Part.HEAD, Part.HPO},
        "final": None,
        "report": set(),
    }


def test_another_seed_gives_another_result(finished_run: RunFolder, tmp_path: Path, write_job: Write) -> None:
    run = RunFolder(load_job(write_job(tmp_path, seed=6)))
    for name in ("data", "supernet"):
        STAGES[name].run(run)
    assert run.weights.read_bytes() != finished_run.weights.read_bytes()


def test_stages_stand_in_their_order() -> None:
    assert tuple(STAGES) == STAGE_NAMES
    assert [name for name, stage in STAGES.items() if stage.parallel] == ["search", "retrain"]


def test_a_second_run_finds_everything_done(copied_run: RunFolder) -> None:
    def files() -> dict[Path, tuple[int, bytes]]:
        own = (copied_run.path / "job.json", copied_run.path / ".run.lock")
        paths = [path for path in copied_run.path.rglob("*") if path.is_file() and path not in own]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}

    before = files()
    run_job(copied_run)
    assert files() == before
    assert RunFolder.open(copied_run.path) == copied_run


def test_what_a_killed_process_left_goes_once_its_stage_is_done(copied_run: RunFolder) -> None:
    names = ["last.ckpt", "labels.npy"]
    names += [f".{name}.host.1.partial" for name in (*names, copied_run.weights.name)]
    left = [copied_run.supernet / name for name in names] + [copied_run.final_trainings / "hand-mlp.safetensors"]
    copied_run.final_trainings.mkdir()
    for path in left:
        path.touch()
    run_job(copied_run)
    assert not [path for path in left if path.exists()]
    assert copied_run.weights.is_file()


def test_a_run_that_has_more_trainings_than_the_job_asks_for_is_done(copied_run: RunFolder) -> None:
    before = {path: path.read_bytes() for path in (copied_run.final, copied_run.result, copied_run.retrain_done)}
    run_job(changed(copied_run, "retrain", trials=read_json(copied_run.retrain_done)["target"] - 1))
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_in_use_is_refused(copied_run: RunFolder) -> None:
    with copied_run.lock(), pytest.raises(RunFolderError, match="in use by process"):
        run_job(copied_run)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("supernet", "learning_rate", 0.5), ("search", "population", 6), ("retrain", "max_epochs", 3)],
)
def test_other_settings_of_a_done_run_are_refused_by_name(
    copied_run: RunFolder, section: str, name: str, value: float
) -> None:
    part = getattr(copied_run.job, section).model_copy(update={name: value})
    other = replace(copied_run, job=copied_run.job.model_copy(update={section: part}))
    noted = (copied_run.path / "job.json").read_bytes()
    with pytest.raises(JobError, match=rf"{section}\.{name}: the {section} stage .*but the job says {value}"):
        run_job(other)
    assert (copied_run.path / "job.json").read_bytes() == noted


def test_another_name_would_begin_other_studies_and_is_refused(copied_run: RunFolder) -> None:
    renamed = replace(copied_run, job=copied_run.job.model_copy(update={"name": "other"}))
    result = copied_run.result.read_bytes()
    with pytest.raises(JobError, match=r"^name: the search stage .* was started with 'tiny', but the job says 'other'"):
        run_job(renamed)
    assert copied_run.result.read_bytes() == result


@pytest.mark.parametrize(("others", "state"), [(True, "interrupted"), (False, "done")])
def test_a_grown_search_that_hands_on_others_ends_no_training(copied_run: RunFolder, others: bool, state: str) -> None:
    if others:
        noted = read_json(copied_run.retrain_done)
        write_json(copied_run.retrain_done, {**noted, "study": "tiny-retrain-of-others"})
    grown = changed(copied_run, "search", architectures=21)
    STAGES["search"].run(grown)
    assert {status.name: status.state for status in run_status(grown)}["retrain"] == state


@pytest.mark.parametrize("name", ["supernet", "search", "retrain", "final"])
def test_a_stage_that_needs_a_device_which_is_not_there_says_so_before_it_works(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    elsewhere = replace(copied_run, job=copied_run.job.model_copy(update={"device": "cuda"}))
    with pytest.raises(JobError, match=r"device: `cuda` needs a GPU"):
        STAGES[name].run(elsewhere)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    several = replace(elsewhere, job=elsewhere.job.model_copy(update={"devices": 2}))
    with monkeypatch.context() as patched:
        patched.setattr(type(STAGES[name]), "_run", lambda *_: {})
        with pytest.raises(JobError, match="devices: the job wants 2 GPUs") if name == "supernet" else nullcontext():
            STAGES[name].run(several)  # the supernet alone is trained on several
    copied_run.report.unlink()
    STAGES["report"].run(elsewhere)  # which is also written where the run's GPU is not
    assert copied_run.report.is_file()


def test_a_grown_search_and_retraining_give_a_new_result(copied_run: RunFolder) -> None:
    storage = f"sqlite:///{copied_run.path / 'studies.db'}"
    old = read_json(copied_run.result)
    before = optuna.load_study(study_name="tiny-search", storage=storage).trials
    job = copied_run.job
    grown = replace(
        copied_run,
        job=job.model_copy(
            update={
                "search": job.search.model_copy(update={"architectures": 30}),
                "retrain": job.retrain.model_copy(update={"trials": 7}),
            }
        ),
    )
    assert next_stage(grown) is STAGES["search"]
    run_job(grown)
    assert next_stage(grown) is None
    new = read_json(copied_run.result)
    trials = optuna.load_study(study_name="tiny-search", storage=storage).trials
    assert [(t.params, t.value) for t in trials[:20]] == [(t.params, t.value) for t in before]
    assert len(trials) == len({trial.user_attrs["nasrec:key"] for trial in trials}) == 30
    retrain = optuna.load_study(study_name=new["studies"][1], storage=storage).trials
    assert len(retrain) == 7
    named = {*old["studies"], *new["studies"], make_study(grown, "teachers").study_name}
    assert named == set(optuna.get_all_study_names(storage))
    assert copied_run.report.stat().st_mtime_ns >= copied_run.result.stat().st_mtime_ns
    assert read_json(copied_run.final)["test_readings"] == 2
    assert "Test was read 2 times" in " ".join(copied_run.report.read_text().split())


def test_killed_in_the_search_it_goes_on_to_the_same_result(
    finished_run: RunFolder, tmp_path: Path, write_job: Write
) -> None:
    job = write_job(tmp_path)
    run = RunFolder(load_job(job))

    def searching() -> bool:
        progress = read_progress(run.progress("search"))
        return progress is not None and progress.done >= 9

    kill_when(start(job, slow="search"), searching)
    assert not run.top.exists()
    run_job(run)
    assert result_of(run) == result_of(finished_run)
    is_whole(run)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["supernet", "search", "retrain", "final"])
def test_killed_in_any_stage_it_goes_on_to_the_same_result(
    finished_run: RunFolder, tmp_path: Path, write_job: Write, stage: str
) -> None:
    job = write_job(tmp_path)
    run = RunFolder(load_job(job))
    kills = random.Random(stage)
    for _ in range(2):
        before = newest([run.progress(stage)])  # what the last process that was killed has left

        def inside(before: int = before) -> bool:
            progress = read_progress(run.progress(stage))
            return progress is not None and progress.done < progress.total and newest([run.progress(stage)]) > before

        process = start(job, slow=stage)
        started = time.monotonic()
        while not inside():
            assert process.poll() is None, "it was to be killed in the middle"
            assert time.monotonic() < started + 120
            time.sleep(0.01)
        until = time.monotonic() + kills.uniform(0.2, 1.2)
        kill_when(process, lambda until=until: time.monotonic() > until)
        assert not STAGES[stage].is_done(run)
    run_job(run)
    assert result_of(run) == result_of(finished_run)
    is_whole(run)


@pytest.mark.slow
def test_killed_again_and_again_at_any_time_it_ends_with_the_same_result(
    finished_run: RunFolder, tmp_path: Path, write_job: Write
) -> None:
    job = write_job(tmp_path)
    run = RunFolder(load_job(job))
    kills, killed = random.Random(4), 0
    for _ in range(6):
        before = newest(run.progress(stage) for stage in STAGES)
        process = start(job)
        while process.poll() is None and newest(run.progress(stage) for stage in STAGES) == before:
            time.sleep(0.01)  # until its first stage is at work
        try:
            process.wait(kills.uniform(0.0, 4.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed
    command = [sys.executable, "-m", "nasrec_automl", "run", str(job)]
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.dumps(result_of(run)) == json.dumps(result_of(finished_run))
    assert "logistic regression" in done.stdout
    is_whole(run)


def test_what_comes_next_does_not_depend_on_settings_which_are_compared_apart(copied_run: RunFolder) -> None:
    """A file that somebody edits for the next job ends no experiment: its tuner asks again and again."""
    edited = changed(copied_run, "supernet", learning_rate=0.01)
    assert next_stage(edited) is None
    with pytest.raises(JobError, match=r"supernet\.learning_rate: the supernet stage in"):
        check_stages(edited)


def test_of_a_run_that_has_not_begun_one_may_ask_how_far_it_is(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    run = RunFolder(load_job(write_job(tmp_path, search={"verdict": {"architectures": 3}})))
    assert STAGES["search"].units(run) == (0, 20)
    assert not any(STAGES["search"].resume_mark(run))
    assert not run.path.exists()


@pytest.mark.parametrize("ended", ["supernet", "search"])
def test_to_ask_how_far_a_run_is_makes_no_study(searching: RunFolder, ended: str) -> None:
    """NNI's tuner asks between two stages, when the job may still be edited."""
    if ended == "search":
        run_job(searching, [STAGES[name] for name in ("data", "supernet", "search")])
    studies = optuna.get_all_study_names(searching.job.storage_url)
    following = next_stage(searching)
    assert following is STAGES[STAGE_NAMES[STAGE_NAMES.index(ended) + 1]]
    for stage in STAGES.values():
        stage.resume_mark(searching)
        assert stage.is_done(searching) == (STAGE_NAMES.index(stage.name) <= STAGE_NAMES.index(ended))
    assert optuna.get_all_study_names(searching.job.storage_url) == studies
    edits = {"search": {"population": 6}, "retrain": {"patience": 9}}
    following.run(changed(searching, following.name, **edits[following.name]), count=1)
