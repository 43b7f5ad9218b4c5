"""What a run's networks learn from beside labels: networks of several architectures that were trained before them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.digest import digest
from nasrec_automl.evaluation.distillation import best_together, taught_labels
from nasrec_automl.evaluation.scratch import Trained, predict_logits
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network.weights import load_subnet, save_network
from nasrec_automl.pipeline.candidates import default_hyper, has_teachers, networks_missing, weights_path
from nasrec_automl.pipeline.files import newest
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import trainings_study
from nasrec_automl.pipeline.truth import Curve, train_truth
from nasrec_automl.search import Hyper
from nasrec_automl.search.task import ENDED
from nasrec_automl.search.trainings import count_trained
from nasrec_automl.space import load_search_space


def teachers(run: RunFolder, tell: Callable[[str], object] | None = None) -> dict[str, Path]:
    """Who teaches every training from scratch on train rows: hand designs, themselves trained by labels alone.

    They are trained where that is not done, with the hyper-parameters that a training without teachers begins with,
    whatever they cost: they are no candidates by that. Any number of processes may do so at once; each is back when all
    have ended.

    Args:
        run: whose data are prepared.
        tell: told in words how many of their trainings have ended, and how far the next one has come.

    Returns:
        Those that are best together on the hpo part, of the best `retrain.teachers` there: their subnets by name, the
        best first. None where `retrain.teachers` is 0, and where the trainings of all diverged.

    Raises:
        RunFolderError: their trainings are in the study, and their subnets not in the folder.
    """
    config, designs = run.job.retrain, hand_designs(load_search_space(run.job.space))
    if not has_teachers(run.job):
        return {}
    study, hyper = trainings_study(run, "teachers"), default_hyper(run.job, taught=False)
    paths = {design.key: weights_path(run, study, f"teacher-{name}", hyper) for name, design in designs.items()}

    def keep(architecture: Architecture, trained: Trained, curve: Curve) -> None:
        save_network(trained.subnet, paths[architecture.key])

    def told(ended: int, step: str = "") -> None:
        if tell is not None:
            tell(", ".join(filter(None, (f"trains its teachers: {ended} of {len(designs)}", step))))

    ended = count_trained(study, [*designs.values()], 1)
    if ended < len(designs):
        told(ended)
    of_each = train_truth(
        run,
        study,
        [*designs.values()],
        1,
        (Part.HPO,),
        hyper=hyper,
        folder=run.retrained,
        tell=told,
        keep=keep,
    )
    losses = dict(zip(designs, of_each[:, 0], strict=True))
    best = sorted((name for name in designs if np.isfinite(losses[name])), key=lambda name: losses[name])
    known = {name: paths[designs[name].key] for name in best[: config.teachers]}
    if any(not path.is_file() for path in known.values()):
        raise networks_missing(run, study)
    names = {path: name for name, path in known.items()}
    return {names[path]: path for path in best_teachers(run, [*names])}


def kept_of_teachers(run: RunFolder) -> int:
    """As `Stage.kept`: how many of the teachers' trainings have ended, and when one left its last checkpoint."""
    if not run.job.retrain.teachers:
        return 0
    ended = len(trainings_study(run, "teachers").get_trials(deepcopy=False, states=ENDED))
    return ended + newest(run.retrained.glob("*.ckpt"))


def taught_label(run: RunFolder, tell: Callable[[str], object] | None = None) -> NDArray[np.float32] | None:
    """Labels of train and head rows that the teachers have a say in; None where there are none.

    Args:
        run: whose data are prepared.
        tell: as in `teachers`.
    """
    return labels_of(run, [*teachers(run, tell).values()], *TRAINING)


def digest_of(run: RunFolder, taught_by: Sequence[Path], hyper: Hyper) -> str:
    """Hash of what a training by teachers depends on: other ones leave their files under other names."""
    content = [[path.name for path in taught_by], run.job.retrain.teacher_share, asdict(hyper)]
    return digest(json.dumps(content))


def labels_of(
    run: RunFolder, taught_by: Sequence[Path], *parts: Part, share: float | None = None
) -> NDArray[np.float32] | None:
    """Labels of the parts' rows that teachers have a share of, `retrain.teacher_share`; None where there is none."""
    if not taught_by:
        return None
    rows = PreparedData.open(run.data).part(*parts)
    return taught_labels(rows, _logits(run, taught_by, rows), run.job.retrain.teacher_share if share is None else share)


def best_teachers(run: RunFolder, paths: Sequence[Path]) -> list[Path]:
    """As many of the best subnets on the hpo part as are best there together, the best first."""
    if len(paths) < 2:
        return list(paths)
    hpo = PreparedData.open(run.data).part(Part.HPO)
    return [paths[i] for i in best_together(_logits(run, paths, hpo), hpo)]


def _logits(run: RunFolder, paths: Sequence[Path], rows: Rows) -> list[Tensor]:
    """Of each subnet, of which one at a time is in memory."""
    return [predict_logits(load_subnet(path).to(run.job.device), rows) for path in paths]
