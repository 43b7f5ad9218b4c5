"""What the command line's commands do with their arguments.

Heavy imports stay inside the commands, so that `--help` and a wrong argument answer at once.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from nasrec_automl.errors import JobError, NasRecError

if TYPE_CHECKING:
    from nasrec_automl.data.preparation import OnProgress
    from nasrec_automl.pipeline.run_folder import RunFolder

PAGES = (".html", ".htm")
"""Endings of the names of pages."""


def prepare(arguments: argparse.Namespace) -> None:
    """Turn raw files into a prepared data set."""
    from nasrec_automl.data.appending import append
    from nasrec_automl.data.parts import Part
    from nasrec_automl.data.preparation import DEFAULT_SEED, prepare
    from nasrec_automl.data.raw import with_tables
    from nasrec_automl.data.rejections import Rejections
    from nasrec_automl.data.sources import open_source
    from nasrec_automl.data.writing import check_new_output

    if arguments.append:
        for name in ("split", "seed", "hash_above"):
            if getattr(arguments, name) is not None:
                raise JobError(
                    f"--{name.replace('_', '-')} does not go with --append: rows are added with the tables "
                    "and the split of the folder; leave it out, or prepare all rows again"
                )
    elif (arguments.validation or arguments.test) and arguments.split != "given":
        raise JobError("files of validation and test are kept apart by the split `given` alone: add --split given")
    options, console = _options(arguments), Console()
    output = check_new_output(arguments.output, but=arguments.append)
    rejections = Rejections(arguments.max_rejected, output.with_name(f"{output.name}.rejected.tsv"))
    source = open_source(
        arguments.source,
        arguments.input,
        validation=arguments.validation,
        test=arguments.test,
        downloads=output.parent / "downloads",
        schema=arguments.schema,
        **options,
    )
    with row_bars(console) as on_progress:
        if arguments.append:
            data = append(source, arguments.append, output, rejections=rejections, on_progress=on_progress)
        else:
            data = prepare(
                with_tables(source, hash_above=arguments.hash_above),
                output,
                split=arguments.split,
                seed=DEFAULT_SEED if arguments.seed is None else arguments.seed,
                rejections=rejections,
                on_progress=on_progress,
            )
    if summary := rejections.summary():
        _say(console, summary)
    parts = ", ".join(f"{part.value} {data.rows(part):,}" for part in Part)
    _say(console, f"{arguments.output}: {data.name} ({parts})")


def schema_infer(arguments: argparse.Namespace) -> None:
    """Draft a table's schema."""
    from nasrec_automl.data.files import check_output_file, write_text
    from nasrec_automl.data.infer import infer_schema

    if arguments.output is None:
        sys.stdout.write(infer_schema(arguments.file))
        return
    if arguments.output.exists():
        raise JobError(f"{arguments.output}: already there, so it stays: choose another name")
    check_output_file(arguments.output)
    text = infer_schema(arguments.file)
    write_text(arguments.output, text)
    _say(Console(), f"{arguments.output}: a draft; look at each role")


def data_report(arguments: argparse.Namespace) -> None:
    """Write a page about a prepared data set."""
    from nasrec_automl.data.dataset import PreparedData
    from nasrec_automl.data.files import check_output_file, write_text
    from nasrec_automl.report.data_content import gather, rows_to_read
    from nasrec_automl.report.data_report import render_data_report

    data = PreparedData.open(arguments.folder)
    output = arguments.output or data.path / "report.html"
    check_output_file(output, PAGES)
    console, total = Console(), rows_to_read(data.description)
    with row_bars(console) as on_progress:
        content = gather(data, on_rows=lambda done: on_progress("reading rows", done, total))
    write_text(output, render_data_report(content))
    _say(console, str(output))


def data_verify(arguments: argparse.Namespace) -> None:
    """Compare the checksums of a prepared data set."""
    from nasrec_automl.data.dataset import PreparedData

    console = Console()
    data = PreparedData.open(arguments.folder)
    with console.status("Reading every file ..."):
        data.verify()
    rows = sum(part.rows for part in data.description.parts.values())
    _say(console, f"{data.path}: {rows:,} rows, all as they were written")


