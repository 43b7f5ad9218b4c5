"""The last trainings of a run, on validation rows too: those of the winner's teachers, and of the winner."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.parts import FINAL, TRAINING
from nasrec_automl.errors import DivergedError
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet, save_network
from nasrec_automl.pipeline.candidates import weights_path
from nasrec_automl.pipeline.files import read_json, write_json, write_text
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, step_in_words, train_by_job
from nasrec_automl.pipeline.studies import trainings_study
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
    run: RunFolder, names: Collection[str], checkpoints: Path, *, tell: Callable[[str], object] | None = None
) -> dict[str, Path]:
    """Who teaches the validation rows that the last trainings learn from too: teachers that have learned from them.

    What a network says of a row that it has not learned from is worth less than the row's label, and would stand for
    most of it. So the teachers' architectures are trained again, by labels alone, on all rows of the last trainings:
    once a run, and their subnets are kept.

    Args:
        run: whose data are prepared.
        names: of the architectures, among those of `may_teach`.
        checkpoints: folder for what a call that is killed goes on from.
        tell: told in words of each validation of their trainings.

    Returns:
        As many as are best together on the hpo part, the best first: their subnets by name. One whose training diverges
        teaches nobody.
    """
    if not names:
        return {}
    hyper = default_hyper(run.job, taught=False)
    study = trainings_study(run, "teachers")  # its name says how they are trained
    known, found = may_teach(run), {}
    for name in names:
        path = weights_path(run, study, f"{FINAL_TEACHER}{name}", hyper)
        diverged = path.with_suffix(".diverged")
        if diverged.is_file():
            continue
        if not path.is_file():
            checkpoint = checkpoints / path.with_suffix(".ckpt").name
            report = partial(_tell, tell, f"teacher {name}", partial(step_in_words, run, hyper, parts=FINAL))
            try:
                trained = train_by_job(run, known[name], hyper, report, parts=FINAL, checkpoint=checkpoint)
            except DivergedError as error:
                write_text(diverged, f"{error}\n")
                continue
            save_network(trained.subnet, path)
            checkpoint.unlink(missing_ok=True)
        found[path] = name
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
    *,
    tell: Callable[[str], object] | None = None,
    checkpoint: Path | None = None,
) -> Subnet:
    """Train on all rows but those of test and of the hpo part, which says when to end, as in every other training.

    It takes no number of steps from the training without validation rows: where the same network learns faster from
    other rows, which happens, as many steps are far too many. On small data trainings of one network differ by their
    seed nevertheless. So there are `retrain.final_seeds` of them, and the best on the hpo part is kept.

    Args:
        run: whose data are prepared.
        contender: what to train, and how.
        taught_by: as of `taught_finally`.
        tell: as in `train_taught`.
        checkpoint: likewise.

    Raises:
        DivergedError: all trainings diverged; where some did, the others count.
    """
    total = run.job.retrain.final_seeds
    called = [f"final training {number} of {total}" for number in range(1, total + 1)]
    try:
        return train_taught(run, contender.architecture, contender.hyper, taught_by, called, tell, checkpoint)
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
    tell: Callable[[str], object] | None = None,
    checkpoint: Path | None = None,
) -> Subnet:
    """Train from labels that teachers have a say in, several times, and return the best on the hpo part.

    Args:
        run: whose data are prepared.
        architecture: what to train.
        hyper: how.
        taught_by: the parts to train on, and who teaches their rows.
        called: what each training is called; the first has the job's own seed.
        tell: told in words of each validation.
        checkpoint: as in `train_from_scratch`, of the training that goes on, whose number is added to the name; beside
            it is kept what has ended. Both have the teachers' digest in their names. A call that was killed goes on
            from there. What has ended stays: the caller deletes it once the result is written.

    Raises:
        DivergedError: all trainings diverged; where some did, the others count.
    """
    if checkpoint is not None:
        checkpoint = checkpoint.with_stem(f"{checkpoint.stem}-{digest_of(run, taught_by, hyper)}")
    kept, noted = (None if checkpoint is None else checkpoint.with_suffix(end) for end in (".safetensors", ".json"))
    done, lowest, best, diverged = 0, math.inf, None, None
    if kept is not None and noted is not None and (found := read_json(noted)) is not None:
        done = found["done"]
        if found["log_loss"] is not None:
            lowest, best = found["log_loss"], load_subnet(kept)
    parts, label = tuple(taught_by), labels_of(run, taught_by) if done < len(called) else None
    for number in range(done, len(called)):
        own = None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}-{number}")
        try:
            trained = train_by_job(
                run,
                architecture,
                hyper,
                partial(_tell, tell, called[number], partial(step_in_words, run, hyper, parts=parts)),
                parts=parts,
                checkpoint=own,
                seed_offset=number * FINAL_SEEDS_APART,
                label=label,
            )
        except DivergedError as error:
            diverged = error
        else:
            if trained.metrics.log_loss < lowest:
                lowest, best = trained.metrics.log_loss, trained.subnet
                if kept is not None:
                    save_network(best, kept)
        # After the weights: what is noted is there. Where all diverged, the next call is to say so again, and where.
        if noted is not None and (best is not None or number + 1 < len(called)):
            write_json(noted, {"done": number + 1, "log_loss": None if best is None else lowest})
        if own is not None:
            own.unlink(missing_ok=True)
    if best is None:
        if noted is not None:
            noted.unlink(missing_ok=True)
        assert diverged is not None
        raise diverged
    return best


def _tell(
    tell: Callable[[str], object] | None, training: str, reached: Callable[[int], str], step: int, metrics: Metrics
) -> bool:
    """Tell of a validation, and do not end the training."""
    if tell is not None:
        tell(f"{training}, {reached(step)}: log loss {metrics.log_loss:.4f}")
    return False
