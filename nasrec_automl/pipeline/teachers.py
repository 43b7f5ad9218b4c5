"""What a run's last trainings learn from beside labels: its own best networks, of several architectures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation.distillation import best_together, taught_labels
from nasrec_automl.evaluation.scratch import predict_logits
from nasrec_automl.network.weights import load_subnet, save_network
from nasrec_automl.pipeline.candidates import best_trials, candidates, train_candidate, weights_path
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.studies import retrain_study
from nasrec_automl.pipeline.telling import OnValidation, telling
from nasrec_automl.search import Hyper


def teachers(run: RunFolder) -> list[Path]:
    """Subnets of the candidates that are best together on the hpo part, of the best `retrain.teachers` there.

    None before the retrain stage has one.
    """
    return _chosen(run)[0]


def finalists(run: RunFolder) -> dict[str, Path]:
    """The best `retrain.finalists` candidates on the hpo part: where the final stage keeps what their teachers taught.

    None where there are no teachers.
    """
    return {name: path for name, (_, path) in _chosen(run)[1].items()}


def contender_path(run: RunFolder, name: str, hyper: Hyper) -> Path:
    """The subnet that stands for a candidate where the winner is chosen, trained with its best hyper-parameters."""
    taught = finalists(run).get(name)
    return taught if taught is not None and taught.is_file() else weights_path(run, retrain_study(run), name, hyper)


def final_teachers(run: RunFolder) -> list[Path]:
    """Who teaches a training on validation rows too: those best together of the finalists and their teachers."""
    taught_by, chosen = _chosen(run)
    return _best_together(run, [*(path for _, path in chosen.values() if path.is_file()), *taught_by])


def digest_of(run: RunFolder, taught_by: Sequence[Path], hyper: Hyper) -> str:
    """Hash of what a training by teachers depends on: other ones leave their files under other names."""
    content = [[path.name for path in taught_by], run.job.retrain.teacher_share, asdict(hyper)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def labels_of(run: RunFolder, taught_by: Sequence[Path], *parts: Part) -> NDArray[np.float32] | None:
    """Labels of the parts' rows that teachers have `retrain.teacher_share` of; None where there is no teacher."""
    if not taught_by:
        return None
    rows = PreparedData.open(run.data).part(*parts)
    return taught_labels(rows, _logits(run, taught_by, rows), run.job.retrain.teacher_share)


def teach_finalists(run: RunFolder, on_validation: OnValidation | None = None) -> dict[str, Path]:
    """Train the finalists once more on train alone, with the hyper-parameters of their best training, by teachers.

    What such a call that was killed had done is there already, and its training goes on.

    Args:
        run: whose retrain stage has ended.
        on_validation: told of each validation.

    Returns:
        What `finalists` does, without those whose training diverged: it went well with labels alone.
    """
    taught_by, chosen = _chosen(run)
    found, architectures, label = {}, candidates(run), None
    for number, (name, (hyper, path)) in enumerate(chosen.items(), 1):
        if not path.is_file():
            label = labels_of(run, taught_by, *TRAINING) if label is None else label
            try:
                trained = train_candidate(
                    run,
                    architectures[name],
                    hyper,
                    telling(on_validation, f"finalist {number} of {len(chosen)}, {name}"),
                    checkpoint=path.with_suffix(".ckpt"),
                    label=label,
                )
            except DivergedError:
                continue
            save_network(trained.subnet, path)
        found[name] = path
    return found


def _chosen(run: RunFolder) -> tuple[list[Path], dict[str, tuple[Hyper, Path]]]:
    """The teachers, and the finalists by name: how each is trained, and where its subnet is kept."""
    config = run.job.retrain
    if not config.teachers or not run.started("retrain"):
        return [], {}
    study = retrain_study(run)
    best = sorted(best_trials(study).items(), key=lambda pair: float(pair[1].values[0]))
    hypers = {name: Hyper.of(trial.params, config.space) for name, trial in best}
    known = [weights_path(run, study, name, hypers[name]) for name, _ in best[: config.teachers]]
    taught_by = _best_together(run, known)
    chosen = {}
    for name, _ in best[: config.finalists]:
        path = run.retrained / f"finalist-{name}-{digest_of(run, taught_by, hypers[name])}.safetensors"
        chosen[name] = (hypers[name], path)
    return taught_by, chosen


def _best_together(run: RunFolder, paths: Sequence[Path]) -> list[Path]:
    if len(paths) < 2:
        return list(paths)
    hpo = PreparedData.open(run.data).part(Part.HPO)
    return [paths[i] for i in best_together(_logits(run, paths, hpo), hpo)]


def _logits(run: RunFolder, paths: Sequence[Path], rows: Rows) -> list[Tensor]:
    """Of each subnet, of which one at a time is in memory."""
    return [predict_logits(load_subnet(path).to(run.job.device), rows) for path in paths]
