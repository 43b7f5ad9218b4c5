from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import AdagradHead, HeadConfig, RidgeHead
from nasrec_automl.data.batches import EvaluationBatches, TrainingBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, JobError
from nasrec_automl.evaluation import Score, WeightSharingEvaluator, ridge
from nasrec_automl.evaluation import evaluator as evaluator_module
from nasrec_automl.network import Supernet
from nasrec_automl.testing.examples import make_rows, repeated, tiny_schema, tiny_space, with_choice, with_weights
from nasrec_automl.training.metrics import measure
from tests.benchmarks.memory import growth

SPACE, SCHEMA = tiny_space(), tiny_schema()
HEAD_ROWS, SCORE_ROWS = make_rows(SCHEMA, 600, seed=1), make_rows(SCHEMA, 500, seed=2)
RNG = np.random.default_rng(0)
ARCHITECTURES = [SPACE.random(RNG) for _ in range(6)]


def adagrad(steps: int) -> AdagradHead:
    return AdagradHead(method="adagrad", steps=steps, batch_size=64, learning_rate=0.04)


RIDGE = RidgeHead()


def evaluator(
    head: HeadConfig = RIDGE, *, seed: int = 0, layer_norm: bool = True, **options: Any
) -> WeightSharingEvaluator:
    torch.manual_seed(0)
    supernet = Supernet(SPACE, SCHEMA, layer_norm=layer_norm, dropout=0.5)
    return WeightSharingEvaluator(supernet, head_rows=HEAD_ROWS, score_rows=SCORE_ROWS, head=head, seed=seed, **options)


@pytest.mark.parametrize(("option", "value"), [("precision", "bf16"), ("early_stop", -1)])
def test_an_option_that_means_nothing_is_refused(option: str, value: Any) -> None:
    with pytest.raises(JobError, match=f"{option} must be .*, but it is {value!r}"):
        evaluator(**{option: value})


def test_no_rows_are_refused() -> None:
    supernet = Supernet(SPACE, SCHEMA)
    with pytest.raises(DataError, match="score_rows: expected rows to score"):
        WeightSharingEvaluator(supernet, head_rows=HEAD_ROWS, score_rows=SCORE_ROWS.take([]), head=RIDGE, seed=0)


def test_without_a_fit_it_is_the_extracted_subnets_quality() -> None:
    unfitted = evaluator(adagrad(0))
    for architecture in ARCHITECTURES:
        dense, ids, label = SCORE_ROWS.batch(slice(0, 500))
        with torch.no_grad():
            expected = measure(unfitted.supernet.extract(architecture)(dense, ids), label)
        score = unfitted.evaluate(architecture)
        assert score.log_loss == pytest.approx(expected.log_loss, rel=1e-5)
        assert score.auc == pytest.approx(expected.auc, abs=1e-4)
        assert score.standard_error == pytest.approx(expected.standard_error, rel=1e-4)
        assert score.rows == 500


HEADS = pytest.mark.parametrize("head", [RIDGE, adagrad(100)], ids=lambda head: head.method)


@HEADS
def test_fitting_the_head_lowers_the_log_loss(head: HeadConfig) -> None:
    for architecture in ARCHITECTURES:
        before = evaluator(adagrad(0)).evaluate(architecture).log_loss
        assert evaluator(head).evaluate(architecture).log_loss < before


@HEADS
def test_a_score_does_not_depend_on_what_was_scored_before(head: HeadConfig) -> None:
    first, second = evaluator(head), evaluator(head)
    scores = {a.key: first.evaluate(a) for a in ARCHITECTURES}
    for architecture in reversed(ARCHITECTURES):
        torch.rand(3)
        assert second.evaluate(architecture) == scores[architecture.key]
        assert first.evaluate(architecture) == scores[architecture.key]


def test_equal_keys_have_equal_scores() -> None:
    found = 0
    scorer = evaluator()
    for architecture in ARCHITECTURES:
        for label, choices in SPACE.labels.items():
            other: Architecture = with_choice(architecture, label, choices[0])
            if other != architecture and other.key == architecture.key and found < 5:
                assert scorer.evaluate(other) == scorer.evaluate(architecture)
                found += 1
    assert found == 5


