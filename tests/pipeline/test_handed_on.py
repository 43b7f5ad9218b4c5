"""The order of a search's architectures where its scores are not to be trusted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nasrec_automl.architecture import DENSE_OPS, DOT_PRODUCT, Architecture
from nasrec_automl.data.parts import Part
from nasrec_automl.evaluation.predictor import operator_counts, predict_log_losses
from nasrec_automl.pareto import domination_ranks
from nasrec_automl.pipeline import handed_on as handed_on_module
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, checked_best, choice_parts, halved
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.handed_on import best_predicted, handed_on
from nasrec_automl.pipeline.outcomes import note_verdict
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.search import SearchStage
from nasrec_automl.pipeline.truth import sample_sizes
from nasrec_automl.ranking import Estimate, judge_ranking
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Verdict

PLACE = DENSE_OPS.index(DOT_PRODUCT)


def products(architecture: Architecture) -> float:
    return float(operator_counts(architecture)[PLACE])


def checked(run: RunFolder, *, lead: tuple[float, float] = (-0.3, -0.8)) -> tuple[list[Architecture], Verdict]:
    """Note a check by which scores have this lead over size, and the low end of it; every Dot-Product is worth 0.01."""
    trained = sample_sizes(run, 12)
    losses = np.array([[0.5 - 0.01 * products(one)] for one in trained[1:]])
    ranking = judge_ranking(range(11), losses, range(11), resamples=20)
    value, low = lead
    verdict = Verdict(
        architectures=[one.params for one in trained],
        log_losses=[None, *losses[:, 0].tolist()],
        ranking=replace(ranking, lead=Estimate(value, low, 0.9)),
    )
    note_verdict(run, verdict)
    return trained, verdict


def losses_of(verdict: Verdict) -> list[float]:
    return [np.nan if loss is None else loss for loss in verdict.log_losses]


def scored(run: RunFolder) -> list[Architecture]:
    space = load_search_space(run.job.space)
    return [space.from_params(params) for params in read_json(run.top)["top"]]


def test_it_puts_first_what_the_trainings_say_is_best(copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    (trained, verdict), known = checked(copied_run), scored(copied_run)
    # A seed whose two best have the same operators.
    run = replace(copied_run, job=copied_run.job.model_copy(update={"seed": 7}))
    best = best_predicted(run, verdict, known, 256)
    assert len({one.key for one in best}) == 256
    assert not {one.key for one in best} & {one.key for one in checked_best(copied_run)}
    predicted = predict_log_losses(trained, losses_of(verdict), best)
    # Of those with the same operators the first stays the first, whatever rounding makes of their predictions.
    rounded = np.round(predicted, 9)
    assert (np.diff(rounded) >= 0).all()
    ties = [one for one, loss in zip(best, rounded, strict=True) if loss == rounded[0]]
    assert len(ties) > 1
    before = list({one.key: one for one in (*ties[::-1], *known)}.values())
    assert best_predicted(run, verdict, before, len(ties)) == ties[::-1]
    rng = np.random.default_rng(0)

    def rounds(*arguments: Any) -> Any:
        found = predict_log_losses(*arguments)
        return found + rng.normal(0, 1e-15, len(found))

    monkeypatch.setattr(handed_on_module, "predict_log_losses", rounds)
    assert best_predicted(run, verdict, before, len(ties)) == ties[::-1]
    monkeypatch.undo()
    assert np.mean([products(one) for one in best[:10]]) > 1 + np.mean([products(one) for one in known])
    assert best == best_predicted(run, verdict, known, 256), "and always the same"


def test_it_keeps_to_the_budget_and_measures_nothing_new(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, verdict = checked(copied_run)
    known = scored(copied_run)
    free = best_predicted(copied_run, verdict, known, 10)
    counted = job_budget(copied_run).counted
    limit = int(np.median([counted(one)["macs"] for one in free]))
    job = copied_run.job.model_copy(update={"budget": copied_run.job.budget.model_copy(update={"macs": limit})})
    tight = best_predicted(replace(copied_run, job=job), verdict, known, 10)
    assert len(tight) == 10
    assert all(counted(one)["macs"] <= limit for one in tight)
    assert any(counted(one)["macs"] > limit for one in free)
    monkeypatch.setattr(type(job_budget(copied_run)), "is_slow", True)
    measured = best_predicted(copied_run, verdict, known, 256)
    assert {one.key for one in measured} <= {one.key for one in known}, "of these the latency is known"


def test_of_several_objectives_predictions_stand_in_for_scores(front_run: RunFolder, copied_run: RunFolder) -> None:
    (trained, verdict), known = checked(copied_run), scored(front_run)
    run = replace(copied_run, job=copied_run.job.model_copy(update={"search": front_run.job.search}))
    best = best_predicted(run, verdict, known, 256)
    left = {one.key for one in known} - {one.key for one in checked_best(run)}
    assert {one.key for one in best} == left
    predicted = np.round(predict_log_losses(trained, losses_of(verdict), best), 9).tolist()
    macs = [job_budget(run).counted(one)["macs"] for one in best]
    ranks = domination_ranks(list(zip(predicted, macs, strict=True)))
    assert ranks == sorted(ranks)
    assert max(ranks) > 0


def test_a_search_whose_scores_are_not_trusted_ends_with_them(copied_run: RunFolder) -> None:
    by_score = scored(copied_run)
    trained, verdict = checked(copied_run)
    copied_run.top.unlink()
    SearchStage().run(copied_run)
    top = scored(copied_run)
    assert top == best_predicted(copied_run, verdict, by_score, 256)
    found = candidates(copied_run)
    assert set(found) >= {one.key for one in top[: copied_run.job.retrain.top_k]}
    assert len(checked_best(copied_run)) == 3, "a quarter of the eleven that ended well"
    assert {one.key for one in checked_best(copied_run)} <= {one.architecture.key for one in found.values()}
    assert max(map(products, trained[1:])) == products(checked_best(copied_run)[0])
    chosen = {one.key for one in top[: copied_run.job.retrain.top_k]}
    expected = {name: "predictor" if name in chosen else "check" for name in found if not name.startswith("hand-")}
    assert {name: one.origin for name, one in found.items() if name in expected} == expected


def test_scores_whose_lead_may_be_chance_take_turns_with_predictions(copied_run: RunFolder) -> None:
    by_score = scored(copied_run)
    _, verdict = checked(copied_run, lead=(0.4, -0.1))
    predicted = best_predicted(copied_run, verdict, by_score, 256)
    pairs = handed_on(copied_run, by_score, 256)
    both = [one for one, _ in pairs]
    assert len({one.key for one in both}) == 256
    assert pairs[:2] == [(by_score[0], "search"), (predicted[0], "predictor")]
    assert {one.key for one in both[:10]} <= {one.key for one in (*by_score[:9], *predicted[:9])}
    later = [one for one in both if one.key not in {first.key for first in by_score}]
    assert later == [one for one in predicted if one in later], "in the predictor's order"
    assert handed_on(copied_run, by_score, 3) == pairs[:3]
    assert {one.key for one in checked_best(copied_run)} <= {*candidates(copied_run)}
    assert halved(copied_run) == []
    copied_run.top.unlink()
    SearchStage().run(copied_run)
    kept = {one.key: origin for one, origin in pairs[: copied_run.job.retrain.top_k]}
    found = {name: one.origin for name, one in candidates(copied_run).items() if not name.startswith("hand-")}
    assert found == {**kept, **{one.key: "check" for one in checked_best(copied_run)}}
    assert "predictor" in found.values()


@pytest.mark.parametrize(
    ("lead", "parts"),
    [
        (None, (Part.CHOICE,)),
        ((0.4, 0.1), (Part.CHOICE,)),
        ((0.4, -0.1), (Part.CHOICE,)),
        ((-0.3, -0.8), (Part.SEARCH, Part.CHOICE)),
    ],
)
def test_rows_whose_scores_chose_candidates_choose_no_winner(
    copied_run: RunFolder, lead: tuple[float, float] | None, parts: tuple[Part, ...]
) -> None:
    if lead is not None:
        checked(copied_run, lead=lead)
    assert choice_parts(copied_run) == parts


def test_scores_that_surely_lead_are_all_that_counts(copied_run: RunFolder) -> None:
    by_score = scored(copied_run)
    pairs = [(one, "search") for one in by_score]
    assert handed_on(copied_run, by_score, 256) == pairs, "there is no check"
    before = candidates(copied_run)
    checked(copied_run, lead=(0.4, 0.1))
    assert handed_on(copied_run, by_score, 256) == pairs
    assert candidates(copied_run) == before
    assert handed_on(copied_run, by_score, 3) == pairs[:3]


def test_where_the_check_trained_all_that_there_is_its_best_compete(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, verdict = checked(copied_run)
    monkeypatch.setattr(type(job_budget(copied_run)), "is_slow", True)
    few = checked_best(copied_run)
    assert best_predicted(copied_run, verdict, few, 256) == [], "these are candidates by themselves"
    some = best_predicted(copied_run, verdict, trained, 256)
    assert {one.key for one in (*some, *few)} == {one.key for one in trained}
