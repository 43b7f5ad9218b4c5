"""The benchmark's baselines: tuned in their time, trained on the run's rows, compared by paired errors."""

import argparse
import itertools
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import torch

from nasrec_automl import FeatureSchema
from nasrec_automl.config import Job, load_job
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, DivergedError, RunFolderError
from nasrec_automl.evaluation.paired import placements
from nasrec_automl.pipeline.final_training import FINAL_SEEDS_APART
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.schema import FieldSchema
from nasrec_automl.training.metrics import measure
from tests.benchmarks.baselines import tuning
from tests.benchmarks.baselines.compare import compare, quality
from tests.benchmarks.baselines.method import Fitted, Method, Report
from tests.benchmarks.baselines.plain import Boosting, Linear
from tests.benchmarks.baselines.tuning import Winner, tune

# One field that trees take as it is, a large one, and a multi-valued one.
SCHEMA = FeatureSchema(
    dense=("x",),
    fields=(
        FieldSchema(name="small", table_size=10),
        FieldSchema(name="large", table_size=400),
        FieldSchema(name="many", table_size=8, columns=2),
    ),
    embedding_dim=8,
)


def rows(count: int, seed: int) -> Rows:
    """Labels that follow the small field and the dense feature; the large field is noise."""
    draw = np.random.default_rng(seed)
    sizes = [10, 400, 8, 8]
    ids = np.stack([draw.integers(size, size=count) for size in sizes], axis=1)
    dense = draw.normal(size=(count, 1)).astype(np.float32)
    logit = 2 * (ids[:, 0] > 4) - 1 + dense[:, 0]
    return Rows(dense, ids, (draw.random(count) < 1 / (1 + np.exp(-logit))).astype(np.uint8))


TRAIN, VALIDATION = rows(4000, 0), rows(2000, 1)
BASE = math.log(2)


def never(validation: int, log_loss: float) -> bool:
    return False


def log_loss(fitted: Fitted, some: Rows) -> float:
    return measure(fitted.logits(some), torch.from_numpy(some.label.astype(np.float32))).log_loss


def job_of(write_job: Callable[..., Path], folder: Path) -> Job:
    return load_job(write_job(folder))


def check_method(method: Method, params: dict[str, Any]) -> Fitted:
    """It learns, and the same seed gives the same model."""
    fitted, *others = (method.fit(params, TRAIN, VALIDATION, seed=seed, report=never) for seed in (0, 0, 1))
    assert log_loss(fitted, VALIDATION) < BASE - 0.1
    logits = [one.logits(VALIDATION) for one in (fitted, *others)]
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2]) != method.seeded
    return fitted


@pytest.mark.parametrize("cls", [Linear, Boosting])
def test_plain_methods_learn(cls: type[Method], write_job: Callable[..., Path], tmp_path: Path) -> None:
    params = {**cls.defaults, **({"max_features": 0.5} if cls is Boosting else {})}
    check_method(cls(SCHEMA, job_of(write_job, tmp_path)), params)