def test_the_seed_orders_the_rows_of_adagrad_alone() -> None:
    heads = {head.method: [evaluator(head, seed=seed) for seed in (0, 0, 1)] for head in (RIDGE, adagrad(40))}
    scores = {name: [each.evaluate(ARCHITECTURES[0]).log_loss for each in three] for name, three in heads.items()}
    assert scores["adagrad"][0] == scores["adagrad"][1]
    assert abs(scores["adagrad"][0] - scores["adagrad"][2]) > 1e-5
    # The order of the score's rows is another one too: sums are rounded otherwise.
    assert scores["ridge"] == pytest.approx([scores["ridge"][0]] * 3, rel=1e-7)


@pytest.mark.parametrize("head", [RidgeHead(max_rows=128), adagrad(2)], ids=lambda head: head.method)
def test_the_head_reads_as_many_rows_as_it_can_use(head: HeadConfig) -> None:
    scorer, given = evaluator(head, seed=4), evaluator(head, seed=4)
    given._head_rows = HEAD_ROWS.sample(128, 4)
    read: list[int] = []
    features = scorer._features
    scorer._features = lambda architecture, rows: read.append(len(rows)) or features(architecture, rows)
    assert scorer.evaluate(ARCHITECTURES[0]) == given.evaluate(ARCHITECTURES[0])
    assert read == [128]
    given._head_rows = HEAD_ROWS.sample(128, 5)
    assert scorer.evaluate(ARCHITECTURES[0]) != given.evaluate(ARCHITECTURES[0]), "other rows are another head"


def test_the_ridges_strength_counts() -> None:
    weak, strong, none = (evaluator(head) for head in (RidgeHead(strength=10), RidgeHead(strength=1e7), adagrad(0)))
    scores = [each.evaluate(ARCHITECTURES[0]).log_loss for each in (weak, strong, none)]
    assert scores[1] == pytest.approx(scores[2], abs=1e-3)
    assert scores[0] < scores[1] - 1e-3


def test_the_supernet_is_left_as_it_is() -> None:
    scorer = evaluator()
    before = {name: tensor.clone() for name, tensor in scorer.supernet.state_dict().items()}
    for architecture in ARCHITECTURES:
        scorer.evaluate(architecture)
    assert all(torch.equal(tensor, before[name]) for name, tensor in scorer.supernet.state_dict().items())


def test_the_head_is_fitted_on_its_own_rows_alone() -> None:
    blind = evaluator()
    shuffled = make_rows(SCHEMA, 500, seed=9)
    other = WeightSharingEvaluator(blind.supernet, head_rows=HEAD_ROWS, score_rows=shuffled, head=blind.head, seed=0)
    one, two = (scorer._fitted_head(ARCHITECTURES[0]) for scorer in (blind, other))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_a_trained_supernet_scores_better_than_a_new_one() -> None:
    scorer = evaluator(adagrad(0))
    before = scorer.evaluate(ARCHITECTURES[0]).log_loss
    supernet = scorer.supernet
    optimizer = torch.optim.Adagrad(supernet.parameters(), lr=0.05)
    for dense, ids, label in TrainingBatches(make_rows(SCHEMA, 600, seed=3), 100, 0, 40):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(supernet(dense, ids, ARCHITECTURES[0]), label).backward()
        optimizer.step()
    after = scorer.evaluate(ARCHITECTURES[0])
    assert after.log_loss < before - 0.03
    assert after.auc > 0.6


def test_scores_in_bfloat16_are_close_and_their_heads_are_float32() -> None:
    exact, rounded = evaluator(), evaluator(precision="bfloat16")
    for architecture in ARCHITECTURES:
        mine, theirs = rounded.evaluate(architecture), exact.evaluate(architecture)
        assert mine.log_loss == pytest.approx(theirs.log_loss, abs=5e-3)
        assert mine.auc == pytest.approx(theirs.auc, abs=1e-2)
        assert mine.log_loss != theirs.log_loss
        assert rounded._fitted_head(architecture)[0].dtype == torch.float32
    assert {p.dtype for p in rounded.supernet.parameters()} == {torch.float32}


