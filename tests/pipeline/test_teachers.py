"""Teachers: who they are, what they do to trainings, and what a kill leaves."""

import re
from pathlib import Path

import pytest
import torch
from optuna.trial import TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, Part
from nasrec_automl.errors import DivergedError, RunFolderError
from nasrec_automl.evaluation import scratch
from nasrec_automl.evaluation.distillation import best_together
from nasrec_automl.evaluation.scratch import measure_subnet, predict_logits
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.hyper_space import Distribution
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import candidates, final_training, teachers, truth
from nasrec_automl.pipeline.candidates import default_hyper
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.rank import train_ranked
from nasrec_automl.pipeline.retrain import RetrainStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.pipeline.studies import retrain_study, trainings_study
from nasrec_automl.pipeline.teachers import labels_of, taught_label
from nasrec_automl.search import Hyper
from nasrec_automl.search.trainings import trained_losses
from nasrec_automl.space import load_search_space
from nasrec_automl.training.module import ClickModule
from tests.pipeline.changed import changed


def designs(run: RunFolder) -> dict[str, object]:
    return dict(hand_designs(load_search_space(run.job.space)))


def subnet_path(run: RunFolder, name: str) -> Path:
    hyper = default_hyper(run.job, taught=False)
    return candidates.weights_path(run, trainings_study(run, "teachers"), f"teacher-{name}", hyper)


def forget_teachers(run: RunFolder) -> None:
    """As before any training of theirs."""
    study = trainings_study(run, "teachers")
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
    in_study = trained_losses(trainings_study(finished_run, "teachers"), [*designs(finished_run).values()], 1)[:, 0]
    assert list(losses.values()) == pytest.approx(list(in_study))
    names = sorted(losses, key=losses.__getitem__)
    assert len(names) == 3
    for count in (1, 2, 3):
        monkeypatch.setattr(teachers, "trainings_study", lambda run, kind: trainings_study(finished_run, kind))
        best = best_together([predict_logits(networks[name], hpo) for name in names[:count]], hpo)
        found = teachers.teachers(changed(finished_run, "retrain", teachers=count))
        assert found == {names[i]: subnet_path(finished_run, names[i]) for i in best}
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows: [len(logits) - 1, 0])
    assert list(teachers.teachers(finished_run)) == [names[1], names[0]], "the tiny job has two at most"


def teaching(run: RunFolder) -> dict[str, Architecture]:
    """What teaches the winner of a run that has ended."""
    contenders = [one["name"] for one in read_json(run.final)["contenders"]]
    return final_training.teaching_designs(run, contenders)


def test_those_of_the_winner_are_the_best_contenders_trained_on_validation_rows_too(finished_run: RunFolder) -> None:
    run = finished_run
    contenders = [one["name"] for one in read_json(run.final)["contenders"]]
    known = candidates.candidates(run)
    assert teaching(run) == {name: known[name] for name in contenders[: run.job.retrain.teachers]}
    found = final_training.final_teachers(run, teaching(run), run.final_trainings)
    assert {*found} <= {*teaching(run)}
    assert found
    hyper = candidates.default_hyper(run.job, taught=False)
    for name, path in found.items():
        trained = candidates.train_candidate(
            run, known[name], hyper, lambda step, metrics: False, parts=FINAL
        ).subnet.state_dict()
        kept = load_subnet(path).state_dict()
        assert all(torch.equal(kept[key], trained[key]) for key in trained)


def test_of_those_of_the_winner_as_many_teach_as_are_best_together(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished_run
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows: [*range(len(logits))][::-1])
    assert list(final_training.final_teachers(run, teaching(run), run.final_trainings)) == [*teaching(run)][::-1]


def test_before_a_run_has_contenders_its_own_teachers_teach_what_is_trained_by_name(finished_run: RunFolder) -> None:
    known = designs(finished_run)
    expected = {name: known[name] for name in teachers.teachers(finished_run)}
    assert final_training.teaching_designs(finished_run, None) == expected != {}
    assert final_training.teaching_designs(changed(finished_run, "retrain", teachers=0), ["hand-mlp"]) == {}
    assert [*final_training.teaching_designs(finished_run, ["gone", "hand-mlp"])] == ["hand-mlp"]


def test_the_final_stage_says_who_they_were(finished_run: RunFolder) -> None:
    noted = read_json(finished_run.final)
    assert noted["teachers"] == list(teachers.teachers(finished_run)) != []
    assert noted["final_teachers"] == list(
        final_training.final_teachers(finished_run, teaching(finished_run), finished_run.final_trainings)
    )


