"""Stage `data`: raw files to the prepared form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nasrec_automl.config import DataConfig
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import is_prepared
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.raw import with_tables
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.errors import DataError, JobError
from nasrec_automl.pipeline.base import OnMetrics, Stage
from nasrec_automl.pipeline.input_files import note_input_files, open_job_source, warn_of_changed_files
from nasrec_automl.pipeline.progress import ProgressWriter
from nasrec_automl.pipeline.run_folder import BEGAN_IN, RunFolder

_PATHS = ("data.input", "data.validation", "data.test", "data.schema")


class DataStage(Stage):
    """Prepares the data that the job names, or checks those that it says are prepared."""

    name = "data"

    def units(self, run: RunFolder) -> tuple[int, int]:
        """One unit: the prepared folder."""
        return int(is_prepared(run.data)), 1

    def devices(self, run: RunFolder) -> int:
        """Those of the supernet, which comes next: preparing may take hours."""
        return run.job.devices

    def resume_mark(self, run: RunFolder) -> tuple[int]:
        """Of what the noted settings prepared: the job's own may name another folder."""
        noted = run.noted(self.name)
        if noted is None:
            return (0,)
        prepared = noted["data.source"] == "prepared" and noted["data.input"] is not None
        folder = Path(run.found_again(noted["data.input"])) if prepared else run.path / "data"
        return (int(is_prepared(folder)),)

    def settings(self, run: RunFolder) -> dict[str, Any]:
        """The data section, and what the schema file says: it may have been corrected since."""
        section = run.job.data.model_dump(mode="json", by_alias=True)
        noted = run.noted(self.name)
        settings = {f"data.{key}": value for key, value in {**section, **_schema(run.job.data, noted)}.items()}
        held = {name: run.held_paths(self.name, name, settings[name]) for name in _PATHS}
        return {**settings, **held, BEGAN_IN: run.began_in}

    def check(self, run: RunFolder) -> None:
        """Of data that are prepared, also compare the job with how they were, before anything is noted.

        Raises:
            JobError: the stage was started with other settings, or the data were prepared with others.
        """
        super().check(run)
        if run.job.data.source == "prepared" and not run.started(self.name):
            _check_prepared(run.job.data)

    def warn(self, run: RunFolder) -> None:
        """Say which input files have changed since they were read."""
        if self.is_done(run):
            warn_of_changed_files(run)

    def _run(self, run: RunFolder, count: int | None, on_metrics: OnMetrics, workers: int) -> dict[str, float]:
        config = run.job.data
        progress = ProgressWriter(run.progress(self.name), unit="data sets", total=1)
        if config.source == "prepared":
            data = _open_prepared(config)
        elif self.is_done(run):
            data = PreparedData.open(run.data)
        else:
            source = open_job_source(run)
            note_input_files(run)
            fields = {name: field.model_dump(exclude_none=True) for name, field in config.fields.items()}
            data = prepare(
                with_tables(source, hash_above=config.hash_above, fields=fields),
                run.data,
                split=config.split,
                seed=config.seed,
                rejections=Rejections(config.max_rejected, run.path / "rejected.tsv"),
                on_progress=lambda task, done, total: progress.update(0, _shown(task, done, total)),
            )
        rows = sum(part.rows for part in data.description.parts.values())
        notes = data.description.notes
        rejected = int(notes.get("rows_rejected", 0))
        left_out = f", {rejected:,} bad left out" if rejected else ""
        progress.update(1, f"{data.name}, {notes.get('completeness', f'{rows:,} rows')}{left_out}")
        return {}


def _schema(config: DataConfig, noted: dict[str, Any] | None) -> dict[str, Any]:
    """What the schema file says, or said when the data were prepared where it is there no more."""
    path = config.table_schema
    if path is None:
        return {}
    if noted is not None and not path.exists():
        return {key.removeprefix("data."): value for key, value in noted.items() if key.startswith("data.schema.")}
    # With defaults, so that what is compared with them later has a name.
    schema = load_table_schema(path, config.made_by_default)
    return {f"schema.{key}": value for key, value in schema.model_dump(mode="json").items()}


def _open_prepared(config: DataConfig) -> PreparedData:
    if config.prepared is None:
        raise DataError("data.input: a prepared data set needs the path of its folder")
    return PreparedData.open(config.prepared)


def _check_prepared(config: DataConfig) -> None:
    """Raise JobError where a job asks for what is decided when data are prepared, and for another thing than was."""
    split = _open_prepared(config).description.split
    default = DataConfig(source="prepared")
    own = default.model_copy(update={"split": split.kind, "seed": split.seed})
    for name in ("validation", "test", "max_rejected", "split", "seed", "options"):
        if getattr(config, name) not in (getattr(default, name), getattr(own, name)):
            raise JobError(
                f"data.{name}: decides how data are prepared, but those in {config.input} are prepared already (split "
                f"{split.kind}, seed {split.seed}): leave it out, or prepare them again"
            )


def _shown(task: str, done: int, total: int | None) -> str:
    return f"{task}, {done:,}" + (f" of {total:,}" if total is not None else "")
