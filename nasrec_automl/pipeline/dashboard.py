"""What a run leaves in its studies for Optuna's dashboard: notes, figures, and files as artifacts."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import MACS, PARAMETERS
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.digest import digest
from nasrec_automl.errors import InUseError
from nasrec_automl.pipeline.candidates import candidates, retrain_study_name
from nasrec_automl.pipeline.databases import study_storage
from nasrec_automl.pipeline.model_folder import ARCHITECTURE_FILE, WEIGHTS_FILE
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.scratch import trained_profile
from nasrec_automl.pipeline.studies import search_study_name
from nasrec_automl.report import ReportContent, wiring_svg
from nasrec_automl.report.agreement import score_against_retrained
from nasrec_automl.report.frequencies import frequencies
from nasrec_automl.report.notes import SHOWN, best_trainings, retrain_note, scored_note, search_note, trained_note
from nasrec_automl.report.retrain_figures import retrain_curves, settings_figure
from nasrec_automl.report.search_figures import cost_figures, search_history
from nasrec_automl.report.style import COSTS, titled
from nasrec_automl.report.summary import best_first, pareto_front
from nasrec_automl.report.wiring_figure import wiring_figure
from nasrec_automl.search.attributes import DASHBOARD
from nasrec_automl.search.database import database_errors, shown_url
from nasrec_automl.search.ledger import handle
from nasrec_automl.search.loop import reason_of

_logger = logging.getLogger(__name__)

_Figures = Mapping[str, tuple[str, go.Figure]]
"""Figure and title by name."""


def dashboard_command(run: RunFolder) -> str:
    """The command that opens a run's studies, with the password of the database hidden.

    Not on the default port, 8080: NNI's page is there, also when its experiment has ended.
    """
    url, artifacts = shown_url(run.job.storage_url), str(run.artifacts)
    return f"optuna-dashboard {shlex.quote(url)} --artifact-dir {shlex.quote(artifacts)} --port 8081"


def publish(run: RunFolder, fill: Callable[[], ReportContent]) -> None:
    """Write notes, figures and artifacts of a run's studies; what was written before is replaced.

    Stages do so as they end. The studies are complete without it: whatever goes wrong is a warning. A note
    that a user has edited stays as it is.

    Args:
        run: whose search has begun.
        fill: gives what there is to show.
    """
    try:
        with run.lock("dashboard"), database_errors(run.job.storage_url):
            _publish(run, fill())
    except InUseError:
        pass  # another worker of the same stage writes the same
    except Exception as error:  # a figure that cannot be drawn must not keep the stage from ending
        _logger.warning(
            "%s: notes and figures for Optuna's dashboard were not written (%s); `nasrec-automl report` writes "
            "them again once the run has a result",
            run.path,
            reason_of(error),
        )


def _publish(run: RunFolder, content: ReportContent) -> None:
    run.artifacts.mkdir(exist_ok=True)
    _publish_search(_Page(search_study_name(run), run), content)
    if content.retrain:
        _publish_retrain(_Page(retrain_study_name(run), run), content)


def _publish_search(page: _Page, content: ReportContent) -> None:
    winner, costs = content.winner_name if content.results else "", content.objectives[1:]
    figures: dict[str, tuple[str, go.Figure]] = {
        "history": ("Search history", search_history(content.search, winner)),
        **{
            name: (f"Score against {COSTS[name]}", figure)
            for name, figure in cost_figures(content.search, winner, costs).items()
        },
        "frequencies": ("Operators and widths: best decile against the others", frequencies(content.search)),
    }
    page.note(search_note(content, page.study.study_name))
    front = pareto_front(content.search, costs) if costs else []
    best = [each for each in best_first(content.search, costs)[:SHOWN] if each.architecture is not None]
    page.note_trials(
        {
            each.number: scored_note(rank, each, page.picture(each.architecture), on_front=each in front)
            for rank, each in enumerate(best, 1)
            if each.architecture is not None
        }
    )
    page.draw({**figures, **_common(content)})


def _publish_retrain(page: _Page, content: ReportContent) -> None:
    scores = {each.name: each for each in content.search}
    known, data = candidates(page.run), PreparedData.open(page.run.data)
    page.note(retrain_note(content, page.study.study_name))
    notes = {}
    for rank, trial in enumerate(best_trainings(content.retrain)[:SHOWN], 1):
        architecture = known[trial.architecture].architecture
        cost = trained_profile(page.run.job, data, architecture, trial.hyper)
        notes[trial.number] = trained_note(
            rank,
            trial,
            architecture,
            {MACS: cost.macs, PARAMETERS: cost.parameters},
            scores.get(trial.architecture),
            page.picture(architecture),
        )
    page.note_trials(notes)
    page.draw(
        {
            "settings": ("Log loss against each setting", settings_figure(content.retrain)),
            "curves": ("Validation log loss while training", retrain_curves(content.retrain)),
            **_common(content),
        }
    )
    if content.results:
        for name in (WEIGHTS_FILE, ARCHITECTURE_FILE, PREPROCESSING_FILE):
            if (file := page.run.best / name).is_file():  # who serves the model may have moved it
                page.attach(file)


def _common(content: ReportContent) -> _Figures:
    """What both studies show."""
    kind = "chosen" if content.results else "best so far"
    return {
        "agreement": (
            "Score against log loss from scratch",
            score_against_retrained(content.search, content.retrain),
        ),
        "wiring": (f"The architecture {kind}: {content.winner_name}", wiring_figure(content.winner)),
    }


class _Page:
    """What the dashboard shows of one study.

    Args:
        name: of the study.
        run: whose study it is.
    """

    def __init__(self, name: str, run: RunFolder) -> None:
        # An object of its own: the run's has a sampler, which a `Trial` would call.
        self.run = run
        self.study = optuna.load_study(
            study_name=name, storage=study_storage(run.job.storage_url), sampler=optuna.samplers.RandomSampler()
        )
        self._store = FileSystemArtifactStore(run.artifacts)

    def note(self, body: str) -> None:
        """Write the study's note."""
        _write_note(self.study, body)

    def note_trials(self, notes: Mapping[int, str]) -> None:
        """Write notes of trials by number; every other note of ours is cleared.

        Notes belong to ids of the database. A study that was copied into another has those of its old ids.
        """
        storage = study_storage(self.run.job.storage_url)
        study_id = storage.get_study_id_from_name(self.study.study_name)
        noted = {storage.get_trial_id_from_study_id_trial_number(study_id, number): number for number in notes}
        attrs = storage.get_study_system_attrs(study_id)
        for trial_id, parts in _parts_of_notes(attrs).items():
            if trial_id not in noted and _is_ours("".join(attrs[name] for name in parts)):
                version = f"dashboard:{trial_id}:note_ver"
                storage.set_study_system_attr(study_id, version, attrs.get(version, 0) + 1)
                for name in parts:
                    storage.set_study_system_attr(study_id, name, "")
        for trial_id, number in noted.items():
            _write_note(handle(self.study, trial_id), notes[number])

    def draw(self, figures: _Figures) -> None:
        """Save figures under names that stay."""
        from optuna_dashboard import save_plotly_graph_object

        for name, (title, figure) in figures.items():
            save_plotly_graph_object(self.study, titled(figure, title), graph_object_id=f"nasrec-{name}")

    def picture(self, architecture: Architecture) -> str:
        """Attach the wiring of an architecture; its URL, relative to the dashboard.

        It is named by the architecture: a note that a user has edited keeps its picture, whatever is best later.
        """
        from optuna_dashboard.artifact import get_artifact_path

        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{architecture.key}.svg"
            path.write_text(wiring_svg(architecture, paper=True), encoding="utf-8")
            return str(get_artifact_path(self.study, self.attach(path)))

    def attach(self, path: Path) -> str:
        """Make a file an artifact of the study, or its new content that of the artifact of this name; its id."""
        written = self._written()
        known = written["artifacts"].get(path.name)
        if known is not None and self._holds(known):
            with path.open("rb") as file:
                self._store.write(known, file)
            return str(known)
        new = upload_artifact(artifact_store=self._store, file_path=str(path), study_or_trial=self.study)
        self._write({**written, "artifacts": {**written["artifacts"], path.name: new}})
        return new

    def _holds(self, artifact: str) -> bool:
        """Whether an artifact is there: the dashboard's user may have deleted it."""
        try:
            self._store.open_reader(artifact).close()
        except ArtifactNotFound:
            return False
        return True

    def _written(self) -> dict[str, Any]:
        return {"artifacts": {}, **self.study.user_attrs.get(DASHBOARD, {})}

    def _write(self, written: dict[str, Any]) -> None:
        self.study.set_user_attr(DASHBOARD, written)


