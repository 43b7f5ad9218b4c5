"""Tables of the results in Markdown, and what they say about the targets."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nasrec_automl.ranking import Ranking
from nasrec_automl.report.rank_page import ranking_lines
from tests.benchmarks.results.datasets import COMPARED, DATASETS, SEARCHES, SEEDS, SHARE_TARGET, DataSet

MISSING = "not measured yet"
METRICS = ("log_loss", "auc")

Found = Mapping[str, Mapping[str, Any]]
"""What was measured of one data set, by step."""


def rank_table(rank: Mapping[str, Any], dataset: DataSet) -> str:
    """Every statistic of a ranking; those with a target beside it."""
    ranking = Ranking.from_plain(rank["ranking"])
    share = ranking.share_of_ceiling
    reached = "not shown" if share is None else "reached" if share >= SHARE_TARGET else "not reached"
    targets = {
        "Kendall's tau": (f"{dataset.tau:g}", "reached" if ranking.tau.value >= dataset.tau else "not reached"),
        "share of the ceiling": (f"{SHARE_TARGET:.0%}", reached),
    }
    lines = [
        (name, value, interval, *targets.get(name, ("", ""))) for name, value, interval, _ in ranking_lines(ranking)
    ]
    sizes = f"{ranking.architectures} architectures, {_seeds(ranking.seeds)} each. Machine: {rank['machine']}."
    return f"{sizes}\n\n{_table(('statistic', 'value', '95 % interval', 'target', ''), lines, left=1)}"


def ablation_table(ablations: Mapping[str, Any]) -> str:
    """Every variant with its tau and its difference to ours."""
    lines = [
        (
            one["group"],
            one["variant"],
            _interval(one.get("tau"), one.get("tau_deviation")),
            _digits(one.get("spearman"), 2),
            _interval(one.get("less_ours"), one.get("less_ours_deviation"), sign="+"),
            _digits(one.get("log_loss"), 4),
            _digits(one.get("seconds"), 0),
        )
        for one in ablations["variants"]
    ]
    head = ("part", "variant", "Kendall's tau", "Spearman's rho", "tau less ours", "mean score", "seconds")
    text = (
        f"{ablations['architectures']} architectures, {_count(ablations['truth_seeds'], 'training', 'trainings')} of "
        f"each; {_count(ablations['seeds'], 'supernet', 'supernets')} a variant. Machine: {ablations['machine']}."
    )
    notes = "".join(f"- `{one['variant']}`: {note}.\n" for one in ablations["variants"] for note in one["notes"])
    return f"{text}\n\n{_table(head, lines, left=2)}" + (f"\n\n{notes.rstrip()}" if notes else "")


def baseline_table(baselines: Mapping[str, Any]) -> str:
    """Every method, the best first, with what it is less ours and where ours stands."""
    lines = []
    for row in sorted(baselines["methods"], key=lambda row: row["log_loss"]["mean"]):
        ours = "less_ours" not in row
        line = [f"**{row['method']}**" if ours else row["method"]]
        for metric in METRICS:
            line.append(f"{row[metric]['mean']:.4f} ± {row[metric]['deviation']:.4f}")
            if ours:
                line += ["", ""]
            else:
                less = row["less_ours"][metric]
                line += [f"{less['mean']:+.4f} ± {less['error']:.4f}", standing(row, metric)]
        line.append(", ".join(str(one["trials"]) for one in row["chosen"] if "trials" in one))
        line.append(", ".join(f"{one['seconds']:.0f}" for one in row["chosen"]))
        lines.append(line)
    head = ("method", "log loss", "less ours", "ours is", "AUC", "less ours", "ours is", "trials", "seconds")
    return f"{baseline_sentence(baselines)}\n\n{_table(head, lines, left=1)}"


def baseline_sentence(baselines: Mapping[str, Any]) -> str:
    """What was compared, whether that is enough for a claim, and what came out."""
    others = other_methods(baselines)
    ahead = {metric: sum(standing(row, metric) == "ahead" for row in others) for metric in METRICS}
    enough = baselines["searches"] >= SEARCHES and baselines["seeds"] >= SEEDS
    missing = [name for name in COMPARED if name not in {row["method"] for row in others}]
    won = ", ".join(f"`{one['name']}`" for one in ours(baselines)["chosen"])
    text = (
        f"{_count(baselines['searches'], 'search', 'searches')}, {_seeds(baselines['seeds'])} each, "
        f"{baselines['test_rows']:,} test rows. The final stage chose {won}. By two standard errors ours is ahead of "
        f"{ahead['log_loss']} of {len(others)} methods in log loss and of {ahead['auc']} in AUC"
    )
    if not enough:
        text += f"; too few for a claim, which needs {SEARCHES} searches and {SEEDS} seeds"
    target = "not reached"
    if enough and all(count == len(others) for count in ahead.values()):
        target = f"not shown without {', '.join(missing)}" if missing else "reached"
    return f"{text}. Target, ahead of all of them in both: {target}. Machine: {baselines['machine']}."


def ours(baselines: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of the winner of a run: what all others are compared with."""
    (row,) = (row for row in baselines["methods"] if "less_ours" not in row)
    found: Mapping[str, Any] = row
    return found


