"""The last trainings of a run, on validation rows too: those of the winner's teachers, and of the winner."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import FINAL, TRAINING, Part
from nasrec_automl.errors import DivergedError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.files import write_array
from nasrec_automl.pipeline.last_trainings import LastTraining, train_all
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper
from nasrec_automl.pipeline.studies import trainings_study_name
from nasrec_automl.pipeline.subnets import weights_path
from nasrec_automl.pipeline.teachers import TaughtBy, best_teachers, digest_of, labels_of, may_teach
from nasrec_automl.search import Hyper
from nasrec_automl.training.metrics import Metrics

FINAL_TEACHER = "final-teacher-"
"""What the names of the final teachers' files in `retrain/` begin with."""

FINAL_SEEDS_APART = 1000
"""Between one final training's seed and the next one's: runs with neighbouring seeds share none."""


@dataclass(frozen=True, slots=True)
class Contender:
    """The best training of one architecture, measured on the rows that choose the winner.

    Attributes:
        name: its key, or a hand design's name.
        architecture: what was trained.
        hyper: how.
        metrics: on the parts of `choice_parts`, trained without validation rows.
    """

    name: str
    architecture: Architecture
    hyper: Hyper
    metrics: Metrics


def final_teachers(
    run: RunFolder,
    names: Collection[str],
    folder: Path,
    *,
    workers: int = 1,
    tell: Tell = silent,
) -> dict[str, Path]:
    """Who teaches the validation rows that the last trainings learn from too: teachers that have learned from them.

    What a network says of a row that it has not learned from is worth less than the row's label, and would stand for
    most of it. So the teachers' architectures are trained again, by labels alone, on all rows of the last trainings:
    once a run, and their subnets are kept.

    Args:
        run: whose data are prepared.
        names: of the architectures, among those of `may_teach`.
        folder: for checkpoints and locks of these trainings alone.
        workers: processes that share the trainings, this one included.
        tell: told of each validation of this process's trainings.

    Returns:
        As many as are best together on the hpo part, the best first: their subnets by name. One whose training diverges
        teaches nobody.
    """
    if not names:
        return {}
    hyper, known = default_hyper(run.job, taught=False), may_teach(run)
    study = trainings_study_name(run, "teachers")  # its name says how they are trained
    trainings = {
        name: LastTraining(
            called=f"teacher {name}",
            architecture=known[name],
            hyper=hyper,
            parts=FINAL,
            weights=weights_path(run, study, f"{FINAL_TEACHER}{name}", hyper),
        )
        for name in names
    }
    train_all(run, [*trainings.values()], folder, workers=workers, tell=tell)
    found = {training.weights: name for name, training in trainings.items() if training.weights.is_file()}
    return {found[path]: path for path in best_teachers(run, [*found])}


def taught_finally(run: RunFolder, first: Mapping[str, Path], last: Mapping[str, Path]) -> TaughtBy:
    """Who teaches the last trainings: each row those that have learned from it, as many as are best together.

    Those of train and head rows include the candidates' teachers, which may be better than the final ones: they were
    chosen among more networks.

    Args:
        run: whose data are prepared.
        first: of `teachers`.
        last: of `final_teachers`.
    """
    of_training = best_teachers(run, [*first.values(), *last.values()])
    return {part: of_training if part in TRAINING else [*last.values()] for part in FINAL}


def train_final(
    run: RunFolder,
    contender: Contender,
    taught_by: TaughtBy,
    files: Path,
    *,
    workers: int = 1,
    tell: Tell = silent,
) -> Subnet:
    """Train on all rows but those of test and of the hpo part, which says when to end, as in every other training.

    It takes no number of steps from the training without validation rows: where the same network learns faster from
    other rows, which happens, as many steps are far too many. On small data trainings of one network differ by their
    seed nevertheless. So there are `retrain.final_seeds` of them, and the best on the hpo part is kept.

    Args:
        run: whose data are prepared.
        contender: what to train, and how.
        taught_by: as of `taught_finally`.
        files: as in `train_taught`.
        workers: processes that share the trainings, this one included.
        tell: told of each validation of this process's trainings.

    Raises:
        DivergedError: all trainings diverged; where some did, the others count.
    """
    total = run.job.retrain.final_seeds
    called = [f"final training {number} of {total}" for number in range(1, total + 1)]
    try:
        return train_taught(
            run, contender.architecture, contender.hyper, taught_by, called, files, workers=workers, tell=tell
        )
    except DivergedError as error:
        raise DivergedError(
            f"the final training of {contender.name} diverged at {error}. It went well without the validation rows: "
            "set lower limits of retrain.space.learning_rate, in another run_folder"
        ) from None


def train_taught(
    run: RunFolder,
    architecture: Architecture,
    hyper: Hyper,
    taught_by: TaughtBy,
    called: Sequence[str],
    files: Path,
    *,
    workers: int = 1,
    tell: Tell = silent,
) -> Subnet:
    """Train from labels that teachers have a say in, several times, and return the best on the hpo part.

    Args:
        run: whose data are prepared.
        architecture: what to train.
        hyper: how.
        taught_by: the parts to train on, and who teaches their rows.
        called: what each training is called; the first has the job's own seed.
        files: what the names of files begin with, which keep labels, checkpoints and what has ended. A digest of the
            teachers follows. A call that was killed goes on from there. What has ended stays: the caller deletes it
            once the result is written.
        workers: processes that share the trainings, this one included.
        tell: told of each validation of this process's trainings.

    Raises:
        DivergedError: all trainings diverged; where some did, the others count.
    """
    folder, stem = files.parent, f"{files.name}-{digest_of(run, taught_by, hyper)}"
    label = folder / f"{stem}-labels.npy"
    trainings = [
        LastTraining(
            called=words,
            architecture=architecture,
            hyper=hyper,
            parts=tuple(taught_by),
            weights=folder / f"{stem}-{number}.safetensors",
            label=label if any(taught_by.values()) else None,
            seed_offset=number * FINAL_SEEDS_APART,
        )
        for number, words in enumerate(called)
    ]
    left = not all(training.ended for training in trainings)
    if left and not label.is_file() and (found := labels_of(run, taught_by)) is not None:
        write_array(label, found)
    train_all(run, trainings, folder, workers=workers, tell=tell)
    trained = [training.weights for training in trainings if training.weights.is_file()]
    if not trained:
        said = trainings[-1].diverged.read_text(encoding="utf-8").strip()
        for training in trainings:  # another call is to try again
            training.diverged.unlink()
        raise DivergedError(said)
    hpo = PreparedData.open(run.data).part(Part.HPO)
    best = min(map(load_subnet, trained), key=lambda subnet: measure_subnet(subnet.to(run.job.device), hpo).log_loss)
    return best.cpu()
