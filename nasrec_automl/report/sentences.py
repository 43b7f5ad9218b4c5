"""What the report says in words. Plain text: whoever renders it escapes it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from nasrec_automl.ranking import FEWEST_RANKED, Estimate, Ranking
from nasrec_automl.report.content import ReportContent
from nasrec_automl.report.summary import (
    agreement_in_words,
    best_baseline,
    best_scored,
    by_number,
    learned_share,
    retrained_best,
    winner_row,
    within_one_error,
)
from nasrec_automl.report.wiring_edges import unused_parts
from nasrec_automl.verdict import Trust, Verdict

_LITTLE = 0.5
"""One that had learned a quarter ranked better with more steps; those that had learned three quarters did not."""


def headline(content: ReportContent) -> str:
    """What was found, in one sentence."""
    name, winner = f"The architecture {content.winner_name}", winner_row(content.results)
    if winner is None:
        return f"{name} was chosen; it has not been measured yet."
    if winner.test_auc is None:
        return f"{name} was chosen, with a validation AUC of {winner.auc:.4f}; it has not been measured on test."
    found = f"{name} was chosen and reaches a test AUC of {winner.test_auc:.4f}"
    baseline = best_baseline(content.results)
    if baseline is None or baseline.test_auc is None:
        return f"{found}; there is no baseline to compare it with."
    difference, error = winner.test_auc - baseline.test_auc, baseline.test_less_winner_error.get("auc")
    side = "above" if difference >= 0 else "below"
    against = f"{found}, {abs(difference):.4f} {side} the best baseline, {baseline.name} ({baseline.test_auc:.4f})"
    if error is None:
        return f"{against}."
    return f"{against}; the standard error of this difference is {error:.4f}."


def trust(content: ReportContent) -> list[str]:
    """How far the report's numbers carry, one statement each: first those of the winner, then how it was found."""
    statements = [
        *_about_the_choice(content),
        *_about_baselines(content),
        *_about_hand_designs(content),
        *_about_the_verdict(content),
        *_about_the_scores(content),
        *_about_retraining(content),
        *_about_teachers(content),
    ]
    winner = winner_row(content.results)
    if winner is not None and winner.test_auc is not None:
        readings = content.test_readings
        statements.append(
            "The winner was chosen on validation, so its validation numbers flatter it. "
            + (
                "Test was read once, after the choice."
                if readings == 1
                else f"Test was read {readings} times, because the run got more to do after a result, or was killed "
                "while test was read: its numbers may flatter the winner too."
            )
        )
    statements.append(
        "This is one search with one seed. A claim that one way of searching is better than another takes at "
        "least three complete searches of each, with equal budgets."
    )
    return statements


def results_caption(content: ReportContent) -> str:
    """What the result table's numbers are of."""
    validation = (
        f"Validation: trained on train and head rows alone, measured on {' and '.join(content.chosen_on)} rows, which "
        "chose the winner."
    )
    if not any(row.test_log_loss is not None for row in content.results):
        return validation
    rows = content.baseline_rows
    fitted = "" if rows is None else f" The baselines were fitted to at most {rows:,} of these rows, drawn at random."
    return (
        f"{validation} Test: trained once more, on validation rows too: the winner and gradient boosting without the "
        f"hpo part, which says when a training ends, and logistic regression with it.{fitted}"
    )


def search_caption(content: ReportContent) -> str:
    """How to read the history of the search, and why it may not mark the winner."""
    caption = "Every architecture in the order of the search; lower is better."
    best = best_scored(content.search)
    if best is not None and best.standard_error is not None:
        caption += " Scores in the shaded band are less than one standard error from the best."
    if content.results and not any(content.winner_name in (each.key, each.hand) for each in content.search):
        caption += " The winner is not among them: the search did not score it."
    return caption


def wiring_caption(content: ReportContent) -> str:
    """How to read the winner's picture, and what it leaves out."""
    operators, mergers = unused_parts(content.winner)
    unused = ""
    if operators or mergers:
        unused = (
            f" {count(operators, 'operator')} and {count(mergers, 'merger')} of the architecture are "
            "unused: nothing that reaches the logit reads them, and they cost nothing."
        )
    return (
        "From the raw input, s0, to the logit. Blue lines carry dense vectors, orange lines tokens. A dot "
        "marks where a block reads an earlier output; a line without a dot passes by. A thick line carries a "
        "block's tokens to its dense operator, where that reads them too. FM adds (+) to the dense output; "
        "the other merger appends (‖) tokens to the sparse one." + unused
    )