@pytest.mark.parametrize("name", ["DeepFM", "DCNv2", "AutoInt", "xDeepFM"])
def test_networks_of_the_library_learn(name: str, write_job: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines.command import METHODS

    method = METHODS[name](SCHEMA, job_of(write_job, tmp_path))
    check_method(method, {**method.defaults, "learning_rate/adam": 0.01, "batch_size": 128})


def test_tables_are_as_ours_and_pay_for_their_rows_alone(write_job: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines.networks import DeepFMMethod

    network = DeepFMMethod(SCHEMA, job_of(write_job, tmp_path))._new(DeepFMMethod.defaults, 0)
    tables = [module for module in network.modules() if isinstance(module, torch.nn.Embedding)]
    assert [tuple(table.weight.shape) for table in tables] == [(10, 8), (400, 8), (8, 8)]
    dense, ids, _ = TRAIN.batch(slice(0, 4))
    logits = network(dense, ids)
    logits.sum().backward()
    assert logits.shape == (4,)
    assert all(table.weight.grad.is_sparse for table in tables)


class Fake(Method):
    """A constant, which choice likes the less the more hpo does."""

    name = "fake"
    defaults = {"x": 0.5}  # noqa: RUF012
    fits = 0

    def suggest(self, trial: optuna.Trial) -> None:
        trial.suggest_float("x", 0, 1)

    def fit(self, params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        type(self).fits += 1
        if params["x"] > 0.9:
            raise DivergedError("step 1")

        def logits(some: Rows) -> torch.Tensor:
            shift = params["x"] - 0.5
            return torch.full((len(some),), shift if np.array_equal(some.label, validation.label) else -shift).double()

        return Fitted(logits, 1.0)


@pytest.fixture
def fake(finished_run: RunFolder) -> Method:
    Fake.fits = 0
    Fake.trials = None
    return Fake(SCHEMA, finished_run.job)


def test_tuning_ends_with_its_time_and_is_done_once(fake: Fake, finished_run: RunFolder, tmp_path: Path) -> None:
    data = PreparedData.open(finished_run.data)
    winner = tune(fake, data, tmp_path, seconds=0, seed=0)
    assert (winner.params, winner.trials, Fake.fits) == (Fake.defaults, 1, 1)
    assert tune(fake, data, tmp_path, seconds=0, seed=0) == winner
    with pytest.raises(RunFolderError, match=r"fake was tuned for 0 s, but 100 s are asked for.*remove"):
        tune(fake, data, tmp_path, seconds=100, seed=0)
    assert Fake.fits == 1


def test_tuning_goes_on_with_its_study(fake: Fake, finished_run: RunFolder, tmp_path: Path) -> None:
    data = PreparedData.open(finished_run.data)
    tune(fake, data, tmp_path, seconds=0, seed=0)
    (tmp_path / "fake.json").unlink()
    study = optuna.load_study(study_name="fake", storage=f"sqlite:///{tmp_path / 'studies.db'}")
    study.ask()  # of a process that was killed
    Fake.trials = 30
    winner = tune(fake, data, tmp_path, seconds=100, seed=0)
    assert (winner.trials, Fake.fits) == (30, 30)
    states = [trial.state.name for trial in study.get_trials()]
    assert states.count("FAIL") == 1
    assert "PRUNED" in states, "one that diverged counts, as pruned"
    assert tune(fake, data, tmp_path, seconds=50, seed=0) == winner, "it had more time than that"


def test_a_training_ends_with_the_time_of_tuning(
    fake: Fake, finished_run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock of one second a look: the first trial is done at once, the second would validate for ever."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    validations: list[int] = []

    def fit(params: dict[str, Any], rows: Rows, validation: Rows, *, seed: int, report: Report) -> Fitted:
        if Fake.fits:
            validations.extend(itertools.takewhile(lambda number: not report(number, 0.6), range(1, 1000)))
        return Fake.fit(fake, params, rows, validation, seed=seed, report=report)

    monkeypatch.setattr(fake, "fit", fit)
    winner = tune(fake, PreparedData.open(finished_run.data), tmp_path, seconds=20, seed=0)
    assert winner.trials == 2
    assert 10 < len(validations) < 20


def test_the_winner_is_chosen_among_the_best_few(fake: Fake, finished_run: RunFolder, tmp_path: Path) -> None:
    data = PreparedData.open(finished_run.data)
    Fake.trials = 20
    winner = tune(fake, data, tmp_path, seconds=100, seed=0)
    study = optuna.load_study(study_name="fake", storage=f"sqlite:///{tmp_path / 'studies.db'}")
    complete = [trial for trial in study.get_trials() if trial.state.name == "COMPLETE"]
    few = sorted(complete, key=lambda trial: trial.value)[:5]
    assert winner.choice == min(trial.user_attrs["choice"] for trial in few)
    assert winner.hpo <= few[-1].value
    assert winner.choice > min(trial.user_attrs["choice"] for trial in complete)


def logits(seed: int, *, noise: float, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    truth = np.random.default_rng(0).normal(size=count)
    label = (np.random.default_rng(1).random(count) < 1 / (1 + np.exp(-truth))).astype(np.uint8)
    return label, truth + np.random.default_rng(seed).normal(scale=noise, size=count)


def test_a_difference_has_the_error_of_rows_and_of_seeds() -> None:
    label, ours = logits(2, noise=0.1)
    theirs = [logits(seed, noise=1.0)[1] for seed in range(3, 8)]
    loss, auc = compare(label, [theirs], [[ours]])
    assert loss.mean > 5 * loss.error > 0
    assert auc.mean < -5 * auc.error < 0
    mine, other = quality(label, [[ours]]), quality(label, [theirs])
    assert loss.mean == pytest.approx(other.log_loss.mean - mine.log_loss.mean)
    assert mine.log_loss.deviation == 0 < other.log_loss.deviation
    # Of one training against itself nothing is left; rows that both share take no part in the error.
    same = compare(label, [[ours]], [[ours]])
    assert [(one.mean, one.error) for one in same] == [(0, 0), (0, 0)]
    single, _ = compare(label, [theirs[:1]], [[ours]])
    assert single.error < quality(label, [theirs]).log_loss.mean / math.sqrt(len(label))


def test_rows_have_the_error_of_what_each_method_has_there_in_the_mean() -> None:
    """Noise of single trainings on single rows is a part of the error between trainings, and of no other."""
    label, ours = logits(2, noise=0.1)
    theirs = [logits(seed, noise=1.0)[1] for seed in range(3, 6)]
    found = compare(label, [theirs], [[ours]])

    def losses(one: np.ndarray) -> np.ndarray:
        return np.where(label == 1, np.logaddexp(0, -one), np.logaddexp(0, one))

    positive = label == 1
    placed = [[placements(positive, one)[side] for one in (*theirs, ours)] for side in (0, 1)]
    for one, parts in zip(found, ([[losses(each) for each in (*theirs, ours)]], placed), strict=True):
        rows = sum((np.mean(part[:3], axis=0) - part[3]).var(ddof=1) / len(part[3]) for part in parts)
        of_each = [parts[0][i].mean() for i in range(3)]
        assert one.error == pytest.approx(math.sqrt(rows + np.var(of_each, ddof=1) / 3), rel=1e-4)


def test_test_logits_are_those_of_what_was_chosen(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command

    def chooses(identity: str, logit: float) -> list[np.ndarray]:
        def train(seed: int) -> Callable[[Rows], torch.Tensor]:
            return lambda some: torch.full((len(some),), logit)

        entrant = command.Entrant(train, True, {}, identity)
        monkeypatch.setattr(command, "_entrant", lambda *_: entrant)
        return command._logits(copied_run.path, "other", argparse.Namespace(seeds=2))

    assert [set(one.tolist()) for one in chooses("before", 1.0)] == [{1.0}] * 2
    assert [set(one.tolist()) for one in chooses("after", 2.0)] == [{2.0}] * 2
    assert [set(one.tolist()) for one in chooses("before", 3.0)] == [{1.0}] * 2, "kept"


def test_no_training_has_the_seed_of_another_one_or_of_a_search_beside_it(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command

    asked: list[int] = []

    def train(seed: int) -> Callable[[Rows], torch.Tensor]:
        asked.append(seed)
        return lambda some: torch.zeros(len(some))

    monkeypatch.setattr(command, "_entrant", lambda *_: command.Entrant(train, True, {}, "one"))
    command._logits(copied_run.path, "other", argparse.Namespace(seeds=5))
    own, finals = copied_run.job.seed, copied_run.job.retrain.final_seeds
    assert asked[0] == own, "the run's own"
    trained = [seed + number * FINAL_SEEDS_APART for seed in asked for number in range(finals)]
    assert len({*trained}) == 5 * finals
    assert not {*trained} & {seed + apart for seed in trained for apart in range(1, 100)}


def test_rows_with_weights_are_refused(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command

    weighted = SimpleNamespace(weight=np.ones(3), label=np.ones(3))
    monkeypatch.setattr(command, "on_each", lambda function, units, workers: pytest.fail("tuned"))
    monkeypatch.setattr(PreparedData, "part", lambda *_: weighted)
    options = argparse.Namespace(samplers=[], methods=[], runs=[copied_run.path], workers=1, seeds=1)
    with pytest.raises(DataError, match=r"rows of synthetic have weights"):
        command._result([copied_run], options)


def test_several_searches_are_the_units_of_the_error() -> None:
    """Two trainings a search that differ little, of searches that differ much."""
    label, _ = logits(0, noise=0)
    searches = [[logits(seed, noise=0.3 + seed)[1]] * 2 for seed in range(3)]
    _, ours = logits(9, noise=0.1)
    apart, _ = compare(label, searches, [[ours]])
    joined, _ = compare(label, [[one for seeds in searches for one in seeds]], [[ours]])
    assert apart.mean == pytest.approx(joined.mean)
    assert apart.error > 1.3 * joined.error


def test_the_command_compares_a_run_and_does_nothing_twice(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks import __main__ as benchmarks
    from tests.benchmarks.baselines import command

    wanted = ["baselines", str(copied_run.path), "--seconds", "0", "--seeds", "2", "--output", str(tmp_path / "b.json")]
    methods = ["--methods", "logistic regression", "DeepFM", "--samplers", "random"]
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", *wanted, *methods])
    benchmarks.main()
    result = json.loads((tmp_path / "b.json").read_text())
    found = {row["method"]: row for row in result["methods"]}
    assert list(found) == [command.OURS, "best hand design", "random search", "logistic regression", "DeepFM"]
    assert [row["trainings"] for row in found.values()] == [2, 2, 2, 1, 2]
    assert all(row["less_ours"]["log_loss"]["error"] > 0 for name, row in found.items() if name != command.OURS)
    assert "log loss less ours" in capsys.readouterr().out

    # With the run's own seed ours is the run's model, to the last digit of its result.
    label = PreparedData.open(copied_run.data, test=True).part(Part.TEST).label
    own = command._entrant(copied_run, command.OURS, argparse.Namespace())
    kept = np.load(copied_run.path / "baselines" / "test" / f"{own.identity}-{copied_run.job.seed}.npy")
    expected = json.loads(copied_run.result.read_text())["test"]["log_loss"]
    assert measure(torch.from_numpy(kept), torch.from_numpy(label.astype(np.float32))).log_loss == expected

    # Several processes do what one does.
    shutil.rmtree(copied_run.path / "baselines")
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", *wanted, *methods, "--workers", "2"])
    benchmarks.main()
    again = json.loads((tmp_path / "b.json").read_text())
    for row in (*result["methods"], *again["methods"]):
        for chosen in row["chosen"]:
            del chosen["seconds"]
    assert again["methods"] == result["methods"]

    before = (tmp_path / "b.json").read_text()
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", *wanted, *methods])
    monkeypatch.setattr(command, "train", lambda *arguments: pytest.fail("trained again"))
    benchmarks.main()
    assert (tmp_path / "b.json").read_text() == before


def test_a_baseline_is_the_best_of_as_many_final_trainings_as_a_run_has(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command

    class Guess(Linear):
        """Says the seed's own logit of every row; the labels of hpo rows say which is best."""

        seeded = True

        def fit(self, params: object, rows: Rows, validation: Rows, *, seed: int, report: object) -> Fitted:
            seeds.append(seed)
            return Fitted(lambda some: torch.full((len(some),), 5.0 - 6.0 * (seed >= 1000)), 0.0)

    seeds: list[int] = []
    monkeypatch.setitem(command.METHODS, "guess", Guess)
    monkeypatch.setattr(command, "tune", lambda *_, **__: Winner({}, 0.0, 0.5, 0.5, 1, 1.0, 1.0))
    found = command._entrant(finished_run, "guess", argparse.Namespace(seconds=1.0))
    assert found is not None
    hpo = PreparedData.open(finished_run.data).part(Part.HPO)
    assert hpo.label.mean() < 0.5
    assert set(found.train(7)(hpo).tolist()) == {-1.0}
    assert seeds == [7, 1007]
