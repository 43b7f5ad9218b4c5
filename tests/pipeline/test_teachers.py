"""Teachers: who they are, what they do to trainings, and what a kill leaves."""

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from optuna.trial import TrialState

from nasrec_automl.config import load_job
from nasrec_automl.config_ranking import VerdictConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, Part
from nasrec_automl.errors import DivergedError, RunFolderError
from nasrec_automl.evaluation import scratch
from nasrec_automl.evaluation.distillation import best_together
from nasrec_automl.evaluation.scratch import measure_subnet, predict_logits
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.hyper_space import Distribution
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import check, final_training, subnets, teachers, truth
from nasrec_automl.pipeline.check import check_scores
from nasrec_automl.pipeline.check_trainings import check_folder, keep_teachers, keep_training
from nasrec_automl.pipeline.evaluator import make_evaluator
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.named import find_architecture
from nasrec_automl.pipeline.rank import train_ranked
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, has_teachers
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.studies import begun_study, make_study, trainings_study_name
from nasrec_automl.pipeline.supernet import supernet_label
from nasrec_automl.pipeline.teachers import labels_of, taught_label
from nasrec_automl.pipeline.truth import sample_sizes
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import WORKER
from nasrec_automl.search.trainings import trained_losses
from nasrec_automl.space import load_search_space
from nasrec_automl.training.metrics import Metrics
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps


def designs(run: RunFolder) -> dict[str, object]:
    return dict(hand_designs(load_search_space(run.job.space)))


def subnet_path(run: RunFolder, name: str) -> Path:
    hyper = default_hyper(run.job, taught=False)
    return subnets.weights_path(run, trainings_study_name(run, "teachers"), f"teacher-{name}", hyper)


def forget_teachers(run: RunFolder) -> None:
    """As before any training of theirs."""
    study = make_study(run, "teachers")
    for name in designs(run):
        subnet_path(run, name).unlink()
    study._storage.delete_study(study._study_id)