def run(arguments: argparse.Namespace) -> None:
    """Run the stages of a job."""
    run, console = _run_of(arguments), Console()
    from nasrec_automl.pipeline.stages import run_job, stages_until
    from nasrec_automl.pipeline.view import live_view

    _quiet_optuna()
    run_job(run, stages_until(arguments.until), workers=arguments.workers, view=live_view(run, console))
    if _is_finished(run):
        _print_result(run, console)
    else:
        _say(console, f"{run.path}: done up to the {arguments.until} stage; a call with a later --until goes on")


def _run_of(arguments: argparse.Namespace) -> RunFolder:
    """The run folder of a job, before anything else is imported: a wrong job is told at once."""
    from nasrec_automl.config import load_job
    from nasrec_automl.config_changes import read_changes
    from nasrec_automl.config_paths import moved
    from nasrec_automl.pipeline.files import is_run_folder
    from nasrec_automl.pipeline.run_folder import JOB_FILE, RunFolder

    changes, folder = read_changes(arguments.changes), arguments.job
    if not is_run_folder(folder):
        return RunFolder(load_job(folder, changes))
    if other := [key for key in ("name", "run_folder") if key in changes]:
        raise JobError(f"{folder}: is a run, whose {other[0]} stays: give the job file to start another one")
    return RunFolder(moved(load_job(folder / JOB_FILE, changes), folder.resolve()))


def tune(arguments: argparse.Namespace) -> None:
    """Compare settings of the supernet's training."""
    run, console = _run_of(arguments), Console()
    from nasrec_automl.pipeline.status import tune_status
    from nasrec_automl.pipeline.tune import tune_supernet
    from nasrec_automl.pipeline.view import live_view, tune_table

    _quiet_optuna()
    tune_supernet(run, view=live_view(run, console, tune_status))
    console.print(tune_table(run))


def rank(arguments: argparse.Namespace) -> None:
    """Compare scores with trainings from scratch."""
    run, console = _run_of(arguments), Console()
    from nasrec_automl.pipeline.rank import rank_scores
    from nasrec_automl.pipeline.status import rank_status
    from nasrec_automl.pipeline.view import live_view, rank_table

    _quiet_optuna()
    rank_scores(run, workers=arguments.workers, view=live_view(run, console, rank_status))
    console.print(rank_table(run))
    for path in (run.rank_report, run.rank):
        _say(console, str(path))


def worker(arguments: argparse.Namespace) -> None:
    """Join the search and the retraining of a run."""
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.worker import share_work

    _quiet_optuna()
    run = RunFolder.open(arguments.run_or_job)
    console = Console()
    shared = share_work(
        run,
        count=arguments.count,
        on_wait=lambda what: _say(console, f"{run.path}: waits for {what}"),
    )
    _say(console, f"{run.path}: scored {shared.architectures:,} architectures, finished {shared.trainings:,} trainings")


def _print_result(run: RunFolder, console: Console) -> None:
    from nasrec_automl.pipeline.dashboard import dashboard_command
    from nasrec_automl.pipeline.view import model_lines, result_table

    console.print()
    console.print(result_table(run))
    _say(console, f"\nReport:             {run.report}")
    for line in model_lines(run):
        _say(console, line)
    _say(console, f"Optuna's dashboard: {dashboard_command(run)}")


def _quiet_optuna() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def experiment(arguments: argparse.Namespace) -> None:
    """Write the NNI experiment of a job."""
    from nasrec_automl.data.files import check_output_file
    from nasrec_automl.experiment.spec import write_experiment

    output = arguments.output or arguments.job.parent / "experiment.yml"
    if arguments.output is not None:
        check_output_file(output)
    write_experiment(arguments.job, output)
    _say(Console(), f"{output}: start it with `nnictl create --config {shlex.quote(str(output))}`")


