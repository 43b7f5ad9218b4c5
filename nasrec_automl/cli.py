"""The command line, and the only place that parses arguments.

Heavy imports stay inside the commands, so that `--help` and a wrong argument answer at once.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from nasrec_automl import __version__
from nasrec_automl.errors import JobError, NasRecError

if TYPE_CHECKING:
    from nasrec_automl.pipeline.run_folder import RunFolder

BAD_INPUT = 2
"""Exit code of an error that the user can mend."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error that the user can mend is one sentence and exit code 2."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except NasRecError as error:
        _say(str(error))
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped; the same command goes on from here.")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        _say(f"{error.filename or 'the disk'}: no space left; free some and start again: what has finished is kept")
        sys.exit(BAD_INPUT)


def _say(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"nasrec-automl: {sentence}", style="red", markup=False, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nasrec-automl",
        description="Architecture search for click-through-rate models.",
        epilog="example: nasrec-automl run examples/quickstart/job.yaml",
    )
    parser.add_argument("--version", action="version", version=f"nasrec-automl {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    prepare = _command(
        commands,
        "prepare",
        _prepare,
        "turn raw files into a prepared data set",
        "nasrec-automl prepare movielens --input ml-100k --output prepared/ml-100k",
    )
    prepare.add_argument("source", help="criteo, avazu, kdd12, table, movielens or synthetic")
    prepare.add_argument(
        "--input",
        type=Path,
        nargs="*",
        default=[],
        help="raw files, folders or globs; MovieLens is fetched without it",
    )
    prepare.add_argument("--output", type=Path, required=True, help="folder to write")
    prepare.add_argument(
        "--schema", type=Path, help="what the columns of a table are (see `nasrec-automl schema infer`)"
    )
    prepare.add_argument(
        "--max-rejected",
        type=_share,
        default=0.001,
        metavar="SHARE",
        help="share of the rows that may be bad; they are kept in OUTPUT.rejected.tsv (default: 0.001)",
    )
    prepare.add_argument(
        "--split", choices=("random", "time"), default="random", help="how rows are divided (default: random)"
    )
    prepare.add_argument("--seed", type=_seed, default=2018, help="seed of the split (default: 2018)")
    prepare.add_argument(
        "--hash-above",
        type=int,
        metavar="ROWS",
        help="rows of the largest embedding table; fields with more categories are hashed into so many",
    )
    prepare.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the source, such as rows=50000",
    )

    schema = commands.add_parser("schema", help="draft a table's schema", description="Draft a table's schema.")
    infer = _command(
        schema.add_subparsers(metavar="COMMAND", required=True),
        "infer",
        _schema_infer,
        "look at a file's first rows and draft the schema of such files, to be checked by you",
        "nasrec-automl schema infer clicks.csv --output schema.yaml",
    )
    infer.add_argument("file", type=Path, help="CSV, TSV or Parquet")
    infer.add_argument("--output", type=Path, help="file to write (default: print it)")

    run = _command(
        commands,
        "run",
        _run,
        "run every stage of a job in this process",
        "nasrec-automl run examples/quickstart/job.yaml",
    )
    run.add_argument("job", type=Path, help="the job file")

    tune = _command(
        commands,
        "tune-supernet",
        _tune,
        "compare settings of the supernet's training by how well its scores rank architectures",
        "nasrec-automl tune-supernet examples/quickstart/job.yaml",
    )
    tune.add_argument("job", type=Path, help="the job file; its sections tune, supernet, search.head and retrain count")

    worker = _command(
        commands,
        "worker",
        _worker,
        "join the search and the retraining of a run, beside other processes",
        "nasrec-automl worker runs/quickstart --count 50",
    )
    worker.add_argument("run_or_job", type=Path, metavar="RUN", help="the run folder, or the job file")
    worker.add_argument(
        "--count", type=_count, help="architectures and trainings to finish at most (default: until nothing is left)"
    )

    experiment = _command(
        commands,
        "experiment",
        _experiment,
        "write the NNI experiment of a job, for `nnictl create`",
        "nasrec-automl experiment job.yaml --output experiment.yml",
    )
    experiment.add_argument("job", type=Path, help="the job file")
    experiment.add_argument("--output", type=Path, help="file to write (default: experiment.yml beside the job)")

    demo = _command(
        commands,
        "demo",
        _demo,
        "run an experiment through `nnictl create` and show its progress and result",
        "nasrec-automl demo examples/quickstart/experiment.yml",
    )
    demo.add_argument("experiment", type=Path, help="an experiment file that `nasrec-automl experiment` wrote")
    demo.add_argument("--port", type=int, help="port of NNI's web page (default: the job's, or a free one)")

    status = _command(
        commands,
        "status",
        _status,
        "say what a run does, waits for, and has done",
        "nasrec-automl status runs/quickstart",
    )
    status.add_argument("folder", type=Path, help="the run folder")

    report = _command(
        commands,
        "report",
        _report,
        "write the report of a finished run again",
        "nasrec-automl report runs/quickstart",
    )
    report.add_argument("folder", type=Path, help="the run folder")

    retrain = _command(
        commands,
        "retrain",
        _retrain,
        "train one architecture of a run from scratch, such as a point of the Pareto front",
        "nasrec-automl retrain runs/quickstart 3f2a",
    )
    retrain.add_argument("folder", type=Path, help="the run folder")
    retrain.add_argument("name", help="a key of the search or its beginning, a hand design, a published architecture")
    retrain.add_argument("--output", type=Path, help="folder of the model (default: RUN/models/NAME)")

    predict = _command(
        commands,
        "predict",
        _predict,
        "predict a file of raw rows with a trained model",
        "nasrec-automl predict --model runs/quickstart/best --input rows.csv --output probabilities.csv",
    )
    predict.add_argument("--model", type=Path, required=True, help="folder of the model, such as runs/NAME/best")
    predict.add_argument("--input", type=Path, required=True, help="CSV, TSV or Parquet with the raw columns")
    predict.add_argument("--output", type=Path, required=True, help="CSV to write, one probability a row")

    export = _command(
        commands,
        "export",
        _export,
        "write the final model of a run, or one trained by name, for onnxruntime or torch.export",
        "nasrec-automl export runs/quickstart --output model.onnx",
    )
    export.add_argument("folder", type=Path, help="the run folder, or a model's, such as runs/NAME/models/KEY")
    export.add_argument("--format", choices=("onnx", "torch"), default="onnx", help="what to write (default: onnx)")
    export.add_argument(
        "--output",
        type=Path,
        help="file to write (default: model.onnx or model.pt2 in RUN/export or in the model's folder)",
    )

    space = commands.add_parser("space", help="look at search spaces", description="Look at search spaces.")
    show = _command(
        space.add_subparsers(metavar="COMMAND", required=True),
        "show",
        _space_show,
        "show what a search space chooses",
        "nasrec-automl space show nasrec-full",
    )
    show.add_argument("name", help="name of a space, or path of its YAML file")
    show.add_argument("--nni", action="store_true", help="print it in NNI's JSON form instead, for `searchSpaceFile`")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    what: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _prepare(arguments: argparse.Namespace) -> None:
    from nasrec_automl.data.dataset import Part, prepare
    from nasrec_automl.data.rejections import Rejections
    from nasrec_automl.data.sources import read_source
    from nasrec_automl.data.writing import check_output

    console = Console()
    output = arguments.output
    check_output(output)  # before minutes of reading
    rejections = Rejections(arguments.max_rejected, output.with_name(f"{output.name}.rejected.tsv"))
    with console.status(f"Preparing {arguments.source} ..."):
        raw = read_source(
            arguments.source,
            arguments.input,
            downloads=output.parent / "downloads",
            schema=arguments.schema,
            rejections=rejections,
            **dict(_option(text) for text in arguments.option),
        ).with_tables(hash_above=arguments.hash_above)
        data = prepare(raw, output, split=arguments.split, seed=arguments.seed)
    if summary := rejections.summary():
        console.print(summary, soft_wrap=True, highlight=False, markup=False)
    parts = ", ".join(f"{part.value} {data.rows(part):,}" for part in Part)
    console.print(f"{output}: {data.name} ({parts})", soft_wrap=True, highlight=False)