def watch_labels(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Labels of every training from here on."""
    labels: list[torch.Tensor] = []
    train = scratch.train_network

    def watched(network: object, rows: object, *arguments: object, **options: object) -> object:
        labels.append(rows.batch(slice(None))[2])
        return train(network, rows, *arguments, **options)

    monkeypatch.setattr(scratch, "train_network", watched)
    return labels


def mixed(run: RunFolder, by: list[Path], *parts: Part) -> torch.Tensor:
    rows = PreparedData.open(run.data).part(*parts)
    logits = torch.stack([predict_logits(load_subnet(path), rows) for path in by]).mean(0)
    return torch.lerp(rows.batch(slice(None))[2], torch.sigmoid(logits), run.job.retrain.teacher_share)


def test_they_are_the_hand_designs_that_are_best_together_on_hpo_rows(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    hpo = PreparedData.open(finished_run.data).part(Part.HPO)
    networks = {name: load_subnet(subnet_path(finished_run, name)) for name in designs(finished_run)}
    losses = {name: measure_subnet(network, hpo).log_loss for name, network in networks.items()}
    study = make_study(finished_run, "teachers")
    in_study = trained_losses(study, [*designs(finished_run).values()], 1)[:, 0]
    assert list(losses.values()) == pytest.approx(list(in_study))
    names = sorted(losses, key=losses.__getitem__)
    assert len(names) == 3
    for count in (1, 2, 3):
        monkeypatch.setattr(teachers, "make_study", lambda run, kind: study)
        best = best_together([predict_logits(networks[name], hpo) for name in names[:count]], hpo, most=count)
        found = teachers.teachers(changed(finished_run, "retrain", teachers=count))
        assert found == {names[i]: subnet_path(finished_run, names[i]) for i in best}
    assert teachers.may_teach(finished_run) == designs(finished_run)


def test_they_learn_from_labels_alone_and_candidates_and_the_winner_from_theirs_too(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PreparedData.open(copied_run.data)
    forget_teachers(copied_run)
    labels = watch_labels(monkeypatch)
    run = changed(changed(copied_run, "retrain", trials=copied_run.job.retrain.trials + 1), "rank", architectures=3)
    RetrainStage().run(run)
    assert len(labels) == len(designs(run)) + 1
    own, theirs = data.part(*TRAINING).batch(slice(None))[2], mixed(run, [*teachers.teachers(run).values()], *TRAINING)
    assert all(torch.equal(label, own) for label in labels[:-1])
    torch.testing.assert_close(labels[-1], theirs)
    labels.clear()
    train_ranked(run)
    assert len(labels) == 3 * run.job.rank.seeds
    assert all(torch.equal(label, own) for label in labels), "what scores are compared with is not taught"
    labels.clear()
    for path in run.retrained.glob("final-teacher-*"):
        path.unlink()
    FinalStage().run(run)
    first = teachers.teachers(run)
    last = final_training.final_teachers(run, first, run.final_trainings)
    of_training, count = teachers.best_teachers(run, [*first.values(), *last.values()]), len(first)
    assert len(labels) == count + run.job.retrain.final_seeds
    for label in labels[:count]:
        assert torch.equal(label, data.part(*FINAL).batch(slice(None))[2])
    for label in labels[count:]:
        of_each = [mixed(run, of_training if part in TRAINING else [*last.values()], part) for part in FINAL]
        torch.testing.assert_close(label, torch.cat(of_each))


CHECKED: dict[str, Any] = {
    "supernet": {"teacher_share": 0.5},
    "search": {"architectures": 8, "verdict": {"architectures": 8}},
    "retrain": {"teachers": 3},
}


@pytest.fixture(scope="module")
def searched_run(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> RunFolder:
    """A run whose check trained eight architectures to their end, and whose search has ended. Tests read it."""
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("searched"), **CHECKED)))
    with pytest.MonkeyPatch.context() as patch:
        labels = watch_labels(patch)
        for name in ("data", "supernet", "search"):
            STAGES[name].run(run)
    own = PreparedData.open(run.data).part(*TRAINING).batch(slice(None))[2]
    assert len(labels) == len(designs(run)) + 8
    assert all(torch.equal(label, own) for label in labels), "by labels alone"
    return run


@pytest.fixture
def checked_run(searched_run: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    subprocess.run(["cp", "-a", f"{searched_run.path.parent}/.", str(tmp_path)], check=True)
    return RunFolder(load_job(tmp_path / "job.yaml"))


def best_of_the_check(run: RunFolder) -> list[str]:
    """Keys of the best three."""
    trained = sample_sizes(run, 8)
    losses = trained_losses(make_study(run, "verdict"), trained, 1)[:, 0]
    return [trained[i].key for i in np.argsort(losses)[:3]]


def test_the_best_of_the_check_may_teach_candidates_and_winner(checked_run: RunFolder) -> None:
    run, best = checked_run, best_of_the_check(checked_run)
    assert not check_folder(run).exists()
    noted = read_json(run.checked_teachers)
    assert {*noted} == {*best}
    paths = {key: run.retrained / noted[key] for key in noted}
    pool = {**{name: subnet_path(run, name) for name in designs(run)}, **paths}
    assert {*run.retrained.glob("teacher-*")} == {*pool.values()}
    assert all(load_subnet(path).architecture.key == key for key, path in paths.items())
    hpo = PreparedData.open(run.data).part(Part.HPO)
    expected = best_together([predict_logits(load_subnet(path), hpo) for path in pool.values()], hpo, most=3)
    found = teachers.teachers(run)
    assert found == {[*pool][i]: [*pool.values()][i] for i in expected}
    assert {*found} & {*best}, "or this test shows nothing"
    assert {key: one.key for key, one in teachers.may_teach(run).items() if key in best} == {key: key for key in best}
    assert find_architecture(run, best[0])[1].key == best[0], "it may be trained by its name"
    run_job(run)
    ended = read_json(run.final)
    assert ended["teachers"] == [*found]
    assert {*ended["final_teachers"]} <= {*found}
    assert ended["final_teachers"]


def test_the_supernet_is_taught_by_hand_designs_whenever_it_is_trained(checked_run: RunFolder) -> None:
    alone = teachers.teachers(checked_run, checked=False)
    assert {*alone} <= {*designs(checked_run)}
    assert {*alone} != {*teachers.teachers(checked_run)}
    label, expected = (
        supernet_label(checked_run),
        labels_of(checked_run, {Part.TRAIN: [*alone.values()]}, share=0.5),
    )
    assert label is not None
    np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize(("setting", "value"), [("max_epochs", 1), ("teachers", 2), ("patience", 9)])
def test_what_may_teach_stays_where_the_retrain_stage_begins_with_other_settings(
    checked_run: RunFolder, monkeypatch: pytest.MonkeyPatch, setting: str, value: int
) -> None:
    other = changed(checked_run, "retrain", **{setting: value})
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows, most: [*range(len(logits))])
    assert {*teachers.teachers(other)} == {*designs(other), *best_of_the_check(checked_run)}


def test_a_teacher_that_is_gone_is_missed(checked_run: RunFolder) -> None:
    (checked_run.retrained / read_json(checked_run.checked_teachers)[best_of_the_check(checked_run)[1]]).unlink()
    with pytest.raises(RunFolderError, match=r"teacher-\w+-\w+\.safetensors is gone, the network of a teacher: put it"):
        teachers.teachers(checked_run)


def test_killed_before_the_verdict_is_noted_the_same_teach(
    checked_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, before = checked_run, teachers.teachers(checked_run)
    verdict = read_json(run.verdict)
    for path in (run.verdict, run.top, run.checked_teachers):
        path.unlink()
    evaluator = make_evaluator(run)
    with monkeypatch.context() as killing:
        killing.setattr(check, "note_verdict", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            check_scores(run, evaluator)
    assert not run.verdict.exists()
    assert {*teachers.teachers(run)} <= {*designs(run)}, "until all of the check is there"
    monkeypatch.setattr(truth, "train_by_job", Mock(side_effect=AssertionError("trained already")))
    check_scores(run, evaluator)
    assert read_json(run.verdict) == verdict
    assert teachers.teachers(run) == before


def test_what_two_workers_move_at_once_is_noted_whole(checked_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run, keys = checked_run, best_of_the_check(checked_run)
    noted = read_json(run.checked_teachers)
    run.checked_teachers.unlink()
    check_folder(run).mkdir(parents=True)
    for key in keys:
        (run.retrained / noted[key]).rename(check_folder(run) / f"{key}.safetensors")
    replace_path, moved = Path.replace, []

    def other_comes_first(self: Path, target: Path) -> Path:
        if self.suffix == ".safetensors" and not moved:
            moved.append(self)
            keep_teachers(run, keys)
        return replace_path(self, target)

    monkeypatch.setattr(Path, "replace", other_comes_first)
    keep_teachers(run, keys)
    assert moved
    assert read_json(run.checked_teachers) == noted


def test_trainings_of_a_check_whose_networks_are_gone_are_missed(
    checked_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its study may be in a server's database, and the folder was deleted: nobody would teach, without a word."""
    run = checked_run
    for name in read_json(run.checked_teachers).values():
        (run.retrained / name).unlink()
    for path in (run.verdict, run.top, run.checked_teachers):
        path.unlink()
    monkeypatch.setattr(truth, "train_by_job", Mock(side_effect=AssertionError("trained already")))
    with pytest.raises(RunFolderError, match=r"the study '\S+-verdict-\w+' has trainings whose networks are not here"):
        check_scores(run, make_evaluator(run))
    assert not run.verdict.exists()


def test_trainings_of_other_settings_take_no_place(checked_run: RunFolder) -> None:
    subnet = load_subnet(subnet_path(checked_run, "hand-mlp"))
    one, two = sample_sizes(checked_run, 8)[:2]
    before = changed(checked_run, "retrain", patience=9)
    for run, architecture, loss in ((before, one, 0.4), (checked_run, two, 0.5)):
        keep_training(run, architecture, scratch.Trained(Metrics(loss, 0.5, 0.01, 10), 1, False, subnet), most=1)
    assert {path.stem for path in check_folder(checked_run).glob("*")} == {two.key}


def test_a_space_without_hand_designs_is_taught_by_the_check(
    checked_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teachers, "hand_designs", lambda space: {})
    monkeypatch.setattr("nasrec_automl.pipeline.scratch.hand_designs", lambda space: {})
    assert has_teachers(checked_run.job)
    found = teachers.teachers(checked_run)
    assert found
    assert {*found} <= {*best_of_the_check(checked_run)}
    unchecked = changed(checked_run, "search", verdict=VerdictConfig(architectures=0))
    assert not has_teachers(unchecked.job)
    assert teachers.teachers(unchecked) == {}
    assert teachers.resume_mark_of_teachers(unchecked) == (0, 0)


def test_they_and_what_scores_are_compared_with_begin_as_trainings_without_teachers(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout = Distribution[float](low=0.0, high=0.6, default=0.3, taught=0.1)
    space = copied_run.job.retrain.space.model_copy(update={"dropout": dropout})
    run = changed(changed(copied_run, "retrain", space=space), "rank", architectures=3, seeds=1)
    train, begun = truth.train_by_job, []

    def watched(run: RunFolder, architecture: object, hyper: Hyper, report: object, **options: object) -> object:
        begun.append(hyper.dropout)
        return train(run, architecture, hyper, report, **options)

    monkeypatch.setattr(truth, "train_by_job", watched)
    train_ranked(run)
    assert begun == [0.3] * 3
    teachers.teachers(run)
    assert begun == [0.3] * (3 + len(designs(run)))
    assert default_hyper(run.job, taught=has_teachers(run.job)).dropout == 0.1


def test_without_teachers_labels_count_alone(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(teachers, "taught_labels", refuse)
    monkeypatch.setattr(teachers, "train_truth", refuse)
    run = changed(copied_run, "retrain", teachers=0)
    assert teachers.teachers(run) == {}
    assert taught_label(run) is None
    assert final_training.final_teachers(run, teachers.teachers(run), run.final_trainings) == {}


@pytest.mark.slow
def test_workers_share_their_trainings_and_end_with_the_same_networks(copied_run: RunFolder) -> None:
    before = {name: load_subnet(subnet_path(copied_run, name)).state_dict() for name in designs(copied_run)}
    forget_teachers(copied_run)

    def processes() -> set[str]:
        ended = make_study(copied_run, "teachers").get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return {trial.user_attrs[WORKER].rpartition(":")[0] for trial in ended}

    def busy_with_the_first(words: str) -> None:
        deadline = time.monotonic() + 60
        while ", step " in words and not processes() and time.monotonic() < deadline:
            time.sleep(0.1)

    teachers.teachers(copied_run, tell=busy_with_the_first, workers=2)
    assert len(processes()) == 2
    for name, weights in before.items():
        after = load_subnet(subnet_path(copied_run, name)).state_dict()
        assert all(torch.equal(after[key], value) for key, value in weights.items())


@pytest.mark.parametrize("killed", [(1, 2), (2, 1)])
def test_killed_they_go_on_and_end_as_the_same_networks(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed: tuple[int, int]
) -> None:
    before = {name: load_subnet(subnet_path(copied_run, name)).state_dict() for name in designs(copied_run)}
    forget_teachers(copied_run)
    train, begun = truth.train_by_job, 0

    def dying(run: RunFolder, architecture: object, hyper: object, report: object, **options: object) -> object:
        nonlocal begun
        begun += 1
        heard = 0

        def kill(step: int, metrics: object) -> bool:
            nonlocal heard
            heard += 1
            if (begun, heard) == killed:
                raise KeyboardInterrupt
            return report(step, metrics)

        return train(run, architecture, hyper, kill, **options)

    with monkeypatch.context() as patched:
        patched.setattr(truth, "train_by_job", dying)
        with pytest.raises(KeyboardInterrupt):
            teachers.teachers(copied_run)
    steps = watch_steps(monkeypatch)
    told: list[str] = []
    teachers.teachers(copied_run, tell=told.append)
    counted_words = list(dict.fromkeys(words.partition(", ")[0] for words in told))
    assert counted_words == [f"trains its teachers: {ended} of 3" for ended in range(killed[0] - 1, 4)]
    assert told[0] == counted_words[0], "from the beginning"
    assert re.fullmatch(r"trains its teachers: \d of 3, step \d+ of at most \d+", told[1]), "within a training too"
    assert (steps[0] > 0) == (killed[1] > 1), "it did not begin anew"
    for name, weights in before.items():
        after = load_subnet(subnet_path(copied_run, name)).state_dict()
        assert all(torch.equal(weights[key], after[key]) for key in weights)
    assert not list(copied_run.retrained.glob("*.ckpt"))


def test_one_that_diverges_teaches_nobody_and_if_all_do_labels_count_alone(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = truth.train_by_job
    bad = [hand_designs(load_search_space(copied_run.job.space))["hand-dlrm"]]

    def diverging(run: RunFolder, architecture: object, *arguments: object, **options: object) -> object:
        if architecture in bad:
            raise DivergedError("step 7 of 9")
        return train(run, architecture, *arguments, **options)

    monkeypatch.setattr(truth, "train_by_job", diverging)
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows, most: range(len(logits)))
    forget_teachers(copied_run)
    assert set(teachers.teachers(copied_run)) == {"hand-mlp", "hand-deepfm"}
    bad.extend(designs(copied_run).values())
    study = make_study(copied_run, "teachers")
    study._storage.delete_study(study._study_id)
    assert teachers.teachers(copied_run) == {}
    assert taught_label(copied_run) is None


def test_a_study_of_another_folder_is_refused(copied_run: RunFolder) -> None:
    for path in teachers.teachers(copied_run).values():
        path.unlink()
    with pytest.raises(RunFolderError, match=r"tiny-teachers-\w{8}' has trainings whose networks are not here"):
        taught_label(copied_run)


def test_no_trial_of_the_retrain_stage_has_the_teachers_time(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_teachers(copied_run)
    run = changed(copied_run, "retrain", trials=copied_run.job.retrain.trials + 1)
    running: list[int] = []

    def watched(*arguments: object, **options: object) -> object:
        running.append(len(begun_study(run, "retrain").get_trials(states=(TrialState.RUNNING,))))
        return truth.train_truth(*arguments, **options)

    monkeypatch.setattr(teachers, "train_truth", watched)
    RetrainStage().run(run)
    assert running == [0]


def test_labels_are_those_of_the_parts(finished_run: RunFolder) -> None:
    by = [*teachers.teachers(finished_run).values()]
    for parts in (TRAINING, FINAL):
        label = labels_of(finished_run, dict.fromkeys(parts, by))
        assert label is not None
        torch.testing.assert_close(torch.from_numpy(label), mixed(finished_run, by, *parts))