def other_methods(baselines: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All rows but ours."""
    return [row for row in baselines["methods"] if "less_ours" in row]


def standing(row: Mapping[str, Any], metric: str) -> str:
    """Where ours stands beside a method: `ahead` or `behind` by two standard errors, or `level`."""
    less = row["less_ours"][metric]
    lead = less["mean"] if metric == "log_loss" else -less["mean"]
    if lead == 0 or abs(lead) < 2 * less["error"]:
        return "level"
    return "ahead" if lead > 0 else "behind"


def summary_table(found: Mapping[str, Found], datasets: Sequence[DataSet]) -> str:
    """One row a data set: how well scores rank, and how the winner of a run compares."""
    lines = []
    for dataset in datasets:
        steps = found.get(dataset.name, {})
        line = [dataset.title]
        if rank := steps.get("rank"):
            ranking = Ranking.from_plain(rank["ranking"])
            share = ranking.share_of_ceiling
            line += [
                f"{_digits(ranking.tau.value, 2)} (target {dataset.tau:g})",
                f"{'no ceiling' if share is None else f'{share:.0%}'} (target {SHARE_TARGET:.0%})",
            ]
        else:
            line += [MISSING] * 2
        if baselines := steps.get("baselines"):
            others = other_methods(baselines)
            counts = [sum(standing(row, metric) == "ahead" for row in others) for metric in METRICS]
            line += [*_qualities(baselines), f"{counts[0]} and {counts[1]} of {len(others)}"]
        else:
            line += [MISSING] * 3
        lines.append(line)
    head = ("data", "Kendall's tau of the scores", "of the ceiling", "ours: log loss, AUC", "best of the others",
            "ours is ahead of")  # fmt: skip
    return _table(head, lines, left=1)


def short_table(found: Mapping[str, Found]) -> str:
    """One row a data set that has baselines: the winner of a run, the best of the others, and of how many."""
    lines = []
    for name, steps in found.items():
        if (baselines := steps.get("baselines")) is None:
            continue
        stands = [standing(_best(baselines), metric) for metric in METRICS]
        verdict = stands[0] if stands[0] == stands[1] else f"{stands[0]} in log loss, {stands[1]} in AUC"
        compared = f"{len(other_methods(baselines))} of {len(COMPARED)} methods"
        lines.append((DATASETS[name].title, *_qualities(baselines), verdict, compared))
    return _table(("data", "ours: log loss, AUC", "best of the others", "ours is", "compared with"), lines, left=1)


def _qualities(baselines: Mapping[str, Any]) -> list[str]:
    """Log loss and AUC of ours, then those of the best of the others behind its name."""
    own, best = (
        f"{row['log_loss']['mean']:.4f}, {row['auc']['mean']:.4f}" for row in (ours(baselines), _best(baselines))
    )
    return [own, f"{_best(baselines)['method']}: {best}"]


def _best(baselines: Mapping[str, Any]) -> Mapping[str, Any]:
    """The method with the lowest log loss, of all but ours."""
    return min(other_methods(baselines), key=lambda row: row["log_loss"]["mean"])


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int) -> str:
    """A Markdown table whose first `left` columns hold text, and the others figures."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *lines))


def _interval(one: Mapping[str, Any] | None, deviation: float | None = None, *, sign: str = "") -> str:
    """A value with its standard deviation between supernets, where there are several, and its interval."""
    if one is None or one["value"] is None:
        return ""
    between = "" if deviation is None else f" ± {deviation:.2f}"
    return f"{one['value']:{sign}.2f}{between} ({one['low']:{sign}.2f} to {one['high']:{sign}.2f})"


def _digits(value: float | None, digits: int) -> str:
    return "n/a" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _seeds(number: int) -> str:
    return _count(number, "seed", "seeds")
