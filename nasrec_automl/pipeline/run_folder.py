"""The run folder: where a job's stages leave what they make, and the only state besides the studies."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasrec_automl.config import Job, load_job
from nasrec_automl.config_paths import found_again, moved
from nasrec_automl.digest import digest
from nasrec_automl.errors import JobError, RunFolderError
from nasrec_automl.pipeline.files import read_json, write_json, write_text
from nasrec_automl.pipeline.locks import LockedFolder

DATA_FINGERPRINT = "fingerprint of the prepared data"
"""Among a stage's settings: which rows it was started with."""

BEGAN_IN = "run_folder"
"""Among the data stage's settings: where the run folder was then."""

JOB_FILE = "job.json"
"""In a run folder, the job that its stages were started with."""


@dataclass(frozen=True)
class RunFolder(LockedFolder):
    """Paths of one job's run folder, and the settings that its stages were started with.

    Attributes:
        job: the job; its `run_folder` is the path.
    """

    job: Job

    def __repr__(self) -> str:
        """The path alone: a job may hold a password."""
        return f"RunFolder({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self.job.run_folder

    @property
    def data(self) -> Path:
        """Prepared data: the folder's own, or the one that the job names."""
        return self.job.data.prepared or self.path / "data"

    @property
    def input_files(self) -> Path:
        """Size and time of the files that the data were prepared of; there once reading them has begun."""
        return self.path / "input-files.json"

    @property
    def supernet(self) -> Path:
        """Checkpoint, weights and curve of the supernet."""
        return self.path / "supernet"

    @property
    def weights(self) -> Path:
        """Weights of the trained supernet; there when its stage is done."""
        return self.supernet / "weights.safetensors"

    @property
    def curve(self) -> Path:
        """Validations of the supernet's training, a point each; there once there is one."""
        return self.supernet / "curve.json"

    @property
    def top(self) -> Path:
        """What the search hands on, with the name of the study that trains it; there when its stage is done."""
        return self.path / "search" / "top.json"

    @property
    def verdict(self) -> Path:
        """How far the search's scores can be trusted; there once they were checked."""
        return self.path / "search" / "verdict.json"

    @property
    def checked_teachers(self) -> Path:
        """Which of the architectures that were trained to check the scores may teach; there once that was done."""
        return self.path / "search" / "teachers.json"

    @property
    def retrained(self) -> Path:
        """Subnets of the retrain study and of teachers, and checkpoints of their trainings."""
        return self.path / "retrain"

    @property
    def retrain_done(self) -> Path:
        """Which study the retrain stage ended, and with how many trainings."""
        return self.retrained / "finished.json"

    @property
    def final_trainings(self) -> Path:
        """What the final stage's trainings leave to go on with; gone when it is done."""
        return self.path / "final"

    @property
    def best(self) -> Path:
        """The winner: architecture, weights, preprocessing."""
        return self.path / "best"

    @property
    def models(self) -> Path:
        """Architectures that were trained by name, a folder each."""
        return self.path / "models"

    @property
    def exported(self) -> Path:
        """The winner for other programs; there when it was asked for."""
        return self.path / "export"

    @property
    def result(self) -> Path:
        """The job's result; `final` says what it is of."""
        return self.path / "result.json"

    @property
    def final(self) -> Path:
        """What the final stage chose among, and which end of the retrain stage its result is of.

        There while `best` holds the model that the result is of.
        """
        return self.path / "final.json"

    @property
    def test_readings(self) -> Path:
        """How often the rows of test were read; written before each reading."""
        return self.path / "test-readings.json"

    @property
    def report(self) -> Path:
        """The report; there when its stage is done."""
        return self.path / "report.html"

    @property
    def reported(self) -> Path:
        """Digest of what the report is of."""
        return self.path / "progress" / "report.digest"

    @property
    def rank(self) -> Path:
        """What `rank` found; there once it has."""
        return self.path / "rank.json"

    @property
    def rank_report(self) -> Path:
        """The same as a page."""
        return self.path / "rank.html"

    @property
    def artifacts(self) -> Path:
        """Files that Optuna's dashboard shows: `optuna-dashboard --artifact-dir`."""
        return self.path / "artifacts"

    def latency(self, key: str) -> Path:
        """How long the subnet of an architecture takes on the job's device for a batch of the budget's size."""
        job = self.job
        norm = "layer-norm" if job.retrain.may_layer_norm else "no-layer-norm"
        model = f"{job.device}-{job.budget.batch_size}-{job.embedding_dim}-{norm}"
        return self.path / "latency" / model / f"{key}.json"

    @property
    def noted_budget(self) -> dict[str, Any]:
        """The budget as the run's files note it, a latency's with what that is measured on; empty without a limit."""
        config = self.job.budget
        timed = {} if config.latency_ms is None else {"batch_size": config.batch_size, "device": self.job.device}
        return {**config.limits, **timed}

    @property
    def status_command(self) -> str:
        """What says how far the run is."""
        return f"nasrec-automl status {shlex.quote(str(self.path))}"

    def progress(self, stage: str) -> Path:
        """What a stage says of its progress."""
        return self.path / "progress" / f"{stage}.json"

    def failure(self, stage: str) -> Path:
        """The error that ended a stage, in words, until a process begins with it again."""
        return self.path / "progress" / f"{stage}.error"

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Open the run of a folder that `nasrec-automl run` made, or of a job file.

        Raises:
            RunFolderError: it is neither.
            JobError: the job file is not as it should be.
        """
        path = Path(path).resolve()
        if path.is_file():
            return cls(load_job(path))
        text = path / JOB_FILE
        if not text.is_file():
            raise RunFolderError(
                f"{path}: not a run folder; expected one that `nasrec-automl run JOB` made, or a job file"
            )
        try:
            job = Job.model_validate_json(text.read_text(encoding="utf-8"))
        except ValueError:
            raise RunFolderError(
                f"{text}: not the job of this version; run `nasrec-automl run JOB` with the job file again"
            ) from None
        return cls(moved(job, path))

    def create(self) -> None:
        """Make the folder, and note the job in it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from None
        content = self.job.model_dump_json(indent=2, by_alias=True, exclude={"search": self.job.search.derived})
        write_text(self.path / JOB_FILE, content + "\n")

    def settings_digest(self, stage: str, otherwise: dict[str, Any] | None = None) -> str:
        """Hash of the settings that a stage was started with; equal ones give equal outcomes, whatever the job's name.

        Args:
            stage: its name.
            otherwise: settings to take where it was not started yet.
        """
        noted = self.noted(stage)
        settings = otherwise if noted is None else noted
        if settings is not None:
            settings = {key: value for key, value in settings.items() if key != "name"}
        return digest(json.dumps(settings, sort_keys=True, default=str), 16)

    def disclaim(self, stage: str) -> None:
        """Forget a stage's settings: it failed before it left anything."""
        self._settings_file(stage).unlink(missing_ok=True)

    def started(self, stage: str) -> bool:
        """Whether the settings of a stage are noted."""
        return self.noted(stage) is not None

    def noted(self, stage: str) -> dict[str, Any] | None:
        """The settings that a stage was started with, if it was."""
        settings: dict[str, Any] | None = read_json(self._settings_file(stage))
        return settings

    def held_paths(self, stage: str, name: str, paths: Any) -> Any:
        """A path among a stage's settings, or a list of paths: as the stage noted it, if it is the same.

        A project may be moved as a whole, or be mounted elsewhere. What is noted is where a file was when the run
        began, as seen from the run folder.
        """
        before = (self.noted(stage) or {}).get(name)
        if paths is None or paths == before:
            return paths
        begun = [self._begun(path) for path in paths] if isinstance(paths, list) else self._begun(paths)
        return begun if before in (None, begun) else paths

    def found_again(self, path: str) -> str:
        """Where a file is that was noted when the run began: moved with the run folder, or where it was."""
        return str(found_again(path, self.began_in, self.path))

    @property
    def began_in(self) -> str:
        """Where the run folder was when its data stage began."""
        return str((self.noted("data") or {}).get(BEGAN_IN, self.path))

    def _settings_file(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"

    def _begun(self, path: str) -> str:
        return os.path.normpath(Path(self.began_in) / os.path.relpath(path, self.path))

    def claim(self, stage: str, section: dict[str, Any]) -> bool:
        """Note the settings of a stage at its first start, and hold it to them later.

        Returns:
            Whether this was the first start.

        Raises:
            JobError: the stage was started with other settings; the message names the first that differs.
        """
        path = self._settings_file(stage)
        before = self.noted(stage)
        section = json.loads(json.dumps(section, default=str))
        if before is None:
            write_json(path, section)
            return True
        if found := _first_difference(before, section):
            name, old, new = found
            another = f"another run_folder{' and name' if self.job.storage else ''}"
            if name == DATA_FINGERPRINT:
                raise JobError(
                    f"{self.data}: the {stage} stage in {self.path} was started with other rows; they were prepared "
                    f"again or appended to since: use {another}, or bring the earlier rows back"
                )
            raise JobError(
                f"{name}: the {stage} stage in {self.path} was started with {old!r}, but the job says {new!r}; use "
                f"{another}, or restore the setting"
            )
        return False


def _first_difference(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """The first setting that differs, as deep inside as it does, and its two values; None is as good as missing."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict | None) and isinstance(new, dict | None):
            if found := _first_difference(old or {}, new or {}):
                return f"{name}.{found[0]}", *found[1:]
        elif old != new:
            return name, old, new
    return None
