"""One architecture of a run, by its name: trained from scratch into a model of its own."""

from __future__ import annotations

import shlex
import shutil
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import in_words
from nasrec_automl.config import BudgetConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import is_prepared
from nasrec_automl.data.parts import TRAINING
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.digest import digest
from nasrec_automl.errors import ArchitectureError, DivergedError, RunFolderError
from nasrec_automl.evaluation.scratch import measure_subnet
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet
from nasrec_automl.pipeline.budget import job_budget
from nasrec_automl.pipeline.candidates import candidates, choice_parts
from nasrec_automl.pipeline.files import check_output_folder, write_json
from nasrec_automl.pipeline.final import contender_costs
from nasrec_automl.pipeline.final_training import (
    Contender,
    final_teachers,
    taught_finally,
    train_final,
    train_taught,
)
from nasrec_automl.pipeline.model_folder import ARCHITECTURE_FILE, HYPER_FILE, WEIGHTS_FILE, write_model
from nasrec_automl.pipeline.outcomes import SearchOutcome, read_verdict
from nasrec_automl.pipeline.progress import Tell, silent
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import default_hyper, with_settings
from nasrec_automl.pipeline.settings import training_digest
from nasrec_automl.pipeline.stages import STAGES, check_stages, run_job
from nasrec_automl.pipeline.status import retrain_is_noted
from nasrec_automl.pipeline.studies import found_study, study_trials
from nasrec_automl.pipeline.subnets import best_trials, trial_weights
from nasrec_automl.pipeline.teachers import teachers
from nasrec_automl.search import Hyper
from nasrec_automl.search.attributes import KEY
from nasrec_automl.search.distributions import architecture_of
from nasrec_automl.space import load_architecture, load_search_space, shipped_files
from nasrec_automl.training.metrics import Metrics
from nasrec_automl.yaml_files import first_complaint


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that was trained by name.

    Attributes:
        folder: of the model, as `load_model` takes it.
        name: of the architecture: its key, or the name of a design.
        validation: on the rows that choose a winner, trained without validation rows.
        source: where the hyper-parameters come from: `given`, `own`, `best` or `default`.
        excess: by how much the architecture exceeds which limits of the job's budget.
    """

    folder: Path
    name: str
    validation: Metrics
    source: str
    excess: Mapping[str, float]

    @property
    def lines(self) -> tuple[str, str]:
        """What was trained and how well, and how to use it."""
        over = ", ".join(in_words(name, excess) for name, excess in self.excess.items())
        return (
            f"{self.name}: validation log loss {self.validation.log_loss:.4f}, AUC {self.validation.auc:.4f}, "
            f"with {_SOURCES[self.source]}{over and f', over the budget by {over}'}",
            f"{self.folder}: predict with `nasrec-automl predict --model {shlex.quote(str(self.folder))} "
            "--input FILE --output FILE`",
        )


_SOURCES = {
    "given": "the hyper-parameters of the model that was named",
    "own": "the best hyper-parameters of its own trainings",
    "best": "the best hyper-parameters of the retrain study",
    "default": "the default hyper-parameters",
}


def retrain_named(
    run: RunFolder,
    name: str,
    output: Path | None = None,
    *,
    tell: Tell = silent,
) -> NamedModel:
    """Train one architecture from scratch, as the final stage trains its winner; the test part stays closed.

    If `name` is a model's folder, that model's hyper-parameters are used. Otherwise the best known are: its own of the
    retrain study, or else the best of any, or else the default ones. Its quality on the rows that choose a winner is
    that of the run's contender, or else of a training without validation rows, with the same teachers. What is written
    is trained as the final stage does. A call that was killed goes on where it was. Data that the run lacks are
    prepared first.

    Args:
        run: the run.
        name: a key of the search study or the beginning of one, a hand design, a published architecture, the path of
            an architecture's JSON file, or a model's folder, such as `best` of another run.
        output: folder to write, none of a run's own; by default in the run's folder `models`.
        tell: told of each validation, of the teachers' trainings too.

    Raises:
        ArchitectureError: no architecture, or more than one, has the name.
        DivergedError: the training diverged.
        InUseError: another process trains this architecture.
        JobError: the job is not the one that the folder's stages were started with.
        RunFolderError: the folder cannot be written, is a run's own, or holds files but no model.
    """
    prepare_for(run, name)
    check_stages(run)
    data, budget = PreparedData.open(run.data), job_budget(run)
    today, run = run, _as_searched(run)
    model = Path(name)
    name, architecture = find_architecture(run, name)
    given = _given_hyper(model) if name == architecture.key and _is_model(model) else None
    folder = run.models / name if output is None else output
    check_output_folder(folder)
    _check_replaceable(folder)
    unfinished = _unfinished(run, architecture)
    with run.lock(inside=unfinished):
        for left in run.models.glob(f"{unfinished.name}.*"):  # by calls that were killed at their end
            shutil.rmtree(left, ignore_errors=True)
        if not any(map(run.started, STAGES)):
            today.create()  # a job that reads prepared data needs no earlier stage, and may have been edited since
        first = teachers(run, tell=tell)
        contender, source = _measured(run, name, architecture, given, first, tell)
        last = final_teachers(run, first, unfinished, tell=tell)
        taught_by = taught_finally(run, first, last)
        subnet = train_final(run, contender, taught_by, _files(run, architecture, contender.hyper, "final"), tell=tell)
        hyper = asdict(with_settings(today.job, contender.hyper))
        noted = {
            "architecture": dict(architecture.params),
            "key": architecture.key,
            "name": name,
            "space": architecture.space.name,
            "validation": contender.metrics.quality,
            "hyper_parameters": {"source": source, **hyper},
            **contender_costs(today, data, contender),
        }
        (folder / "result.json").unlink(missing_ok=True)  # of the model that is replaced
        write_model(subnet, run.data / PREPROCESSING_FILE, folder, hyper)
        write_json(folder / "result.json", noted)
        # Not before: killed until here, the next call goes on with it. Renamed, since it holds the lock: a file system
        # such as NFS keeps a file that is open.
        ended = unfinished.rename(unfinished.with_name(f"{unfinished.name}.{uuid.uuid4().hex}"))
    shutil.rmtree(ended, ignore_errors=True)
    return NamedModel(folder, name, contender.metrics, source, budget.excess(architecture))


def prepare_for(run: RunFolder, name: str, *, view: AbstractContextManager[None] | None = None) -> None:
    """Prepare a run's data for `retrain_named` where they are not, once it is clear what the name means.

    Args:
        run: the run.
        name: as `retrain_named` takes it.
        view: entered while data are prepared.

    Raises:
        ArchitectureError: no architecture, or more than one, has the name.
        DataError: the data cannot be prepared, or stages have begun by data that are gone.
    """
    if not is_prepared(run.data) and run.job.data.source != "prepared":
        find_architecture(run, name)  # preparation may take hours
        run_job(run, (STAGES["data"],), view=view)


def _check_replaceable(folder: Path) -> None:
    names = {path.name for path in folder.glob("*") if not path.name.startswith(".")}
    left = {WEIGHTS_FILE, ARCHITECTURE_FILE, PREPROCESSING_FILE}  # some of these, by a call that was killed
    if names and not names & left:
        raise RunFolderError(f"{folder}: holds files, and no model that could be replaced: choose an empty folder")


def _unfinished(run: RunFolder, architecture: Architecture) -> Path:
    """The folder with what a call that was killed has left."""
    return run.models / f".{architecture.key}"


def _is_model(folder: Path) -> bool:
    return (folder / ARCHITECTURE_FILE).is_file()


def _given_hyper(folder: Path) -> Hyper:
    """The hyper-parameters of a model.

    Raises:
        ArchitectureError: its folder has none, or they are not those of this version, or out of range.
    """
    try:
        return TypeAdapter(Hyper).validate_json((folder / HYPER_FILE).read_bytes())
    except FileNotFoundError:
        reason = "no such file"
    except ValidationError as error:
        reason = first_complaint(error)
    raise ArchitectureError(
        f"{folder / HYPER_FILE}: {reason}; name {folder / ARCHITECTURE_FILE} instead, to train that architecture with "
        "the best hyper-parameters of this run"
    )


def _files(run: RunFolder, architecture: Architecture, hyper: Hyper, what: str) -> Path:
    """The `files` of `train_taught`: others for other settings, since a job may change where no stage has begun."""
    return _unfinished(run, architecture) / f"{digest(f'{training_digest(run)} {hyper}')}-{what}"


def _as_searched(run: RunFolder) -> RunFolder:
    """The run with the budget of its search: today's may have other candidates, of which nothing is trained yet."""
    searched = SearchOutcome.read(run.top)
    if searched is None:
        return run
    noted = {name: value for name, value in searched.budget.items() if name in BudgetConfig.model_fields}
    return RunFolder(run.job.model_copy(update={"budget": BudgetConfig.model_validate(noted)}))


