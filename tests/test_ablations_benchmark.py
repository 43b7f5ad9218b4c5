"""The benchmark's ablations: one thing changes, everything else is the run's own, and nothing is trained twice."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from nasrec_automl.architecture import DOT_PRODUCT
from nasrec_automl.config import AdagradHead, Job, RidgeHead, load_job
from nasrec_automl.cost import profile
from nasrec_automl.errors import DivergedError, JobError
from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.ops import BlockInputs, DenseOp
from nasrec_automl.ops.dot_product import DotProduct
from nasrec_automl.pipeline.progress import read_progress
from nasrec_automl.pipeline.rank import rank_content, rank_scores
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.supernet import SupernetStage
from nasrec_automl.ranking import judge_ranking
from nasrec_automl.testing.examples import draw, make_batch, small_op, tiny_schema, tiny_space, with_choice
from nasrec_automl.testing.pytest_ops import DenseOpContract
from nasrec_automl.training.seed import seeded
from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.ablations import supernets, truth
from tests.benchmarks.ablations.compare import Judged, compare
from tests.benchmarks.ablations.masked import MaskedTwin
from tests.benchmarks.ablations.unbalanced import UnbalancedDotProduct, mean_cost, unbalanced
from tests.benchmarks.ablations.variants import OURS, UNBALANCED, variants

JOB: dict[str, Any] = {
    "data": {"options": {"rows": 1500, "seed": 1, "fields": 4, "dense": 3}},
    "supernet": {"epochs": 1, "validations": 2},
    "rank": {"architectures": 6, "seeds": 1},
}
HEADS = {"adagrad-head", "unfitted-head"}


def ablate(run: RunFolder, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    monkeypatch.setattr(benchmarks.sys, "argv", ["bench", "ablations", str(run.path), *options])
    benchmarks.main()
    found: dict[str, Any] = json.loads((run.path / "ablations.json").read_text())
    return found


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> RunFolder:
    run = RunFolder(load_job(write_job(tmp_path_factory.mktemp("ranked"), **JOB)))
    rank_scores(run)
    return run


@pytest.fixture(scope="module")
def ablated(ranked: RunFolder) -> tuple[RunFolder, dict[str, Any]]:
    """The run with every variant done, and its table."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return ranked, ablate(ranked, monkeypatch)


@pytest.fixture
def copied(ablated: tuple[RunFolder, dict[str, Any]], tmp_path: Path) -> RunFolder:
    subprocess.run(["cp", "-a", str(ablated[0].path.parent), str(tmp_path / "copy")], check=True)
    run = RunFolder(load_job(tmp_path / "copy" / "job.yaml"))
    run.create()
    return run


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in result["variants"]}


@pytest.mark.slow
def test_the_jobs_own_settings_are_what_rank_found(ablated: tuple[RunFolder, dict[str, Any]]) -> None:
    run, result = ablated
    rows = by_name(result)
    assert rows[OURS]["tau"] == json.loads(run.rank.read_text())["ranking"]["tau"]
    assert rows[OURS]["log_loss"] == pytest.approx(np.mean([one.score for one in rank_content(run).architectures]))
    assert "less_ours" not in rows[OURS]
    assert [*rows] == [*variants(run.job)]
    assert (result["architectures"], result["truth_seeds"], result["seeds"]) == (6, 1, 1)
    assert all(row["seconds"] > 0 for row in rows.values())
    assert all(rows[name]["seconds"] == rows[OURS]["seconds"] for name in HEADS)


