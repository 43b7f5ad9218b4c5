"""The last trainings: the best of several seeds, whose teachers learn first; killed they end with the same network."""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline import final_training, last_trainings, teachers
from nasrec_automl.pipeline.candidates import candidates
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.final_training import (
    FINAL_SEEDS_APART,
    Contender,
    final_teachers,
    taught_finally,
    train_final,
)
from nasrec_automl.pipeline.last_trainings import left_by
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, train_by_job
from nasrec_automl.pipeline.teachers import TaughtBy, labels_of
from nasrec_automl.space import load_search_space
from nasrec_automl.training.metrics import Metrics
from tests.children import children
from tests.pipeline.changed import changed
from tests.pipeline.steps import watch_steps


@pytest.fixture(scope="module")
def run(finished_run: RunFolder) -> RunFolder:
    return changed(finished_run, "retrain", final_seeds=3)


def teaching(run: RunFolder) -> TaughtBy:
    """Who teaches is no matter here; with other settings than the run's they would be others."""
    return dict.fromkeys(FINAL, sorted(run.retrained.glob("final-teacher-*.safetensors")))


@pytest.fixture(scope="module")
def contender(run: RunFolder) -> Contender:
    found = next(iter(candidates(run).values()))
    name, architecture = found.name, found.architecture
    return Contender(name, architecture, default_hyper(run.job, taught=False), Metrics(0.5, 0.7, 0.01, 100))


@pytest.fixture(scope="module")
def alone(run: RunFolder, contender: Contender) -> list[tuple[float, Mapping[str, Tensor]]]:
    """Log loss on hpo rows, and weights, of each training by itself."""
    hpo, found = PreparedData.open(run.data).part(Part.HPO), []
    label = labels_of(run, teaching(run))
    for number in range(3):
        subnet = train_by_job(
            run,
            contender.architecture,
            contender.hyper,
            lambda step, metrics: False,
            parts=FINAL,
            seed_offset=number * FINAL_SEEDS_APART,
            label=label,
        ).subnet
        found.append((measure_subnet(subnet, hpo).log_loss, subnet.state_dict()))
    return found


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def taught(run: RunFolder, contender: Contender, files: Path, **options: Any) -> Subnet:
    return train_final(run, contender, teaching(run), files, **options)


@dataclass(frozen=True)
class Network:
    """What a training of these tests ends with: a number."""

    loss: float

    def to(self, _: str) -> "Network":
        return self

    def cpu(self) -> "Network":
        return self


def losing(monkeypatch: pytest.MonkeyPatch, losses: Sequence[float | None]) -> list[int]:
    """Trainings that end with these log losses, or diverge; the seeds that they were asked for."""
    seeds: list[int] = []

    def train(*arguments: object, seed_offset: int, **options: object) -> object:
        seeds.append(seed_offset)
        loss = losses[len(seeds) - 1]
        if loss is None:
            raise DivergedError("step 7 of 9")
        return SimpleNamespace(subnet=Network(loss))

    monkeypatch.setattr(last_trainings, "train_by_job", train)
    monkeypatch.setattr(last_trainings, "save_network", lambda subnet, path: path.write_text(str(subnet.loss)))
    monkeypatch.setattr(final_training, "load_subnet", lambda path: Network(float(path.read_text())))
    monkeypatch.setattr(final_training, "measure_subnet", lambda subnet, rows: Metrics(subnet.loss, 0.5, 0.01, 100))
    return seeds


def test_it_is_the_best_of_its_trainings_on_hpo_rows(
    run: RunFolder, contender: Contender, alone: list[tuple[float, Mapping[str, Tensor]]], tmp_path: Path
) -> None:
    heard: list[str] = []
    files = tmp_path / "final"
    subnet = taught(run, contender, files, tell=lambda words: heard.append(words.partition(",")[0]) or True)
    losses = [loss for loss, _ in alone]
    assert len(set(losses)) == 3
    _, best = min(alone, key=lambda one: one[0])
    assert same(subnet.state_dict(), best)
    assert list(dict.fromkeys(heard)) == [f"final training {number} of 3" for number in (1, 2, 3)]