# Early stop. An untrained supernet sets architectures far apart, so that most are surely worse than the second best.

MANY_ROWS = make_rows(SCHEMA, 4100, seed=5)
CANDIDATES = [SPACE.random(RNG) for _ in range(16)]


def stopping(
    early_stop: int = 2, kind: type[WeightSharingEvaluator] = WeightSharingEvaluator
) -> WeightSharingEvaluator:
    return kind(
        evaluator().supernet,
        head_rows=HEAD_ROWS,
        score_rows=MANY_ROWS,
        head=adagrad(0),
        seed=0,
        early_stop=early_stop,
    )


@pytest.fixture(scope="module")
def full() -> dict[Architecture, Score]:
    """Scores on all rows, the best first."""
    scorer = stopping(0)
    scores = {architecture: scorer.evaluate(architecture) for architecture in CANDIDATES}
    return dict(sorted(scores.items(), key=lambda pair: pair[1].log_loss))


def test_too_few_rivals_stop_nothing(full: dict[Architecture, Score]) -> None:
    best, worst = list(full)[:2], list(full)[-1]
    for scorer, rivals in ((stopping(0), best), (stopping(2), best[:1]), (stopping(2), [])):
        assert scorer.evaluate(worst, rivals) == full[worst]
    assert (full[worst].rows, full[worst].stopped) == (4100, False)


def test_the_surely_worse_stop_and_the_others_have_their_full_score(full: dict[Architecture, Score]) -> None:
    scorer, rivals = stopping(), list(full)[:2]
    bar = full[rivals[-1]].log_loss
    stopped = 0
    for architecture, whole in full.items():
        score = scorer.evaluate(architecture, rivals)
        stopped += score.stopped
        if not score.stopped:
            assert score == whole
            continue
        assert score.rows in (512, 1025, 2050)
        assert score.log_loss > bar
        assert abs(score.log_loss - whole.log_loss) < 4 * score.standard_error
        assert score.standard_error > whole.standard_error * 0.9
    assert 4 < stopped < len(full) - 1


def test_the_first_rows_that_are_read_stand_for_all() -> None:
    by_label = np.argsort(MANY_ROWS.label, kind="stable")
    rows = Rows(MANY_ROWS.dense[by_label], MANY_ROWS.ids[by_label], MANY_ROWS.label[by_label])
    scorer = WeightSharingEvaluator(
        evaluator().supernet, head_rows=HEAD_ROWS, score_rows=rows, head=adagrad(0), seed=0, early_stop=1
    )
    whole = {architecture: scorer.evaluate(architecture) for architecture in CANDIDATES}
    best, *_, worst = sorted(whole, key=lambda architecture: whole[architecture].log_loss)
    score = scorer.evaluate(worst, [best])
    assert score.stopped
    assert 0 < score.auc < 1
    assert abs(score.log_loss - whole[worst].log_loss) < 4 * score.standard_error


def test_a_score_does_not_depend_on_what_a_process_remembers(full: dict[Architecture, Score]) -> None:
    rivals, worst = list(full)[2:4], list(full)[-1]
    warm = stopping()
    for architecture in full:
        warm.evaluate(architecture, rivals)
    assert warm.evaluate(worst, rivals) == stopping().evaluate(worst, rivals)
    assert stopping().evaluate(worst, rivals).stopped


def test_the_losses_of_the_best_alone_are_kept(full: dict[Architecture, Score]) -> None:
    scorer, rivals = stopping(), list(full)[:3]
    for architecture in full:
        scorer.evaluate(architecture, rivals)
    scorer.evaluate(list(full)[-1], rivals)
    assert set(scorer._losses) == {rival.key for rival in rivals[:2]}


def test_a_score_does_not_depend_on_what_other_threads_make_a_process_forget(full: dict[Architecture, Score]) -> None:
    class Forgetful(WeightSharingEvaluator):
        @property
        def _losses(self) -> dict[str, torch.Tensor]:
            return {}

        @_losses.setter
        def _losses(self, losses: object) -> None:
            pass

    rivals, worst = list(full)[2:4], list(full)[-1]
    assert stopping(kind=Forgetful).evaluate(worst, rivals) == stopping().evaluate(worst, rivals)