def test_each_variant_is_another_supernet_or_another_head(ablated: tuple[RunFolder, dict[str, Any]]) -> None:
    run, result = ablated
    rows = by_name(result)
    losses = [row["log_loss"] for row in rows.values()]
    assert len(set(losses)) == len(losses)
    weights = {name: run.path / "ablations" / name / "0" / "supernet" / "weights.safetensors" for name in rows}
    assert {name for name, path in weights.items() if not path.exists()} == {OURS, *HEADS}
    tables = [load_file(path)["embedding.weight"] for path in (run.weights, *weights.values()) if path.exists()]
    assert len({table.numpy().tobytes() for table in tables}) == len(tables) == len(rows) - len(HEADS)
    assert not list(run.path.glob("ablations/*/*/data")), "the run's data serve all"
    assert "blocks.1.dense_ops.fc.linear.weight" in load_file(weights["masked"])
    assert "blocks.1.dense_ops.dot_product.weights.dense:s0" in load_file(weights[UNBALANCED])


def test_done_nothing_is_trained_or_scored_again(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (copied.path / "ablations.json").read_text()
    weights = load_file(copied.path / "ablations" / "any-path" / "0" / "supernet" / "weights.safetensors")
    with monkeypatch.context() as patched:
        patched.setattr("nasrec_automl.pipeline.supernet.train_supernet", lambda *_: pytest.fail("trained again"))
        patched.setattr(supernets, "make_evaluator", lambda *_: pytest.fail("scored again"))
        ablate(copied, patched)
        assert (copied.path / "ablations.json").read_text() == before
        assert [row["variant"] for row in ablate(copied, patched, "--variants", "masked")["variants"]] == [
            OURS,
            "masked",
        ]
    # What is lost is made again as it was, and the rest is left alone.
    for name in ("supernet", "scores.json"):
        subprocess.run(["rm", "-r", str(copied.path / "ablations" / "any-path" / "0" / name)], check=True)
    again = by_name(ablate(copied, monkeypatch))
    assert again["any-path"]["tau"] == by_name(json.loads(before))["any-path"]["tau"]
    made = load_file(copied.path / "ablations" / "any-path" / "0" / "supernet" / "weights.safetensors")
    assert all(torch.equal(made[name], weight) for name, weight in weights.items())


@pytest.mark.parametrize("name", ["masked", UNBALANCED])
def test_broken_off_it_goes_on_with_the_same_network(
    copied: RunFolder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from nasrec_automl.nni_plugin.oneshot import NasRecLightningModule

    own, step = copied.path / "ablations" / name / "0", NasRecLightningModule.training_step
    before = load_file(own / "supernet" / "weights.safetensors")
    subprocess.run(["rm", "-r", str(own)], check=True)
    steps = []

    def breaks(self: Any, *arguments: Any) -> Any:
        steps.append(self.global_step)
        if len(steps) == 6:
            raise ValueError("broken off")
        return step(self, *arguments)

    monkeypatch.setattr(NasRecLightningModule, "training_step", breaks)
    with pytest.raises(ValueError, match="broken off"):
        ablate(copied, monkeypatch, "--variants", name)
    ablate(copied, monkeypatch, "--variants", name)
    assert 0 < steps[6] <= 5, "from a checkpoint"
    after = load_file(own / "supernet" / "weights.safetensors")
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], weight) for key, weight in before.items())