def find_architecture(run: RunFolder, name: str) -> tuple[str, Architecture]:
    """The architecture that a name means, and its whole name.

    Raises:
        ArchitectureError: there is none, or more than one.
    """
    space = load_search_space(run.job.space)
    designs = hand_designs(space)
    if name in designs:
        return name, designs[name]
    published = shipped_files("architectures", ".json")
    if name in published:
        return name, load_architecture(name)
    if name.endswith(".json"):
        loaded = load_architecture(name, space)
        return loaded.key, loaded
    if _is_model(Path(name)):
        loaded = load_architecture(Path(name) / ARCHITECTURE_FILE, space)
        return loaded.key, loaded
    trials = study_trials(run, "search") if run.started("search") else []
    found: dict[str, Architecture] = {}
    for trial in trials:
        written = trial.user_attrs.get(KEY)
        if written is not None and not written.startswith(name):
            continue
        architecture = architecture_of(trial.params, space)
        if architecture is not None and architecture.key.startswith(name):
            found[architecture.key] = architecture
    if (verdict := read_verdict(run)) is not None:  # teachers are among these
        found |= {a.key: a for a in verdict.in_space(space) if a.key.startswith(name)}
    if run.top.is_file():
        # Where the scores alone do not count, the search did not score some candidates.
        candidates_of = (candidate.architecture for candidate in candidates(run).values())
        found |= {a.key: a for a in candidates_of if a.key.startswith(name)}
    if not found:
        raise ArchitectureError(
            f"no architecture {name!r} in {run.path}: expected the beginning of a key of its search "
            f"({len(trials)} trials; the report and Optuna's dashboard show them), "
            + (f"a hand design ({', '.join(designs)}), " if designs else "")
            + f"a published one ({', '.join(published)}), an architecture's JSON file, or a model's folder"
        )
    if len(found) > 1:
        raise ArchitectureError(f"{len(found)} keys begin with {name!r}, such as {' and '.join(sorted(found)[:2])}")
    return found.popitem()