def demo(arguments: argparse.Namespace) -> None:
    """Run an experiment through `nnictl create`."""
    from nasrec_automl.experiment.launch import launch, run_of
    from nasrec_automl.experiment.note import ExperimentNote
    from nasrec_automl.pipeline.view import live_view

    run = run_of(arguments.experiment)
    console = Console()
    if _is_finished(run):
        note = ExperimentNote.read(run)
        experiment = note.id if note else None
    else:
        with live_view(run, console):
            experiment = launch(
                arguments.experiment, port=arguments.port, on_page=lambda url: _say(console, f"NNI's page: {url}")
            )
        if not _is_finished(run):
            raise NasRecError(
                f"NNI says that experiment {experiment} is done, but the run is not; start it again to go on"
            )
    _print_result(run, console)
    if experiment is not None:
        _say(console, f"NNI's page:         nnictl view {experiment} --port 8080")


def _is_finished(run: RunFolder) -> bool:
    """Whether nothing is left of a run; its settings are compared with the job's."""
    if not run.result.is_file():
        return False
    from nasrec_automl.pipeline.stages import check_stages, next_stage

    _quiet_optuna()
    check_stages(run)
    return next_stage(run) is None


def status(arguments: argparse.Namespace) -> None:
    """Say what a run does, waits for, and has done."""
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.status import earlier_result, run_status
    from nasrec_automl.pipeline.view import stage_table

    run = RunFolder.open(arguments.run_or_job)
    if arguments.json:
        print(json.dumps([status.to_plain() for status in run_status(run)], indent=2))
        return
    console = Console()
    console.print(stage_table(run))
    if line := earlier_result(run):
        _say(console, line)


def report(arguments: argparse.Namespace) -> None:
    """Write the report of a run again."""
    from nasrec_automl.pipeline.report import write_run_report
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.stages import check_stages

    _quiet_optuna()
    run = RunFolder.open(arguments.run_or_job)
    check_stages(run)
    _say(Console(), str(write_run_report(run)))


def compare(arguments: argparse.Namespace) -> None:
    """Show the results of several runs beside each other."""
    from nasrec_automl.pipeline.compare import compare_runs
    from nasrec_automl.pipeline.run_folder import RunFolder

    _quiet_optuna()
    Console().print(compare_runs([RunFolder.open(path) for path in (arguments.first, *arguments.others)]))


def retrain(arguments: argparse.Namespace) -> None:
    """Train one architecture of a search by its name."""
    from nasrec_automl.pipeline.named import prepare_for, retrain_named
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.view import live_view, told

    _quiet_optuna()
    run, console = RunFolder.open(arguments.run_or_job), Console()
    prepare_for(run, arguments.name, view=live_view(run, console))
    with told(console, f"Training {arguments.name}") as tell:
        trained = retrain_named(run, arguments.name, arguments.output, tell=tell)
    for line in trained.lines:
        _say(console, line)


def predict(arguments: argparse.Namespace) -> None:
    """Predict a file of raw rows."""
    from nasrec_automl.data.readers.unlabelled import count_rows
    from nasrec_automl.pipeline.model_folder import load_model
    from nasrec_automl.pipeline.predict import predict_file

    console = Console()
    model, total = load_model(arguments.model), count_rows(arguments.input)
    with row_bars(console) as on_progress:
        on_progress("predicting rows", 0, total)
        rows = predict_file(
            model,
            arguments.input,
            arguments.output,
            source=arguments.source,
            schema=arguments.schema,
            keep=arguments.keep,
            on_rows=lambda done: on_progress("predicting rows", done, total),
        )
    _say(console, f"{arguments.output}: {rows:,} rows")