def _schema_infer(arguments: argparse.Namespace) -> None:
    from nasrec_automl.data.files import write_text
    from nasrec_automl.data.infer import infer_schema

    text = infer_schema(arguments.file)
    if arguments.output is None:
        sys.stdout.write(text)
        return
    if arguments.output.exists():
        raise JobError(f"{arguments.output}: already there, so it stays: choose another name")
    write_text(arguments.output, text)
    Console().print(f"{arguments.output}: a draft; look at each role", soft_wrap=True, highlight=False)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, but it is {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, but it is {text!r}")
    return share


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, but it is {text!r}")
    return int(text)


def _option(text: str) -> tuple[str, int | float | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise JobError(f"--option {text}: expected NAME=VALUE, such as rows=50000")
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def _run(arguments: argparse.Namespace) -> None:
    from nasrec_automl.config import load_job
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.view import live_view

    run = RunFolder(load_job(arguments.job))
    console = Console()
    with live_view(run, console):
        from nasrec_automl.pipeline.stages import run_job

        _quiet_optuna()
        run_job(run)
    _print_result(run, console)


def _tune(arguments: argparse.Namespace) -> None:
    from nasrec_automl.config import load_job
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.tune import tune_supernet
    from nasrec_automl.pipeline.view import tune_table

    run = RunFolder(load_job(arguments.job))
    _quiet_optuna()
    console = Console()
    with console.status("Training architectures from scratch, then supernets ..."):
        tune_supernet(run)
    console.print(tune_table(run))


def _worker(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.worker import open_run, share_work

    # A worker that a cluster stops gives its trial back, as after Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    _quiet_optuna()
    run = open_run(arguments.run_or_job)
    console = Console()
    shared = share_work(
        run,
        count=arguments.count,
        on_wait=lambda what: console.print(f"{run.path}: waits for {what}", soft_wrap=True, highlight=False),
    )
    console.print(
        f"{run.path}: scored {shared.architectures:,} architectures, finished {shared.trainings:,} trainings",
        soft_wrap=True,
        highlight=False,
    )


def _print_result(run: RunFolder, console: Console) -> None:
    from nasrec_automl.pipeline.dashboard import dashboard_command
    from nasrec_automl.pipeline.view import result_table

    console.print()
    console.print(result_table(run))
    console.print(f"\nReport:             {run.report}", soft_wrap=True, highlight=False)
    console.print(f"Model:              {run.best}", soft_wrap=True, highlight=False)
    console.print(f"Optuna's dashboard: {dashboard_command(run)}", soft_wrap=True, highlight=False)


def _quiet_optuna() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _experiment(arguments: argparse.Namespace) -> None:
    from nasrec_automl.experiment.spec import write_experiment

    output = arguments.output or arguments.job.with_name("experiment.yml")
    write_experiment(arguments.job, output)
    Console().print(f"{output}: start it with `nnictl create --config {output}`", soft_wrap=True, highlight=False)


def _demo(arguments: argparse.Namespace) -> None:
    from nasrec_automl.experiment.launch import launch, run_of
    from nasrec_automl.experiment.note import ExperimentNote
    from nasrec_automl.pipeline.view import live_view

    # A closed terminal or a `kill` stops the experiment too, as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    run = run_of(arguments.experiment)
    console = Console()
    if _is_finished(run):
        note = ExperimentNote.read(run)
        experiment = note.id if note else None
    else:
        with live_view(run, console):
            experiment = launch(arguments.experiment, port=arguments.port or run.job.experiment.port)
    _print_result(run, console)
    if experiment is not None:
        console.print(f"NNI's page:         nnictl view {experiment} --port 8080", soft_wrap=True, highlight=False)


def _is_finished(run: RunFolder) -> bool:
    """Whether nothing is left of a run; its settings are compared with the job's."""
    if not run.result.is_file():
        return False
    from nasrec_automl.pipeline.stages import next_stage

    _quiet_optuna()
    return next_stage(run) is None


def _status(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.run_folder import RunFolder
    from nasrec_automl.pipeline.view import stage_table

    Console().print(stage_table(RunFolder.open(arguments.folder)))


def _report(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.report import write_run_report
    from nasrec_automl.pipeline.run_folder import RunFolder

    _quiet_optuna()
    path = write_run_report(RunFolder.open(arguments.folder))
    Console().print(str(path), soft_wrap=True, highlight=False)


def _retrain(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.named import retrain_named
    from nasrec_automl.pipeline.run_folder import RunFolder

    _quiet_optuna()
    console = Console()
    with console.status(f"Training {arguments.name} ...") as status:
        trained = retrain_named(
            RunFolder.open(arguments.folder),
            arguments.name,
            arguments.output,
            on_validation=lambda step, metrics: status.update(f"step {step:,}: log loss {metrics.log_loss:.4f} ..."),
        )
    for line in trained.lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _predict(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.predict import load_model, predict_file

    console = Console()
    model = load_model(arguments.model)
    with console.status("Predicting ...") as status:
        rows = predict_file(
            model, arguments.input, arguments.output, on_rows=lambda done: status.update(f"{done:,} rows ...")
        )
    console.print(f"{arguments.output}: {rows:,} rows", soft_wrap=True, highlight=False)


def _export(arguments: argparse.Namespace) -> None:
    from nasrec_automl.export import preprocessing_path
    from nasrec_automl.pipeline.export import export_model, export_run
    from nasrec_automl.pipeline.run_folder import RunFolder

    console = Console()
    with console.status("Exporting ..."):
        if (arguments.folder / "model.safetensors").is_file():
            path = export_model(arguments.folder, arguments.format, arguments.output)
        else:
            path = export_run(RunFolder.open(arguments.folder), arguments.format, arguments.output)
    load = "onnxruntime.InferenceSession({})" if arguments.format == "onnx" else "torch.export.load({}).module()"
    for line in (
        f"{path}: dense and ids in, probability and logit out; load it with `{load.format(repr(str(path)))}`",
        f"{preprocessing_path(path)}: makes dense and ids of raw rows; load it with `Preprocessing.load`",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _space_show(arguments: argparse.Namespace) -> None:
    from nasrec_automl.pipeline.view import space_table
    from nasrec_automl.space import load_search_space

    space = load_search_space(arguments.name)
    if arguments.nni:
        print(space.to_nni_json(), end="")
    else:
        Console().print(space_table(space))