def test_seeds_are_of_the_supernets_and_not_of_the_rows(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = supernets.make_evaluator
    monkeypatch.setattr(supernets, "make_evaluator", lambda run: made.append(run) or make(run))
    result = ablate(copied, monkeypatch, "--seeds", "2", "--variants", "adagrad-head", "single-path")
    rows = by_name(result)
    assert {run.job.seed for run in made} == {copied.job.seed}
    first, second = (copied.path / "ablations" / OURS / number / "scores.json" for number in ("0", "1"))
    assert json.loads(first.read_text())["scores"].keys() == json.loads(second.read_text())["scores"].keys()
    assert first.read_text() != second.read_text()
    noted = json.loads((copied.path / "ablations" / OURS / "1" / "stages" / "supernet.json").read_text())
    assert noted["seed"] == copied.job.seed + 1
    assert {"tau_deviation", "less_ours_deviation"} <= rows["single-path"].keys()
    # The second head reads the second supernet of ours: nothing was trained for it.
    assert not (copied.path / "ablations" / "adagrad-head" / "1" / "supernet").exists()
    assert result["seeds"] == 2


def test_a_training_that_diverges_is_said_once(
    copied: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["rm", "-r", str(copied.path / "ablations" / "no-layer-norm")], check=True)
    starts = []

    def diverges(*arguments: Any) -> None:
        starts.append(arguments)
        raise DivergedError("step 3: the loss is nan")

    monkeypatch.setattr(SupernetStage, "_run", diverges)
    for _ in range(2):
        row = by_name(ablate(copied, monkeypatch, "--variants", "no-layer-norm"))["no-layer-norm"]
        assert row["notes"] == ["its supernet's training diverged"]
        assert "step 3: the loss is nan" in capsys.readouterr().out
    assert len(starts) == 1


def test_the_table_says_what_the_json_says(
    copied: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = by_name(ablate(copied, monkeypatch))[UNBALANCED]
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if UNBALANCED in line and "│" in line]
    assert f"{row['tau']['value']:.2f} ({row['tau']['low']:.2f}, {row['tau']['high']:.2f})" in line
    assert f"{row['less_ours']['value']:+.2f} ({row['less_ours']['low']:+.2f}" in line
    assert f"{UNBALANCED}: its scores are compared with trainings from scratch that have the balanced" in printed


def test_the_unbalanced_operator_can_have_its_own_truth(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    content = rank_content(copied)
    losses = np.array([one.losses for one in content.architectures])
    has_it = [any(value == DOT_PRODUCT for value in one.params.values()) for one in content.architectures]
    found: list[np.ndarray] = []
    train = truth.unbalanced_truth
    monkeypatch.setattr(
        "tests.benchmarks.ablations.command.unbalanced_truth",
        lambda *arguments, **options: found.append(train(*arguments, **options)) or found[-1],
    )
    row = by_name(ablate(copied, monkeypatch, "--own-truth", "--variants", UNBALANCED))[UNBALANCED]
    (own,) = found
    changed = (own != losses).all(axis=1)
    assert changed.any()
    assert all(there for there, differs in zip(has_it, changed, strict=True) if differs)
    assert row["own_truth_log_loss"]["mean"] == pytest.approx(own.mean())
    assert not any("balanced operator" in note for note in row["notes"])
    # Kept in a study of its own.
    monkeypatch.setattr(
        "nasrec_automl.pipeline.truth.train_by_job", lambda *_, **__: pytest.fail("trained from scratch again")
    )
    ablate(copied, monkeypatch, "--own-truth", "--variants", UNBALANCED)
    assert np.array_equal(found[1], own)


def test_wrong_arguments_are_refused(
    ranked: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ablate(ranked, monkeypatch, "--variants", "no-such")
    assert "no variant no-such; this job has ours, single-path" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        ablate(ranked, monkeypatch, "--seeds", "0")


def test_a_job_that_has_changed_is_refused(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = copied.job.supernet.model_copy(update={"dropout": 0.5})
    RunFolder(copied.job.model_copy(update={"supernet": supernet})).create()
    with pytest.raises(JobError, match=r"supernet\.dropout"):
        ablate(copied, monkeypatch)


def test_variants_change_what_the_job_does_not_have(ranked: RunFolder) -> None:
    job = ranked.job

    def changed(supernet: dict[str, Any], head: Any) -> Job:
        sections = {"supernet": job.supernet.model_copy(update=supernet)}
        return job.model_copy(update={**sections, "search": job.search.model_copy(update={"head": head})})

    usual = variants(job)
    assert [*usual] == [
        *(OURS, "single-path", "any-path", "full-path", "no-warm-up", "no-layer-norm"),
        *("clip-5", "eps-0.01", "dropout", "decay", "labels-alone"),
        *("adagrad-head", "unfitted-head", UNBALANCED, "masked"),
    ]
    assert usual["no-warm-up"].supernet == {"path_warm_up": 0}
    assert usual["unfitted-head"].head == AdagradHead(method="adagrad", steps=0)
    other = changed(
        {"sampling": "any-path", "path_warm_up": 0.0, "layer_norm": False}, AdagradHead(method="adagrad", steps=0)
    )
    assert [*variants(other)][1:13] == [
        *("single-operator", "single-path", "full-path", "warm-up", "layer-norm"),
        *("clip-5", "eps-0.01", "dropout", "decay", "labels-alone", "ridge-head", "adagrad-head"),
    ]
    assert [v.name for v in variants(changed({}, RidgeHead(strength=3))).values()] == [*usual]


# The unbalanced operator.


class TestUnbalancedDotProduct(DenseOpContract):
    @pytest.fixture
    def op_class(self) -> type[DenseOp]:
        return UnbalancedDotProduct


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 3])
@pytest.mark.parametrize("counts", [{"s0": 4, "s1": 2}, {"s0": 3, "s1": 1}, {"s1": 2}, {"s0": 1}])
def test_it_is_every_product_of_two_tokens_times_the_weight_of_that_pair(
    layer_norm: bool, dim: int, counts: dict[str, int]
) -> None:
    op, a = small_op(UnbalancedDotProduct, layer_norm=layer_norm), draw(3)
    tokens = {name: draw(4, count, seed=number) for number, (name, count) in enumerate(counts.items(), 1)}
    dense = F.linear(a, op.project_dense.weights["s0"], op.project_dense.bias)
    vectors = [("dense", 0, dense)]
    vectors += [(name, i, x[..., i]) for name, x in tokens.items() for i in range(x.shape[-1])]
    out = torch.zeros(len(a), dim, dtype=a.dtype) if layer_norm else op.bias[:dim].expand(len(a), dim)
    for number, (second, j, y) in enumerate(vectors):
        for first, i, x in vectors[:number]:
            weight = op.weights[f"{first}:{second}"][:dim]
            # Within one input pair (j, i) stands at j (j - 1) / 2 + i, whatever the number of tokens.
            weight = weight[:, j * (j - 1) // 2 + i] if first == second else weight[:, i, j]
            out = out + (x * y).sum(-1, keepdim=True) * weight
    if layer_norm:
        out = F.layer_norm(out, (dim,), op.norm.weight[:dim], op.norm.bias[:dim])
    inputs = BlockInputs(dense=[("s0", a)], tokens=[*tokens.items()], left=[], right=[])
    torch.testing.assert_close(op(inputs, dim), out)


def test_supernet_and_subnet_have_it_and_are_one_function() -> None:
    space, schema, rng = tiny_space(dense_ops=(DOT_PRODUCT, "fc")), tiny_schema(), np.random.default_rng(0)
    dense, ids = make_batch(schema, 6)
    with unbalanced():
        supernet = Supernet(space, schema).double()
        for architecture in (space.random(rng) for _ in range(10)):
            subnet = supernet.extract(architecture)
            torch.testing.assert_close(subnet(dense, ids), supernet(dense, ids, architecture))
    assert isinstance(supernet.blocks["1"].dense_ops[DOT_PRODUCT], UnbalancedDotProduct)
    assert isinstance(Supernet(space, schema).blocks["1"].dense_ops[DOT_PRODUCT], DotProduct)


def test_what_it_costs() -> None:
    """The balanced one as the package counts it; of the other, parameters as a network has them."""
    schema, space = tiny_schema(), tiny_space(blocks=1, dense_to_sparse=(False,), fm=(False,))
    drawn = space.random(np.random.default_rng(1))
    with_it, without = (with_choice(drawn, "block1/dense_op", op) for op in (DOT_PRODUCT, "fc"))
    assert mean_cost([without], schema, layer_norm=True, balanced=False).macs == 0
    d = with_it.blocks[0].dense_dim
    both, own = profile(with_it, schema), profile(without, schema)
    cost = mean_cost([with_it], schema, layer_norm=True, balanced=True)
    assert cost.macs == both.macs - own.macs + 3 * d
    assert cost.parameters == both.dense_parameters - own.dense_parameters + 3 * d + 2 * d
    half = mean_cost([with_it, without], schema, layer_norm=True, balanced=False)
    with unbalanced():
        networks = [Subnet(one, schema) for one in (with_it, without)]
    count = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert 2 * half.parameters == count[0] - count[1] + 3 * d + 2 * d
    assert 2 * half.macs == 3 * 8 + 5 * 5 * 8 + 10 * d  # three dense features, four fields, E = 8


# The masked supernet.


def test_the_masked_supernet_starts_as_ours() -> None:
    space, schema = tiny_space(dense_dims=(8,), sparse_dims=(8,)), tiny_schema()
    dense, ids = make_batch(schema, 6)
    with seeded(3):
        ours = Supernet(space, schema)
    with seeded(3):
        masked = MaskedTwin(space, schema)
    rng = np.random.default_rng(0)
    for architecture in (space.random(rng) for _ in range(10)):
        expected = ours(dense.float(), ids, architecture)
        torch.testing.assert_close(masked(dense.float(), ids, architecture), expected, rtol=0, atol=1e-4)
    masked(dense.float(), ids, architecture).sum().backward()
    assert masked.embedding.weight.grad.is_sparse


# The comparison.


def test_a_comparison_is_paired_and_has_the_draws_of_a_ranking() -> None:
    rng = np.random.default_rng(0)
    loss = rng.normal(size=40)
    good, bad = loss + 0.5 * rng.normal(size=(3, 40)), loss + 2 * rng.normal(size=(3, 40))
    one = compare(Judged(good[:1], loss), Judged(bad[:1], loss), seed=7)
    ranking = judge_ranking(good[0], loss[:, None], np.arange(40), seed=7)
    assert one.tau == ranking.tau
    assert one.spearman == pytest.approx(ranking.spearman.value)
    assert (one.tau_deviation, one.less_ours_deviation) == (None, None)
    assert 0 < one.less_ours.low < one.less_ours.value < one.less_ours.high
    three = compare(Judged(good, loss), Judged(bad, loss), seed=7)
    taus = [judge_ranking(scores, loss[:, None], np.arange(40), resamples=1).tau.value for scores in good]
    assert three.tau.value == pytest.approx(np.mean(taus))
    assert three.tau_deviation == pytest.approx(np.std(taus, ddof=1))
    # A little noise on both sides is one noise: of a variant against itself nothing is left.
    same = compare(Judged(bad, loss), Judged(bad, loss), seed=7)
    assert (same.less_ours.value, same.less_ours.low, same.less_ours.high, same.less_ours_deviation) == (0, 0, 0, 0)
    close = compare(Judged(good + 0.01 * rng.normal(size=good.shape), loss), Judged(good, loss), seed=7)
    assert close.less_ours.high - close.less_ours.low < (close.tau.high - close.tau.low) / 3


def test_a_variant_of_ones_own(copied: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = by_name(
        ablate(copied, monkeypatch, "--variants", "--change", "epochs=2", "patience=0", "--change", "eps=1e-3")
    )
    assert list(rows) == [OURS, "epochs=2,patience=0", "eps=1e-3"]
    own, longer = (
        read_progress(folder / "progress" / "supernet.json")
        for folder in (copied.path, copied.path / "ablations" / "epochs=2,patience=0" / "0")
    )
    assert own is not None
    assert longer is not None
    assert longer.total == 2 * own.total
    assert rows["epochs=2,patience=0"]["log_loss"] != rows[OURS]["log_loss"] != rows["eps=1e-3"]["log_loss"]


@pytest.mark.parametrize("setting", ["epoch=2", "epochs=-1", "epochs", "epochs=["])
def test_a_wrong_setting_of_ones_own_is_named(
    copied: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        ablate(copied, monkeypatch, "--change", setting)
    assert "epoch" in capsys.readouterr().err