def count(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> count(1, "row"), count(2000, "row")
        ('1 row', '2,000 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _about_the_scores(content: ReportContent) -> list[str]:
    scored, best = by_number(content.search), best_scored(content.search)
    if best is None:
        return ["The search scored no architecture."]
    rows = "the same validation rows" if content.score_rows is None else f"the same {content.score_rows:,} rows"
    errors = [each.standard_error for each in scored if each.standard_error is not None]
    said = []
    if errors:
        said.append(
            f"The search scored {count(len(errors), 'architecture')} with the supernet's shared weights, all on "
            f"{rows}. The standard error of a score is about {statistics.median(errors):.4f} nats."
        )
    if len(errors) < len(scored):
        others = len(scored) - len(errors)
        said.append(
            f"{count(others, 'architecture')} {_were(others)} scored by another evaluator or added to the study by "
            "hand: nobody knows on which rows their log losses were measured, which count like scores."
        )
    ties, measured = len(within_one_error(scored)), best.standard_error is not None
    near = f"{'within one standard error of' if measured else 'as good as'} the best ({best.log_loss:.4f}, {best.name})"
    if ties == 1:
        said.append(f"No other architecture is {near}.")
    else:
        which = "The search alone does not settle which is best."
        said.append(f"{ties:,} architectures are {near}, itself included. {which}")
        if measured:
            said[-1] += " Scores share their rows, so a difference between two is surer than that error suggests."
    return [*said, *_about_early_stops(content)]


def _about_early_stops(content: ReportContent) -> list[str]:
    read = [each for each in by_number(content.search) if each.rows is not None]
    stopped = sum(each.stopped for each in read)
    if not stopped or content.score_rows is None:
        return []
    share = sum(each.rows or 0 for each in read) / (len(read) * content.score_rows)
    return [
        f"{count(stopped, 'score')} {_are(stopped)} of fewer rows and estimated: scoring stopped where an architecture "
        f"was surely worse than the best so far. In all {share:.1%} of the rows were read.",
    ]


def _about_the_verdict(content: ReportContent) -> list[str]:
    if content.verdict is None:
        return []
    verdict = content.verdict
    if verdict.ranking is None:
        asked = len(verdict.architectures)
        well = asked - verdict.left_out
        why = "too few for an order" if well < FEWEST_RANKED else "but too few of these have a finite score"
        return [
            f"The scores could not be checked: of {count(asked, 'architecture')} that {_were(asked)} trained from "
            f"scratch for it {well:,} ended well with every seed, {why}. The search went on as if there were no check."
        ]
    known = [] if verdict.trust is Trust.FULL else _about_what_the_supernet_knows(content)
    return [_what_came_of(verdict, content), _check_in_words(verdict, verdict.ranking), *known]


def _what_came_of(verdict: Verdict, content: ReportContent) -> str:
    if verdict.trust is Trust.FULL:
        return "The search's scores order architectures better than their size does, and the run relied on them."
    if verdict.trust is Trust.HALF:
        return (
            "The search's scores seem to order architectures better than their size does; of so few that may be "
            f"chance. The run took {_best_scored(content)} in turns with {_predicted(content)}."
        )
    how = "go through successive halving" if content.prunes else "are trained to their end"
    return (
        "The search's scores order architectures no better than their size does, so the run did not rely on them: in "
        f"place of {_best_scored(content)} it took {_predicted(content)}. Those that the predictor puts first {how}."
    )


def _check_in_words(verdict: Verdict, ranking: Ranking) -> str:
    trained = (
        f"This was checked before the search. {count(ranking.architectures, 'architecture')} of all sizes were trained "
        f"from scratch, each with {count(ranking.seeds, 'seed')}{_left_out(verdict)}."
    )
    tau, size = ranking.tau, ranking.size_tau.value
    if math.isnan(tau.value):
        return f"{trained} Their scores or their log losses are all the same, and so have no order."
    found = f"{trained} Kendall's τ of their scores and log losses is {tau.value:.2f} ({_interval(tau)})"
    if ranking.strata > 1 and not math.isnan(ranking.strata_tau.value):
        found += f", and {ranking.strata_tau.value:.2f} over the pairs within {ranking.strata:,} groups by size"
    return f"{found}. That of their size, the number of parameters, is {0.0 if math.isnan(size) else size:.2f}."


def _about_what_the_supernet_knows(content: ReportContent) -> list[str]:
    share = learned_share(content)
    if share is None or share >= _LITTLE:
        return []
    return [
        f"The supernet has learned {max(0.0, share):.0%} of what these trainings have (by what each takes off the "
        "entropy of the labels), perhaps too little to rank anything: it may want more steps (supernet.epochs, in "
        "another run folder)."
    ]


def _best_scored(content: ReportContent) -> str:
    return "the best scores" if len(content.objectives) == 1 else "the Pareto front of the scores"


def _predicted(content: ReportContent) -> str:
    first = "the architectures with the best" if len(content.objectives) == 1 else "the Pareto front of the"
    return (
        f"{first} predictions (of a regression of the log loss on the numbers of their operators, fitted to the "
        "trainings of the check). The best quarter of what was trained for it, and the budget admits, competes too"
    )


def _left_out(verdict: Verdict) -> str:
    if not verdict.left_out:
        return ""
    return (
        f" ({verdict.left_out:,} more {_are(verdict.left_out)} left out, of which a training diverged or failed, or "
        "whose score is not finite)"
    )


def _interval(one: Estimate) -> str:
    if not one.has_interval:
        return "too few architectures for an interval"
    return f"95 % interval {one.low:.2f} to {one.high:.2f}"


def _about_retraining(content: ReportContent) -> list[str]:
    if not content.retrain:
        return ["No candidate has been trained from scratch yet."]
    states = Counter(trial.state for trial in content.retrain)
    ended = ", ".join(f"{number:,} {state}" for state, number in states.most_common())
    trained = len(retrained_best(content.retrain))
    statement = (
        f"{count(len(content.retrain), 'training')} from scratch ({ended}) gave a log loss to "
        f"{count(trained, 'architecture')}."
    )
    if found := agreement_in_words(content.search, content.retrain):
        statement += f" {found}, of the search's scores and these log losses: 1 is the same order, 0 an unrelated one."
    return [statement]


def _about_hand_designs(content: ReportContent) -> list[str]:
    winner = winner_row(content.results)
    if winner is None:
        return []
    statements = ["The winner is a hand design."] if winner.is_hand_design else []
    others = [row for row in content.results if not row.wins and row.kind != "baseline"]
    rivals = [row for row in others if row.is_hand_design != winner.is_hand_design]
    if rivals:
        best = min(rivals, key=lambda row: row.log_loss)
        what = "candidate that is no hand design" if winner.is_hand_design else "hand design"
        ahead = f"{best.log_loss - winner.log_loss:.4f}"
        statements.append(
            f"On validation the winner and the best {what}, {best.name}, have the same log loss to four digits."
            if ahead == "0.0000"
            else f"On validation the winner's log loss is {ahead} nats below that of the best {what}, {best.name}."
        )
    return [" ".join(statements)] if statements else []


def _about_baselines(content: ReportContent) -> list[str]:
    winner, said = winner_row(content.results), []
    for row in content.results:
        error = row.test_less_winner_error.get("log_loss")
        if winner is None or winner.test_log_loss is None or row.test_log_loss is None or error is None:
            continue
        difference = row.test_log_loss - winner.test_log_loss
        if difference < -2 * error:
            said.append(
                f"On test {row.name} is better than the winner: its log loss is {-difference:.4f} nats lower, "
                f"{-difference / error:.1f} standard errors of the difference. Compare both on later rows before you "
                "choose."
            )
        elif difference <= 2 * error:
            said.append(
                f"On test the winner is level with {row.name}: their log losses differ by {abs(difference):.4f} nats, "
                f"and the standard error of this difference is {error:.4f}."
            )
    return said


def _about_teachers(content: ReportContent) -> list[str]:
    said = []
    if content.teachers:
        named = _listed(content.teachers)
        said.append(
            f"all candidates learned from labels mixed with predictions of {named}, which had learned from labels alone"
        )
    if content.final_teachers:
        named = _listed(content.final_teachers)
        said.append(
            f"in its last trainings the winner learned validation rows from labels mixed with predictions of {named}, "
            "which had learned from labels alone, those of validation rows too"
        )
    if not said:
        return []
    return [f"Single labels are noisy: {', and '.join(said)}."]


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _about_the_choice(content: ReportContent) -> list[str]:
    winner = winner_row(content.results)
    rivals = [(row, row.less_winner_error) for row in content.results if row.less_winner_error is not None]
    if winner is None or not rivals:
        return []
    close = [row.name for row, error in rivals if row.log_loss - winner.log_loss <= 2 * error]
    others = "the only other candidate" if len(rivals) == 1 else f"all {len(rivals):,} other candidates"
    others += " trained to the end"
    if not close:
        return [f"On validation the winner is ahead of {others} by two standard errors of the difference or more."]
    if len(close) < len(rivals):
        others = f"{len(close):,} of the {len(rivals):,} other candidates trained to the end ({_some(close)})"
    return [
        f"Validation does not tell the winner from {others}: the log losses differ by less than two standard "
        "errors of the difference, and another seed may choose another winner."
    ]


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3:,} more"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
