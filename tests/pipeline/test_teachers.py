"""Teachers and finalists: who they are, what they do to trainings, and what a kill leaves."""

from pathlib import Path

import pytest
import torch

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation import scratch
from nasrec_automl.evaluation.distillation import best_together
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import candidates, teachers
from nasrec_automl.pipeline.candidates import best_trials
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final import FinalStage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import retrain_study
from nasrec_automl.pipeline.teachers import final_teachers, finalists, teach_finalists
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.training.module import ClickModule
from tests.pipeline.changed import changed


def best_first(run: RunFolder) -> list[str]:
    best = best_trials(retrain_study(run))
    return sorted(best, key=lambda name: best[name].values[0])


def test_finalists_are_the_best_candidates_on_hpo_rows(finished_run: RunFolder) -> None:
    names = best_first(finished_run)
    assert len(names) > 3
    for count in (1, 2, 3):
        assert list(finalists(changed(finished_run, "retrain", finalists=count))) == names[:count]
    assert all(path.is_file() for path in finalists(finished_run).values())


def test_teachers_are_the_best_together_of_the_best_candidates_on_hpo_rows(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = best_first(finished_run)

    def taught_by(count: int) -> list[str]:
        return [path.name[:-21] for path in teachers.teachers(changed(finished_run, "retrain", teachers=count))]

    hpo = PreparedData.open(finished_run.data).part(Part.HPO)
    for count in (1, 2, 4):
        networks = [load_subnet(next(finished_run.retrained.glob(f"{name}-*"))) for name in names[:count]]
        logits = [predict_logits(network, hpo) for network in networks]
        assert taught_by(count) == [names[i] for i in best_together(logits, hpo)]
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows: [len(logits) - 1, 0])
    assert taught_by(3) == [names[2], names[0]]
    one, other = (finalists(changed(finished_run, "retrain", teachers=count)) for count in (2, 3))
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values()), "who was taught by others is another network"


def test_the_winner_s_are_the_best_together_of_finalists_and_their_teachers(finished_run: RunFolder) -> None:
    hpo = PreparedData.open(finished_run.data).part(Part.HPO)
    among = [*finalists(finished_run).values(), *teachers.teachers(finished_run)]
    best = best_together([predict_logits(load_subnet(path), hpo) for path in among], hpo)
    assert final_teachers(finished_run) == [among[i] for i in best]


def test_the_final_stage_says_who_they_were(finished_run: RunFolder) -> None:
    noted = read_json(finished_run.final)
    assert noted["finalists"] == best_first(finished_run)[:2]
    assert noted["teachers"] == len(teachers.teachers(finished_run)) > 0


def test_finalists_learn_from_teachers_on_train_and_the_winner_from_finalists_on_all(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = []
    train = scratch.train_network

    def watched(network: object, rows: object, *arguments: object, **options: object) -> object:
        labels.append(torch.from_numpy(rows.label))
        return train(network, rows, *arguments, **options)

    monkeypatch.setattr(scratch, "train_network", watched)
    for path in finalists(copied_run).values():
        path.unlink()
    copied_run.final.unlink()
    FinalStage().run(copied_run)
    assert len(labels) == 4, "two finalists, and two seeds of the winner"
    data, share = PreparedData.open(copied_run.data), copied_run.job.retrain.teacher_share
    for found, parts, by in (
        *((label, TRAINING, teachers.teachers(copied_run)) for label in labels[:2]),
        *((label, FINAL, final_teachers(copied_run)) for label in labels[2:]),
    ):
        rows = data.part(*parts)
        logits = torch.stack([predict_logits(load_subnet(path), rows) for path in by]).mean(0)
        expected = torch.lerp(rows.batch(slice(None))[2], torch.sigmoid(logits), share)
        torch.testing.assert_close(found, expected)


def test_without_teachers_labels_count_alone_and_finalists_are_what_they_were(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(teachers, "taught_labels", refuse)
    run = changed(copied_run, "retrain", teachers=0)
    assert finalists(run) == {}
    assert final_teachers(run) == []
    run.final.unlink()
    for path in run.retrained.glob("finalist-*"):
        path.unlink()
    FinalStage().run(run)
    assert read_json(run.final)["finalists"] == []
    assert list(run.retrained.glob("finalist-*")) == []


@pytest.mark.parametrize("killed", [(1, 2), (2, 1), (2, 2)])
def test_killed_it_goes_on_and_ends_with_the_same_networks(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, killed: tuple[int, int]
) -> None:
    before = {name: load_subnet(path).state_dict() for name, path in finalists(copied_run).items()}
    for path in finalists(copied_run).values():
        path.unlink()
    count = 0

    def kill(training: str, step: int, metrics: Metrics) -> None:
        nonlocal count
        if training.startswith(f"finalist {killed[0]} of 2, "):
            count += 1
            if count == killed[1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teach_finalists(copied_run, kill)
    steps: list[int] = []
    step = ClickModule.training_step

    def counted(self: ClickModule, *arguments: object) -> object:
        steps.append(self.global_step)
        return step(self, *arguments)

    monkeypatch.setattr(ClickModule, "training_step", counted)
    heard: list[str] = []
    after = teach_finalists(copied_run, lambda training, step, metrics: heard.append(training))
    names = list(before)
    assert list(dict.fromkeys(heard)) == [f"finalist {n} of 2, {names[n - 1]}" for n in range(killed[0], 3)]
    assert (steps[0] > 0) == (killed[1] > 1), "it did not begin anew"
    for name, path in after.items():
        weights = load_subnet(path).state_dict()
        assert all(torch.equal(weights[key], before[name][key]) for key in weights)
    assert not list(copied_run.retrained.glob("*.ckpt"))


def test_a_finalist_that_diverges_stays_what_it_was(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = finalists(copied_run)
    for path in finalists(copied_run).values():
        path.unlink()
    train = teachers.train_candidate

    def diverging(run: RunFolder, architecture: object, *arguments: object, **options: object) -> object:
        if architecture == candidates.candidates(run)[first]:
            raise DivergedError("step 7 of 9")
        return train(run, architecture, *arguments, **options)

    monkeypatch.setattr(teachers, "train_candidate", diverging)
    assert list(teach_finalists(copied_run)) == [second]
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows: range(len(logits)))
    assert final_teachers(copied_run) == [finalists(copied_run)[second], *teachers.teachers(copied_run)]


def test_what_other_final_stages_left_is_gone_when_one_has_ended(copied_run: RunFolder) -> None:
    left: list[Path] = [
        copied_run.retrained / name
        for name in ("finalist-a-00000000.safetensors", "finalist-a-00000000.ckpt", "final-b-00000000.json")
    ]
    for path in left:
        path.write_bytes(b"")
    copied_run.final.unlink()
    FinalStage().run(copied_run)
    assert not any(path.exists() for path in left)
    assert all(path.is_file() for path in finalists(copied_run).values())


def test_before_the_retrain_stage_nobody_teaches(searching: RunFolder) -> None:
    assert teachers.teachers(searching) == []
    assert finalists(searching) == {}
