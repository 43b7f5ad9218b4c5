"""What the retrain study chooses among, and the subnets that it keeps."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.parts import Part
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.verdict import read_verdict, trust_in_scores
from nasrec_automl.report.content import Origin
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import STEP, written
from nasrec_automl.search.hyper import ARCHITECTURE
from nasrec_automl.space import load_search_space
from nasrec_automl.verdict import Trust


def candidates(run: RunFolder, top: Mapping[str, Any] | None = None) -> dict[str, Architecture]:
    """What the search handed on by key, then the hand designs by name; no key twice, and none over the budget.

    The winner of the run that this one continues follows by key, and where the scores alone do not count, so do the
    best of the architectures that the check trained.

    Args:
        run: the run.
        top: what the search hands on, where it is not written yet.

    Raises:
        RunFolderError: the search has not ended.
    """
    return {name: architecture for name, (architecture, _) in _found(run, top).items()}


def origins(run: RunFolder) -> dict[str, Origin]:
    """The origin of each candidate.

    Raises:
        RunFolderError: the search has not ended.
    """
    return {name: origin for name, (_, origin) in _found(run).items()}


def _found(run: RunFolder, top: Mapping[str, Any] | None = None) -> dict[str, tuple[Architecture, Origin]]:
    """The candidates with their origins.

    Raises:
        RunFolderError: the search has not ended.
    """
    top = top or read_json(run.top)
    if top is None:
        raise RunFolderError(
            f"{run.path}: the search has not ended; `nasrec-automl status {shlex.quote(str(run.path))}` says what is "
            "left"
        )
    space, budget = load_search_space(run.job.space), job_budget(run)
    designs, predicted = hand_designs(space), {*top.get("predicted", ())}
    names = {design.key: name for name, design in designs.items()}
    inside = (a for params in top["top"] if budget.admits(a := space.from_params(params)))
    found: dict[str, tuple[Architecture, Origin]] = {}

    def add(architectures: Iterable[Architecture], origin: Origin) -> None:
        for one in filter(budget.admits, architectures):
            name = names.get(one.key, one.key)
            found[name] = one, "hand design" if name in designs else origin

    by_score = scores_count(run)
    for one in itertools.islice(inside, run.job.retrain.top_k):
        add([one], "search" if by_score and one.key not in predicted else "predictor")
    add(designs.values(), "hand design")
    add((space.from_params(params) for params in top.get("earlier", [])), "earlier run")
    add(checked_best(run), "check")
    return found


def noted_winner(run: RunFolder) -> list[Architecture]:
    """The winner of the run that this one continues, as the search found it; none without one."""
    space, top = load_search_space(run.job.space), read_json(run.top) or {}
    return [space.from_params(params) for params in top.get("earlier", [])]


def scores_count(run: RunFolder) -> bool:
    """Whether the search's scores have a say in what the candidates are."""
    return trust_in_scores(run) is not Trust.NONE


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
    return [name for name, origin in origins(run).items() if origin == "predictor"]


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


def retrain_study_name(run: RunFolder, top: Mapping[str, Any] | None = None) -> str:
    """Name of the retrain study. Choices never change within a study: other candidates, another study.

    Arguments and errors are those of `candidates`.
    """
    return f"{run.job.name}-retrain-{digest(' '.join(sorted(candidates(run, top))))}"


def weights_path(run: RunFolder, study_name: str, name: str, hyper: Hyper) -> Path:
    """Where the subnet of one training is kept. A run may have several retrain studies, and each its own subnets."""
    return run.retrained / f"{name}-{digest(json.dumps([study_name, asdict(hyper)]))}.safetensors"


def trial_weights(run: RunFolder, study: optuna.Study, trial: FrozenTrial) -> Path:
    """The same of a trial of the retrain study."""
    hyper = Hyper.of(trial.params, run.job.retrain.space)
    return weights_path(run, study.study_name, trial.params[ARCHITECTURE], hyper)


def checkpoint_path(run: RunFolder, study_name: str, name: str, hyper: Hyper) -> Path:
    """Where one training leaves what its next attempt goes on from."""
    return weights_path(run, study_name, name, hyper).with_suffix(".ckpt")


def best_trials(study: optuna.Study) -> dict[str, FrozenTrial]:
    """The best finished training of each candidate; trials that others added have no subnet and do not count."""
    return _best(_trainings(study))


def _best(trainings: list[FrozenTrial]) -> dict[str, FrozenTrial]:
    best: dict[str, FrozenTrial] = {}
    for trial in trainings:
        name = trial.params[ARCHITECTURE]
        if name not in best or trial.values[0] < best[name].values[0]:
            best[name] = trial
    return best


def best_log_loss(study: optuna.Study) -> float | None:
    """The best log loss of the study; nothing while no training has ended well."""
    return min((trial.values[0] for trial in _trainings(study)), default=None)


def check_subnets(run: RunFolder, study: optuna.Study) -> None:
    """Raise RunFolderError unless the subnet of each candidate's best training is in the folder."""

    def missing() -> set[int]:
        return {trial.number for trial in best_trials(study).values() if not trial_weights(run, study, trial).is_file()}

    # Twice: another worker may just have beaten one, and dropped its subnet.
    if missing() & missing():
        raise networks_missing(run, study.study_name)


def networks_missing(run: RunFolder, study_name: str) -> RunFolderError:
    """The error that a study has trainings, and the folder not their subnets."""
    return RunFolderError(
        f"{run.path}: the study {study_name!r} has trainings whose networks are not here, as of a folder that "
        "was deleted, or another one; give the job another `name` and run_folder, or delete the study"
    )


def drop_beaten(run: RunFolder, study: optuna.Study) -> None:
    """Delete the subnets of finished trainings that a better one of their candidate has beaten: tables are large."""
    # Read once: what another worker finishes meanwhile may be the best of its candidate.
    trainings = _trainings(study)
    best = _best(trainings)
    for trial in trainings:
        if trial.number != best[trial.params[ARCHITECTURE]].number:
            trial_weights(run, study, trial).unlink(missing_ok=True)


def _trainings(study: optuna.Study) -> list[FrozenTrial]:
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in trials if STEP in written(trial) and ARCHITECTURE in trial.params]