def _measured(
    run: RunFolder,
    name: str,
    architecture: Architecture,
    given: Hyper | None,
    taught_by: Mapping[str, Path],
    tell: Tell,
) -> tuple[Contender, str]:
    """The architecture trained without validation rows, and where its settings come from.

    What stands among the run's contenders is not trained again.
    """
    space, best, known = run.job.retrain.space, {}, ""
    study = found_study(run, "retrain") if run.started("retrain") else None
    if study is not None:
        best = best_trials(study)
        known = {one.architecture.key: one.name for one in candidates(run).values()}.get(architecture.key, "")
    if given is not None:
        hyper, source = given, "given"
    elif known in best:
        hyper, source = Hyper.of(best[known].params, space), "own"
    elif best:
        hyper, source = Hyper.of(min(best.values(), key=lambda trial: float(trial.values[0])).params, space), "best"
    else:
        hyper, source = default_hyper(run.job, taught=bool(taught_by)), "default"
    # While the stage goes on, a subnet of now may be beaten, and gone.
    if study is not None and source == "own" and retrain_is_noted(run):
        subnet = load_subnet(trial_weights(run, study, best[known]))
    else:
        subnet = _trained_alone(run, name, architecture, hyper, taught_by, tell)
    metrics = measure_subnet(subnet.to(run.job.device), PreparedData.open(run.data).part(*choice_parts(run)))
    return Contender(name, architecture, hyper, metrics), source


def _trained_alone(
    run: RunFolder,
    name: str,
    architecture: Architecture,
    hyper: Hyper,
    taught_by: Mapping[str, Path],
    tell: Tell,
) -> Subnet:
    """The architecture trained without validation rows; the subnet is kept until the call has ended."""
    paths = [*taught_by.values()]
    files, called = _files(run, architecture, hyper, "alone"), ["training without validation rows"]
    try:
        return train_taught(run, architecture, hyper, dict.fromkeys(TRAINING, paths), called, files, tell=tell)
    except DivergedError as error:
        raise DivergedError(f"the training of {name} diverged at {error} (hyper-parameters: {hyper})") from None
