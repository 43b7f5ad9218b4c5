"""What a run's networks learn from beside labels: networks of several architectures, trained before by labels alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import is_prepared
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.digest import digest
from nasrec_automl.errors import RunFolderError
from nasrec_automl.evaluation.distillation import best_together, taught_labels
from nasrec_automl.evaluation.scratch import Trained, predict_logits
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import load_subnet, save_network
from nasrec_automl.pipeline.files import newest, read_json
from nasrec_automl.pipeline.outcomes import read_verdict
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, has_teachers
from nasrec_automl.pipeline.studies import make_study, study_trials
from nasrec_automl.pipeline.subnets import networks_missing, weights_path
from nasrec_automl.pipeline.truth import train_truth
from nasrec_automl.pipeline.worker_processes import worker_processes
from nasrec_automl.search import Hyper
from nasrec_automl.search.task import ENDED
from nasrec_automl.search.trainings import count_trained
from nasrec_automl.space import load_search_space

TEACHERS = "teachers"
"""What a helper is told to share."""


def teachers(run: RunFolder, *, tell: Tell = silent, checked: bool = True, workers: int = 1) -> dict[str, Path]:
    """Who teaches: some of the hand designs and, once the scores are checked, of the architectures trained for that.

    All of these have learned from labels alone. A teacher may be over the budget: to teach makes no architecture a
    candidate. Where the hand designs are not trained, that is done. Any number of processes may do so at once; each is
    back when all have ended.

    Args:
        run: whose data are prepared.
        tell: told how many of their trainings have ended, and how far the next one has come.
        checked: False for hand designs alone, as the supernet's are, which is trained before the check.
        workers: processes that share these trainings, this one included.

    Returns:
        Those that are best together on the hpo part, of the best `retrain.teachers` there: their subnets by name, the
        best first. None where `retrain.teachers` is 0, and where the trainings of all diverged.

    Raises:
        RunFolderError: their subnets are not in the folder, as they should be.
    """
    if not has_teachers(run.job):
        return {}
    paths = train_designs(run, tell=tell, workers=workers)
    if checked and run.verdict.is_file():
        paths |= _checked(run)
    names = {path: name for name, path in paths.items()}
    return {names[path]: path for path in best_teachers(run, [*names])}


def may_teach(run: RunFolder) -> dict[str, Architecture]:
    """The architectures of all that may be teachers, by name."""
    space, verdict = load_search_space(run.job.space), read_verdict(run)
    checked = [] if verdict is None else verdict.in_space(space)
    return {**{architecture.key: architecture for architecture in checked}, **hand_designs(space)}


def train_designs(run: RunFolder, *, tell: Tell = silent, workers: int = 1) -> dict[str, Path]:
    """Train the hand designs that are not trained yet.

    Args:
        run: whose data are prepared.
        tell: told how many of the trainings have ended, and how far the next one has come.
        workers: processes that share these trainings, this one included.

    Returns:
        Their subnets by name, those whose training diverged left out.
    """
    designs = hand_designs(load_search_space(run.job.space))
    study, hyper = make_study(run, "teachers"), default_hyper(run.job, taught=False)
    path = partial(weights_path, run, study.study_name, hyper=hyper)
    paths = {design.key: path(name=f"teacher-{name}") for name, design in designs.items()}

    def keep(architecture: Architecture, trained: Trained) -> None:
        save_network(trained.subnet, paths[architecture.key])

    def told(ended: int, step: str = "") -> None:
        tell(", ".join(filter(None, (f"trains its teachers: {ended} of {len(designs)}", step))))

    ended = count_trained(study, [*designs.values()], 1)
    if ended < len(designs):
        told(ended)
    with worker_processes(run.job, TEACHERS, min(workers, len(designs) - ended)):
        of_each = train_truth(
            run,
            "teachers",
            [*designs.values()],
            1,
            (Part.HPO,),
            folder=run.retrained,
            on_progress=told,
            keep=keep,
        )
    found = {
        name: paths[design.key]
        for (name, design), (loss,) in zip(designs.items(), of_each, strict=True)
        if np.isfinite(loss)
    }
    if any(not path.is_file() for path in found.values()):
        raise networks_missing(run, study.study_name)
    return found


def _checked(run: RunFolder) -> dict[str, Path]:
    """What the check of the scores has left to teach: subnets by key."""
    noted: dict[str, str] = read_json(run.checked_teachers) or {}
    found = {key: run.retrained / name for key, name in noted.items()}
    if missing := [path.name for path in found.values() if not path.is_file()]:
        raise RunFolderError(
            f"{run.retrained}: {missing[0]} is gone, the network of a teacher: put it back, or run the job in another "
            "run_folder"
        )
    return found


def resume_mark_of_teachers(run: RunFolder) -> tuple[int, int]:
    """Of `Stage.resume_mark`: how many of the teachers' trainings have ended, and when one left its last checkpoint."""
    if not has_teachers(run.job) or not is_prepared(run.data):
        return 0, 0
    return len(study_trials(run, "teachers", ENDED)), newest(run.retrained.glob("*.ckpt"))


TaughtBy = Mapping[Part, Sequence[Path]]
"""Of each part that a training learns from, the subnets that have a say in its labels; there may be none."""


def taught_label(run: RunFolder, *, tell: Tell = silent) -> NDArray[np.float32] | None:
    """Labels of train and head rows that the teachers have a say in; None where there are none.

    Args:
        run: whose data are prepared.
        tell: told how far the teachers' trainings have come.
    """
    paths = [*teachers(run, tell=tell).values()]
    return labels_of(run, dict.fromkeys(TRAINING, paths))


def digest_of(run: RunFolder, taught_by: TaughtBy, hyper: Hyper) -> str:
    """Hash of what a training by teachers depends on: other ones leave their files under other names."""
    names = {part: [path.name for path in paths] for part, paths in taught_by.items()}
    return digest(json.dumps([names, run.job.retrain.teacher_share, asdict(hyper)]))


def labels_of(run: RunFolder, taught_by: TaughtBy, *, share: float | None = None) -> NDArray[np.float32] | None:
    """Labels of the parts' rows, part by part, that teachers have a share of; None where there are no teachers.

    Args:
        run: whose data are prepared.
        taught_by: the parts, and who teaches their rows.
        share: of the teachers; by default `retrain.teacher_share`.
    """
    if not any(taught_by.values()):
        return None
    data, share = PreparedData.open(run.data), run.job.retrain.teacher_share if share is None else share
    parts = {part: data.part(part) for part in taught_by}
    logits = {part: _logits(run, paths, parts[part]) for part, paths in taught_by.items()}
    return np.concatenate([taught_labels(rows, logits[part], share) for part, rows in parts.items()])


def best_teachers(run: RunFolder, paths: Sequence[Path]) -> list[Path]:
    """As many of the best `retrain.teachers` subnets on the hpo part as are best there together, the best first."""
    if len(paths) < 2:
        return list(paths)
    hpo = PreparedData.open(run.data).part(Part.HPO)
    return [paths[i] for i in best_together(_logits(run, paths, hpo), hpo, most=run.job.retrain.teachers)]


def _logits(run: RunFolder, paths: Sequence[Path], rows: Rows) -> list[Tensor]:
    """Logits of each subnet, of which one at a time is in memory."""
    return [predict_logits(load_subnet(path).to(run.job.device), rows) for path in paths]