def evaluate(arguments: argparse.Namespace) -> None:
    """Measure models on rows with labels."""
    from nasrec_automl.data.files import check_output_file, write_text
    from nasrec_automl.data.rejections import Rejections
    from nasrec_automl.data.sources import open_source
    from nasrec_automl.pipeline.evaluate import evaluate, evaluation_table
    from nasrec_automl.pipeline.files import write_json
    from nasrec_automl.pipeline.model_folder import load_model
    from nasrec_automl.pipeline.predict import TABLES
    from nasrec_automl.report.evaluation_page import render_evaluation

    for output in arguments.output:
        check_output_file(output, PAGES if output.suffix.lower() in PAGES else (".json",))
    console, rejections = Console(), Rejections(arguments.max_rejected)
    defaults = TABLES if arguments.source == "table" else None
    source = open_source(
        arguments.source,
        arguments.input,
        schema=arguments.schema,
        defaults=defaults,
        measured=True,
        group=arguments.group,
        **_options(arguments),
    )
    models = {str(folder): load_model(folder) for folder in arguments.model}
    given = {str(file): file for file in arguments.probabilities}
    with row_bars(console) as on_progress:
        evaluations = evaluate(
            source,
            models,
            given,
            group=arguments.group,
            rejections=rejections,
            on_rows=lambda done: on_progress("evaluating rows", done, None),
        )
    if bad := rejections.bad_rows():
        _say(console, bad)
    console.print(evaluation_table(evaluations, arguments.group))
    for output in arguments.output:
        if output.suffix.lower() in PAGES:
            rows = ", ".join(map(str, arguments.input)) or source.name
            write_text(output, render_evaluation(evaluations, rows=rows, group=arguments.group))
        else:
            write_json(output, [asdict(one) for one in evaluations])
        _say(console, str(output))


def export(arguments: argparse.Namespace) -> None:
    """Write a model for onnxruntime or torch.export."""
    from nasrec_automl.export import preprocessing_path
    from nasrec_automl.pipeline.export import export_model, export_run
    from nasrec_automl.pipeline.model_folder import WEIGHTS_FILE
    from nasrec_automl.pipeline.run_folder import RunFolder

    console = Console()
    with console.status("Exporting ..."):
        if (arguments.folder / WEIGHTS_FILE).is_file():
            path = export_model(arguments.folder, arguments.format, arguments.output)
        else:
            path = export_run(RunFolder.open(arguments.folder), arguments.format, arguments.output)
    load = "onnxruntime.InferenceSession({})" if arguments.format == "onnx" else "torch.export.load({}).module()"
    for line in (
        f"{path}: dense and ids in, probability and logit out; load it with `{load.format(repr(str(path)))}`",
        f"{preprocessing_path(path)}: makes dense and ids of raw rows; load it with `Preprocessing.load`",
    ):
        _say(console, line)


def space_show(arguments: argparse.Namespace) -> None:
    """Show what a search space chooses."""
    from nasrec_automl.pipeline.view import space_table
    from nasrec_automl.space import load_search_space

    space = load_search_space(arguments.name)
    if arguments.nni:
        print(space.to_nni_json(), end="")
    else:
        Console().print(space_table(space))


def _say(console: Console, line: str) -> None:
    """Print a line as it is: a name or path in it may hold what Rich would take for a style or an emoji."""
    console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)


@contextmanager
def row_bars(console: Console) -> Iterator[OnProgress]:
    """Show a bar with a rate for each task; gives what takes note of them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:

        def on_progress(task: str, done: int, total: int | None) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total, rate="")
            elapsed = bars.tasks[tasks[task]].elapsed or 0.0
            bars.update(
                tasks[task], completed=done, total=total, rate=f"{done / elapsed:,.0f} a second" if elapsed else ""
            )

        yield on_progress


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the source."""
    from nasrec_automl.config import check_option_names

    options: dict[str, Any] = dict(_option(text) for text in arguments.option)
    check_option_names(arguments.source, options)
    return options


def _option(text: str) -> tuple[str, int | float | str]:
    from nasrec_automl.config_types import whole

    name, equals, value = text.partition("=")
    if not equals:
        raise JobError(f"--option {text}: expected NAME=VALUE, such as rows=50000")
    for kind in (int, float):
        try:
            return name, kind(whole(value))
        except ValueError:
            continue
    return name, value