# Weights.


def weighing(
    head_rows: Rows, score_rows: Rows, head: HeadConfig = RIDGE, early_stop: int = 0
) -> WeightSharingEvaluator:
    return WeightSharingEvaluator(
        evaluator().supernet, head_rows=head_rows, score_rows=score_rows, head=head, seed=0, early_stop=early_stop
    )


@pytest.mark.parametrize("head", [RIDGE, adagrad(0), AdagradHead(method="adagrad", steps=20, batch_size=9999)])
def test_integer_weights_are_repeated_rows(head: HeadConfig) -> None:
    rows = with_weights(HEAD_ROWS, seed=1), with_weights(SCORE_ROWS, seed=2)
    weighted, plain = weighing(*rows, head), weighing(*map(repeated, rows), head)
    unlike = weighing(HEAD_ROWS, SCORE_ROWS, head)
    for architecture in ARCHITECTURES:
        one, other = weighted.evaluate(architecture), plain.evaluate(architecture)
        assert one.log_loss == pytest.approx(other.log_loss, abs=1e-5)
        assert one.auc == pytest.approx(other.auc, abs=1e-4)
        assert one.rows == 500
        assert one.standard_error > other.standard_error  # copies are no further observations
        assert abs(unlike.evaluate(architecture).log_loss - one.log_loss) > 1e-4


def test_rows_may_be_read_in_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for rows in ((HEAD_ROWS, SCORE_ROWS), (with_weights(HEAD_ROWS, seed=1), with_weights(SCORE_ROWS, seed=2))):
        whole = [weighing(*rows).evaluate(architecture) for architecture in ARCHITECTURES]
        with monkeypatch.context() as patch:
            patch.setattr(evaluator_module, "_BATCH", 64)
            patch.setattr(ridge, "_PIECE", 64)
            pieces = [weighing(*rows).evaluate(architecture) for architecture in ARCHITECTURES]
        for one, other in zip(whole, pieces, strict=True):
            assert one.log_loss == pytest.approx(other.log_loss, abs=1e-6)
            assert one.standard_error == pytest.approx(other.standard_error, rel=1e-4)


def test_all_rows_features_are_in_memory_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator_module, "_BATCH", 64)
    scorer, rows, found = evaluator(), with_weights(MANY_ROWS), []
    with torch.no_grad():
        grown = growth(lambda: found.extend(scorer._features(ARCHITECTURES[0], rows)))
        parts = [scorer._batch_features(ARCHITECTURES[0], batch) for batch in EvaluationBatches(rows, 64)]
    assert grown < 1.5 * sum(tensor.nbytes for tensor in found)
    for tensor, pieces in zip(found, zip(*parts, strict=True), strict=True):
        assert torch.equal(tensor, torch.cat(pieces))


def test_rows_of_weight_0_are_left_out() -> None:
    rows = with_weights(HEAD_ROWS, seed=1), with_weights(SCORE_ROWS, seed=2)
    some = [each.take(np.flatnonzero(each.weight)) for each in rows]
    for architecture in ARCHITECTURES:
        one, other = (weighing(*each).evaluate(architecture) for each in (rows, some))
        assert one.log_loss == pytest.approx(other.log_loss, abs=1e-5)
        assert one.standard_error == pytest.approx(other.standard_error, rel=1e-4)


def test_the_surely_worse_stop_at_weighted_rows_too() -> None:
    rows = replace(MANY_ROWS, weight=1 + 3 * MANY_ROWS.label)  # what weighs more is lost more
    whole = weighing(HEAD_ROWS, rows, adagrad(0))
    full = {architecture: whole.evaluate(architecture) for architecture in CANDIDATES}
    best, *others = sorted(full, key=lambda architecture: full[architecture].log_loss)
    scorer, stopped = weighing(HEAD_ROWS, rows, adagrad(0), early_stop=1), 0
    for architecture in others:
        score = scorer.evaluate(architecture, [best])
        stopped += score.stopped
        assert abs(score.log_loss - full[architecture].log_loss) < 4 * score.standard_error
        assert score.stopped or score == full[architecture]
    assert stopped > 4
