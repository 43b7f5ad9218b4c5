"""Notes for Optuna's dashboard, in Markdown. It renders tables and images, and shows HTML as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import MACS, PARAMETERS
from nasrec_automl.report.content import ReportContent, RetrainTrial, ScoredArchitecture
from nasrec_automl.report.outline import outline
from nasrec_automl.report.sentences import count, headline, trust
from nasrec_automl.report.style import COSTS
from nasrec_automl.report.summary import (
    agreement_in_words,
    best_first,
    by_number,
    cost_text,
    error_text,
    known_costs,
    pareto_front,
    retrained_best,
)

SHOWN = 10
"""The best of a study that its table has a line for, and that have a note of their own."""


def search_note(content: ReportContent, study: str) -> str:
    """What the search study is about, its best, how to go on, how to read it."""
    best, costs = best_first(content.search, content.objectives[1:]), known_costs(content.search)
    shared = sum(each.standard_error is not None for each in best)
    rows = [
        (rank, each.number, _text(each.name), *_measured(each), *(cost_text(each, name) for name in costs))
        for rank, each in enumerate(best[:SHOWN], 1)
    ]
    return _joined(
        f"# {_text(study)}",
        f"Search for architectures on {_text(content.dataset)} in the space {_text(content.winner.space.name)}"
        + (f", {shared:,} scored with the supernet's shared weights." if shared else "."),
        _text(headline(content)) if content.results else "",
        "## The best scores",
        _table(("", "trial", "architecture", "log loss", "AUC", *(COSTS[name] for name in costs)), rows),
        "Each of these trials has a note with its architecture drawn.",
        _about_the_front(content),
        _about(content),
        _reading(
            "A value is a log loss in nats: lower is better. Parameters of a trial are the architecture's, such as "
            "`block1/dense_op`; s0 is the raw input, sN block N's output.",
            "The figures with titles on the study's first page are this package's.",
            *map(_text, trust(content)),
        ),
    )


def retrain_note(content: ReportContent, study: str) -> str:
    """What the retrain study is about, the best training of each architecture, how to go on, how to read it."""
    scores = {each.name: each for each in by_number(content.search)}
    agreement = agreement_in_words(content.search, content.retrain)
    rows = [
        (
            rank,
            trial.number,
            _text(trial.architecture),
            f"{trial.log_loss:.5f}",
            f"{scores[trial.architecture].log_loss:.5f}" if trial.architecture in scores else "",
            f"{trial.hyper.learning_rate:.2g}",
            f"{trial.hyper.batch_size:,}",
        )
        for rank, trial in enumerate(best_trainings(content.retrain)[:SHOWN], 1)
    ]
    return _joined(
        f"# {_text(study)}",
        f"The candidates, trained from scratch on {_text(content.dataset)}: {len(content.retrain):,} trainings."
        + (f" {agreement} (score in the search against log loss from scratch)." if agreement else ""),
        _text(headline(content)) if content.results else "",
        "## The best training of each",
        _table(("", "trial", "architecture", "log loss", "score", "learning rate", "batch size"), rows),
        "The files of the model that was chosen are artifacts of this study." if content.results else "",
        _about(content),
        _reading(
            "A value is a log loss in nats on rows that no training learns from: lower is better. Pruned trials were "
            "worse than others that had come as far, or diverged.",
            "The figures with titles on the study's first page are this package's.",
        ),
    )


def scored_note(rank: int, scored: ScoredArchitecture, picture: str, *, on_front: bool = False) -> str:
    """One of the best trials of the search, with its architecture drawn.

    Args:
        rank: from 1.
        scored: the trial; it has an architecture.
        picture: URL of its picture, relative to the dashboard.
        on_front: whether it is on the Pareto front of several objectives.
    """
    loss, auc = _measured(scored)
    facts = {
        "log loss": loss,
        **({"AUC": auc} if auc else {}),
        **{COSTS[name]: cost_text(scored, name) for name in known_costs([scored])},
        "key": scored.key,
    }
    if scored.rows is not None:
        estimate = ", stopped early: the score is an estimate" if scored.stopped else ""
        facts["rows read"] = f"{scored.rows:,}{estimate}"
    place = f"Number {rank} of the search{', on its Pareto front' if on_front else ''}"
    return _drawn(f"{place}: {_text(scored.name)}", facts, scored.architecture, picture)


def trained_note(
    rank: int,
    trial: RetrainTrial,
    architecture: Architecture,
    costs: Mapping[str, int],
    scored: ScoredArchitecture | None,
    picture: str,
) -> str:
    """The best training of one architecture, with the architecture drawn.

    Args:
        rank: from 1, among the architectures.
        trial: the training.
        architecture: what was trained.
        costs: its `macs` and `parameters`.
        scored: the same architecture in the search, where that scored it.
        picture: URL of its picture, relative to the dashboard.
    """
    facts = {"log loss from scratch": f"{trial.log_loss:.5f}"}
    if scored is not None:
        facts["score in the search"] = f"{_measured(scored)[0]} (trial {scored.number})"
    facts |= {
        "multiply-adds per example": f"{costs[MACS]:,}",
        "parameters": f"{costs[PARAMETERS]:,}",
        "key": architecture.key,
    }
    title = f"Number {rank} of the architectures trained from scratch: {_text(trial.architecture)}"
    return _drawn(title, facts, architecture, picture)


def best_trainings(retrain: Sequence[RetrainTrial]) -> list[RetrainTrial]:
    """The best completed training of each architecture, the best first."""
    best = retrained_best(retrain)
    found = {
        trial.architecture: trial
        for trial in sorted(retrain, key=lambda trial: -trial.number)
        if trial.log_loss == best.get(trial.architecture) and trial.is_complete
    }
    return sorted(found.values(), key=lambda trial: (best[trial.architecture], trial.number))


def _drawn(title: str, facts: Mapping[str, str], architecture: Architecture | None, picture: str) -> str:
    if architecture is None:
        return _joined(f"# {title}", _table(("", ""), list(facts.items())))
    return _joined(
        f"# {title}",
        _table(("", ""), list(facts.items())),
        f"![The architecture's wiring: open the dashboard with --artifact-dir to see it]({picture})",
        f"```\n{outline(architecture)}\n```",
        "s0 is the raw input, sN block N's output; what nothing reads is left out.",
    )


def _about_the_front(content: ReportContent) -> str:
    costs = content.objectives[1:]
    if not costs:
        return ""
    front, names = len(pareto_front(content.search, costs)), ", ".join(("log loss", *(COSTS[name] for name in costs)))
    return (
        f"The Pareto front of {names} comes first ({count(front, 'architecture')}), then that of the rest, and so on; "
        "each is in the order of its log losses."
    )


def _about(content: ReportContent) -> str:
    commands = "\n".join(content.how_to_go_on)
    return _joined(
        "## Data and space",
        _table(("", ""), [("Data", _text(content.dataset)), *((k, _text(v)) for k, v in content.facts.items())]),
        "## How to go on",
        f"```sh\n{commands}\n```",
    )


def _reading(*sentences: str) -> str:
    return _joined("## How to read it", "\n".join(f"- {sentence}" for sentence in sentences))


def _measured(scored: ScoredArchitecture) -> tuple[str, str]:
    """Log loss and AUC, as far as they are known."""
    return f"{scored.log_loss:.5f}{error_text(scored)}", "" if scored.auc is None else f"{scored.auc:.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _text(text: str) -> str:
    """Text as Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>|~#$])", r"\\\1", text)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
