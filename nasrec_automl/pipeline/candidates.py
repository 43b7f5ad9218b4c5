"""What the retrain study chooses among."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.parts import Part
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.outcomes import SearchOutcome, read_verdict
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.report.content import Origin
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Trust


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that the retrain study may train.

    Attributes:
        name: its key, or a hand design's name.
        architecture: what is trained.
        origin: who chose it.
    """

    name: str
    architecture: Architecture
    origin: Origin


def candidates(run: RunFolder, searched: SearchOutcome | None = None) -> dict[str, Candidate]:
    """What the search handed on, the best first, then the hand designs: by name, no key twice, none over the budget.

    The winner of the run that this one continues follows, and where the scores alone do not count, so do the best of
    the architectures that the check trained.

    Args:
        run: the run.
        searched: what the search hands on, where it is not written yet.

    Raises:
        RunFolderError: the search has not ended.
    """
    searched = searched or SearchOutcome.read(run.top)
    if searched is None:
        raise RunFolderError(f"{run.path}: the search has not ended; `{run.status_command}` says what is left")
    space, budget = load_search_space(run.job.space), job_budget(run)
    designs = hand_designs(space)
    names = {design.key: name for name, design in designs.items()}
    predicted = {*searched.predicted}
    best = itertools.islice(filter(budget.admits, map(space.from_params, searched.top)), run.job.retrain.top_k)
    chosen: list[tuple[Architecture, Origin]] = [
        *((one, "predictor" if one.key in predicted else "search") for one in best),
        *((one, "hand design") for one in filter(budget.admits, designs.values())),
        *((one, "earlier run") for one in filter(budget.admits, map(space.from_params, searched.earlier))),
        *((one, "check") for one in checked_best(run)),
    ]
    found: dict[str, Candidate] = {}
    for one, origin in chosen:
        name = names.get(one.key, one.key)
        found[name] = Candidate(name, one, "hand design" if name in designs else origin)
    return found


def scores_count(run: RunFolder) -> bool:
    """Whether the search's scores have a say in what the candidates are."""
    verdict = read_verdict(run)
    return verdict is None or verdict.trust is not Trust.NONE


def choice_parts(run: RunFolder) -> tuple[Part, ...]:
    """The parts whose rows choose the winner: of no training's rows, and none whose scores chose the candidates.

    Scores are measured on the search part, and what they chose looks better there than it is. Where they do not count,
    its rows are nearly as good as those of the choice part, and of small data there are few: what the search scored is
    among what the predictor chooses from.
    """
    return (Part.CHOICE,) if scores_count(run) else (Part.SEARCH, Part.CHOICE)


def halved(run: RunFolder) -> list[str]:
    """Candidates whose first trainings are pruned too: those that no one has trained, where scores are not trusted.

    The hand designs and the earlier winner are a measure for all others, and what the check found best has been trained
    to its end.
    """
    if scores_count(run):
        return []
    return [name for name, candidate in candidates(run).items() if candidate.origin == "predictor"]


def checked_best(run: RunFolder) -> list[Architecture]:
    """The best quarter of the architectures inside the budget that the check of the scores trained well, best first.

    None where the scores alone count.
    """
    verdict = read_verdict(run)
    if verdict is None or verdict.trust is Trust.FULL:
        return []
    space, budget = load_search_space(run.job.space), job_budget(run)
    trained = zip(verdict.log_losses, verdict.in_space(space), strict=True)
    inside = [(loss, one) for loss, one in trained if loss is not None and budget.admits(one)]
    inside.sort(key=lambda pair: pair[0])
    return [one for _, one in inside[: best_quarter(len(inside))]]


def best_quarter(trained: int) -> int:
    """How many of the architectures that the check trained become candidates, where the scores alone do not count."""
    return math.ceil(trained / 4)


def retrain_study_name(run: RunFolder, searched: SearchOutcome | None = None) -> str:
    """Name of the retrain study. Choices never change within a study: other candidates, another study.

    Arguments and errors are those of `candidates`.
    """
    return f"{run.job.name}-retrain-{digest(' '.join(sorted(candidates(run, searched))))}"