def _write_note(place: optuna.Study | optuna.Trial, body: str) -> None:
    """Write a note over one of ours, or where there is none."""
    from optuna_dashboard import get_note, save_note

    before, text = get_note(place), _signed(body)
    if before != text and (not before or _is_ours(before)):
        save_note(place, text)


# The dashboard's own names of what it keeps: it has no function that finds notes of trials that are not there.
_PART = re.compile(r"dashboard:(\d+):note_str:\d+")


def _parts_of_notes(attrs: Mapping[str, Any]) -> dict[int, list[str]]:
    """The system attributes of a study that hold trials' notes, in their order, by the trials' ids."""
    found: dict[int, list[str]] = {}
    for name in attrs:
        if match := _PART.fullmatch(name):
            found.setdefault(int(match[1]), []).append(name)
    return {trial_id: sorted(names, key=lambda name: int(name.rpartition(":")[2])) for trial_id, names in found.items()}


_SIGNATURE = "*Written by nasrec_automl, and replaced as the run goes on; one that you edit stays as it is. "


def _signed(body: str) -> str:
    """A note with the hash that tells whether it was edited."""
    return f"{body}\n\n{_SIGNATURE}{digest(body)}*"


def _is_ours(note: str) -> bool:
    body, signature, found = note.rpartition(f"\n\n{_SIGNATURE}")
    return bool(signature) and found.strip() == f"{digest(body)}*"