def test_killed_those_of_the_winner_go_on_where_they_were(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied_run
    found = final_training.final_teachers(run, teaching(run), run.final_trainings)
    trained = [*run.retrained.glob("final-teacher-*.safetensors")]
    before = {path: load_subnet(path).state_dict() for path in trained}
    for path in trained:
        path.unlink()
    heard: list[tuple[str, int]] = []

    def dying(at: final_training.Validation) -> None:
        heard.append((at.training, at.step))
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        final_training.final_teachers(run, teaching(run), run.final_trainings, on_validation=dying)
    (checkpoint,) = run.final_trainings.glob("final-teacher-*.ckpt")
    again: list[int] = []
    train = ClickModule.training_step
    monkeypatch.setattr(
        ClickModule, "training_step", lambda self, *a: again.append(self.global_step) or train(self, *a)
    )
    assert final_training.final_teachers(run, teaching(run), run.final_trainings) == found
    assert again[0] == heard[0][1], "from the last checkpoint on"
    for path in trained:
        assert all(torch.equal(value, before[path][key]) for key, value in load_subnet(path).state_dict().items())
    assert not checkpoint.exists()
    again.clear()
    assert final_training.final_teachers(run, teaching(run), run.final_trainings) == found
    assert not again, "trained once a run"


def test_one_that_diverges_on_all_rows_teaches_nobody(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied_run
    first = next(iter(final_training.final_teachers(run, teaching(run), run.final_trainings).values()))
    first.unlink()
    tried: list[object] = []

    def diverging(*arguments: object, **__: object) -> None:
        tried.append(arguments)
        raise DivergedError("step 7 of 9")

    monkeypatch.setattr(final_training, "train_candidate", diverging)
    for _ in range(2):  # the second time it is known
        assert first not in final_training.final_teachers(run, teaching(run), run.final_trainings).values()
    assert len(tried) == 1


def test_they_learn_from_labels_alone_and_all_trainings_after_them_from_theirs_too(
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
    for label in labels:
        torch.testing.assert_close(label, theirs)
    labels.clear()
    for path in run.retrained.glob("final-teacher-*"):
        path.unlink()
    FinalStage().run(run)
    by = [*final_training.final_teachers(run, teaching(run), run.final_trainings).values()]
    count = len(teaching(run))
    assert len(labels) == count + run.job.retrain.final_seeds
    for label in labels[:count]:
        assert torch.equal(label, data.part(*FINAL).batch(slice(None))[2])
    for label in labels[count:]:
        torch.testing.assert_close(label, mixed(run, by, *FINAL))


def test_the_check_of_the_scores_is_taught_too(searching: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(
        searching.job.model_copy(
            update={
                "search": searching.job.search.model_copy(
                    update={"verdict": searching.job.search.verdict.model_copy(update={"architectures": 3})}
                )
            }
        )
    )
    labels = watch_labels(monkeypatch)
    run_job(run)
    taught = mixed(run, [*teachers.teachers(run).values()], *TRAINING)
    trained = len(trainings_study(run, "verdict").trials)
    assert trained == 3
    for label in labels[len(designs(run)) : len(designs(run)) + trained]:
        torch.testing.assert_close(label, taught)


def test_they_begin_as_trainings_without_teachers_and_all_others_as_those_with(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout = Distribution[float](low=0.0, high=0.6, default=0.3, taught=0.1)
    space = copied_run.job.retrain.space.model_copy(update={"dropout": dropout})
    run = changed(changed(copied_run, "retrain", space=space), "rank", architectures=3, seeds=1)
    train, begun = truth.train_candidate, []

    def watched(run: RunFolder, architecture: object, hyper: Hyper, report: object, **options: object) -> object:
        begun.append(hyper.dropout)
        return train(run, architecture, hyper, report, **options)

    monkeypatch.setattr(truth, "train_candidate", watched)
    train_ranked(run)
    assert begun == [0.3] * len(designs(run)) + [0.1] * 3


def test_without_teachers_labels_count_alone(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(teachers, "taught_labels", refuse)
    monkeypatch.setattr(teachers, "train_truth", refuse)
    monkeypatch.setattr(final_training, "trainings_study", refuse)  # which would make an empty study
    run = changed(copied_run, "retrain", teachers=0)
    assert teachers.teachers(run) == {}
    assert taught_label(run) is None
    assert final_training.final_teachers(run, teaching(run), run.final_trainings) == {}


@pytest.mark.parametrize("killed", [(1, 2), (2, 1)])
def test_killed_they_go_on_and_end_as_the_same_networks(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed: tuple[int, int]
) -> None:
    before = {name: load_subnet(subnet_path(copied_run, name)).state_dict() for name in designs(copied_run)}
    forget_teachers(copied_run)
    train, begun = truth.train_candidate, 0

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
        patched.setattr(truth, "train_candidate", dying)
        with pytest.raises(KeyboardInterrupt):
            teachers.teachers(copied_run)
    steps: list[int] = []
    step = ClickModule.training_step

    def counted(self: ClickModule, *arguments: object) -> object:
        steps.append(self.global_step)
        return step(self, *arguments)

    monkeypatch.setattr(ClickModule, "training_step", counted)
    told: list[str] = []
    teachers.teachers(copied_run, told.append)
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
    train = truth.train_candidate
    bad = [hand_designs(load_search_space(copied_run.job.space))["hand-dlrm"]]

    def diverging(run: RunFolder, architecture: object, *arguments: object, **options: object) -> object:
        if architecture in bad:
            raise DivergedError("step 7 of 9")
        return train(run, architecture, *arguments, **options)

    monkeypatch.setattr(truth, "train_candidate", diverging)
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows: range(len(logits)))
    forget_teachers(copied_run)
    assert set(teachers.teachers(copied_run)) == {"hand-mlp", "hand-deepfm"}
    bad.extend(designs(copied_run).values())
    study = trainings_study(copied_run, "teachers")
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
        running.append(len(retrain_study(run).get_trials(states=(TrialState.RUNNING,))))
        return truth.train_truth(*arguments, **options)

    monkeypatch.setattr(teachers, "train_truth", watched)
    RetrainStage().run(run)
    assert running == [0]


def test_labels_are_those_of_the_parts(finished_run: RunFolder) -> None:
    by = [*teachers.teachers(finished_run).values()]
    for parts in (TRAINING, FINAL):
        label = labels_of(finished_run, by, *parts)
        assert label is not None
        torch.testing.assert_close(torch.from_numpy(label), mixed(finished_run, by, *parts))