def test_each_validation_says_how_far_its_training_has_come(
    run: RunFolder, contender: Contender, tmp_path: Path
) -> None:
    heard: list[str] = []
    run = changed(run, "retrain", final_seeds=2, patience=9, max_epochs=2, validations_per_epoch=1)
    taught(run, contender, tmp_path / "final", tell=heard.append)
    rows = sum(PreparedData.open(run.data).rows(part) for part in FINAL)
    steps = 2 * (rows // contender.hyper.batch_size)
    expected = [(number, step) for number in (1, 2) for step in (steps // 2, steps)]
    for words, (number, step) in zip(heard, expected, strict=True):
        begin = f"final training {number} of 2, step {step} of at most {steps}: log loss"
        assert re.fullmatch(begin + r" 0\.\d{4}", words), words


@pytest.mark.parametrize(
    ("losses", "best"), [((0.4, 0.5, 0.6), 0), ((0.5, 0.4, 0.6), 1), ((0.5, 0.4, 0.3), 2), ((None, 0.5, None), 1)]
)
def test_wherever_the_best_comes_and_though_others_diverge(
    run: RunFolder,
    contender: Contender,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    losses: Sequence[float | None],
    best: int,
) -> None:
    seeds = losing(monkeypatch, losses)
    assert taught(run, contender, tmp_path / "final") == Network(losses[best])
    assert seeds == [0, 1000, 2000]


def test_it_says_that_all_of_them_diverged(
    run: RunFolder, contender: Contender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pattern = rf"the final training of {contender.name} diverged at step 7 of .*retrain\.space\.learning_rate"
    for _ in range(2):
        seeds = losing(monkeypatch, (None, None, None))
        with pytest.raises(DivergedError, match=pattern):
            taught(run, contender, tmp_path / "final")
        assert seeds == [0, 1000, 2000], "another call tries again"


def test_killed_after_one_that_diverged_it_goes_on_with_the_seed_of_the_checkpoint(
    run: RunFolder, contender: Contender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seeds = losing(monkeypatch, (None,))
    with pytest.raises(IndexError):  # in the second training
        taught(run, contender, tmp_path / "final")
    assert seeds == [0, 1000]
    seeds = losing(monkeypatch, (0.4, 0.5))
    assert taught(run, contender, tmp_path / "final") == Network(0.4)
    assert seeds == [1000, 2000]


def test_one_seed_is_the_job_s_own(
    run: RunFolder, contender: Contender, alone: list[tuple[float, Mapping[str, Tensor]]], tmp_path: Path
) -> None:
    one = changed(run, "retrain", final_seeds=1)
    assert same(taught(one, contender, tmp_path / "final").state_dict(), alone[0][1])


@pytest.mark.parametrize(
    "killed", [*(pytest.param(at, marks=pytest.mark.slow) for at in ((1, 2), (3, 2))), (2, 2), (3, 1)]
)
def test_killed_it_goes_on_and_ends_with_the_same_network(
    run: RunFolder,
    contender: Contender,
    alone: list[tuple[float, Mapping[str, Tensor]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    killed: tuple[int, int],
) -> None:
    files, count = tmp_path / "final", 0

    def kill(words: str) -> None:
        nonlocal count
        if words.startswith(f"final training {killed[0]} of 3,"):
            count += 1
            if count == killed[1]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taught(run, contender, files, tell=kill)
    heard: list[str] = []
    steps = watch_steps(monkeypatch)
    subnet = taught(run, contender, files, tell=lambda words: heard.append(words.partition(",")[0]))
    assert same(subnet.state_dict(), min(alone, key=lambda one: one[0])[1])
    assert set(heard) == {f"final training {number} of 3" for number in range(killed[0], 4)}, (
        "what ended is not repeated"
    )
    assert (steps[0] > 0) == (killed[1] > 1), "it did not begin anew"
    assert [path.suffix for path in left_by(tmp_path)] == [".safetensors"] * 3, "what has ended stays"
    steps.clear()
    assert same(taught(run, contender, files).state_dict(), subnet.state_dict())
    assert steps == []


def test_a_training_whose_network_was_not_saved_goes_on_from_its_last_checkpoint(
    run: RunFolder,
    contender: Contender,
    alone: list[tuple[float, Mapping[str, Tensor]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(last_trainings, "save_network", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            taught(run, contender, tmp_path / "final")
    steps = watch_steps(monkeypatch)
    subnet = taught(run, contender, tmp_path / "final")
    assert steps[0] > 0
    assert steps.count(0) == 2, "of the second and the third"
    assert same(subnet.state_dict(), min(alone, key=lambda one: one[0])[1])
    assert [path.suffix for path in left_by(tmp_path)] == [".safetensors"] * 3


@pytest.mark.slow
def test_workers_share_them_and_end_with_the_same_network(
    run: RunFolder, contender: Contender, alone: list[tuple[float, Mapping[str, Tensor]]], tmp_path: Path
) -> None:
    heard: list[str] = []

    def busy_with_the_first(words: str) -> None:
        heard.append(words.partition(",")[0])
        deadline = time.monotonic() + 60
        while not [*tmp_path.glob("*.safetensors")] and time.monotonic() < deadline:
            time.sleep(0.1)

    subnet = taught(run, contender, tmp_path / "final", workers=2, tell=busy_with_the_first)
    assert same(subnet.state_dict(), min(alone, key=lambda one: one[0])[1])
    assert set(heard) != {f"final training {number} of 3" for number in (1, 2, 3)}


@pytest.mark.slow
def test_what_a_killed_helper_was_at_goes_on_from_its_checkpoint(
    run: RunFolder,
    contender: Contender,
    alone: list[tuple[float, Mapping[str, Tensor]]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    two, killed = changed(run, "retrain", final_seeds=2), []

    def kill_the_helper(words: str) -> None:
        if killed:
            return
        theirs = 1 if words.startswith("final training 1") else 0
        deadline = time.monotonic() + 120
        while not [*tmp_path.glob(f"*-{theirs}.ckpt")]:
            assert time.monotonic() < deadline, "the helper was to be killed in the middle"
            time.sleep(0.01)
        (helper,) = children()
        helper.kill()
        killed.append(helper)

    steps = watch_steps(monkeypatch)
    subnet = taught(two, contender, tmp_path / "final", workers=2, tell=kill_the_helper)
    assert same(subnet.state_dict(), min(alone[:2], key=lambda one: one[0])[1])
    assert steps.count(0) == 1, "the other began in the helper"


def test_what_another_process_trains_is_waited_for(
    run: RunFolder, contender: Contender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has the second one; when it dies, that one is trained here."""
    losing(monkeypatch, (0.5, 0.4, 0.3))
    heard: list[str] = []
    with ExitStack() as dies:

        def told(words: str) -> None:
            heard.append(words)
            dies.close()

        digest = teachers.digest_of(run, teaching(run), contender.hyper)
        dies.enter_context(run.lock(f"final-{digest}-1", inside=tmp_path))
        assert taught(run, contender, tmp_path / "final", tell=told) == Network(0.3)
    assert heard == ["waits for final training 2 of 3, in another process"]


def test_final_teachers_are_the_same_architectures_trained_on_validation_rows_too(
    finished_run: RunFolder,
) -> None:
    run = finished_run
    known, first = teachers.may_teach(run), teachers.teachers(run)
    found = final_teachers(run, first, run.final_trainings)
    assert {*found} <= {*first}
    assert found
    hyper = default_hyper(run.job, taught=False)
    for name, path in found.items():
        trained = train_by_job(run, known[name], hyper, lambda step, metrics: False, parts=FINAL).subnet.state_dict()
        kept = load_subnet(path).state_dict()
        assert all(torch.equal(kept[key], trained[key]) for key in trained)


def test_of_the_final_teachers_as_many_teach_as_are_best_together(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(hand_designs(load_search_space(copied_run.job.space)))
    monkeypatch.setattr(teachers, "best_together", lambda logits, rows, most: [*range(len(logits))][:0:-1])
    assert list(final_teachers(copied_run, names, copied_run.final_trainings)) == names[:0:-1] != []


def test_the_final_stage_says_who_its_teachers_were(finished_run: RunFolder) -> None:
    noted = read_json(finished_run.final)
    assert noted["teachers"] == list(teachers.teachers(finished_run)) != []
    assert noted["final_teachers"] == list(
        final_teachers(finished_run, teachers.teachers(finished_run), finished_run.final_trainings)
    )


def test_killed_final_teachers_go_on_where_they_were(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied_run
    found = final_teachers(run, teachers.teachers(run), run.final_trainings)
    trained = [*run.retrained.glob("final-teacher-*.safetensors")]
    before = {path: load_subnet(path).state_dict() for path in trained}
    for path in trained:
        path.unlink()
    heard: list[str] = []

    def dying(words: str) -> None:
        heard.append(words)
        if len(heard) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        final_teachers(run, teachers.teachers(run), run.final_trainings, tell=dying)
    (checkpoint,) = run.final_trainings.glob("final-teacher-*.ckpt")
    again = watch_steps(monkeypatch)
    assert final_teachers(run, teachers.teachers(run), run.final_trainings) == found
    assert f", step {again[0]} of" in heard[0], "from the last checkpoint on"
    for path in trained:
        assert all(torch.equal(value, before[path][key]) for key, value in load_subnet(path).state_dict().items())
    assert not checkpoint.exists()
    again.clear()
    assert final_teachers(run, teachers.teachers(run), run.final_trainings) == found
    assert not again, "trained once a run"


def test_a_final_teacher_that_diverges_teaches_nobody_and_the_winner_is_trained(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied_run
    first = next(iter(final_teachers(run, teachers.teachers(run), run.final_trainings).values()))
    first.unlink()
    tried: list[object] = []

    def diverging(*arguments: object, **__: object) -> None:
        tried.append(arguments)
        raise DivergedError("step 7 of 9")

    monkeypatch.setattr(last_trainings, "train_by_job", diverging)
    for _ in range(2):  # the second time it is known
        assert first not in final_teachers(run, teachers.teachers(run), run.final_trainings).values()
    assert len(tried) == 1
    monkeypatch.undo()
    taught_by = taught_finally(run, teachers.teachers(run), {})
    label, data = labels_of(run, taught_by), PreparedData.open(run.data)
    own = data.part(*FINAL).batch(slice(None))[2].numpy()
    rows = sum(data.rows(part) for part in TRAINING)
    assert label is not None
    assert (label[:rows] != own[:rows]).all(), "the candidates' teachers teach"
    assert (label[rows:] == own[rows:]).all()
    found, *_ = candidates(run).values()
    name, architecture = found.name, found.architecture
    contender = Contender(name, architecture, default_hyper(run.job, taught=False), Metrics(0.5, 0.7, 0.01, 100))
    subnet = train_final(run, contender, taught_by, run.final_trainings / "final")
    assert subnet.architecture.key == architecture.key
