"""The command line, and the only place that parses arguments; `commands.py` says what each does with them."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from nasrec_automl import __version__, commands
from nasrec_automl.errors import NasRecError
from nasrec_automl.interrupts import no_lost_interrupts, terminate_as_interrupt

BAD_INPUT = 2
"""Exit code of an error that the user can mend."""
INTERRUPTED = 130
"""Exit code after Ctrl-C or a kill, as a shell has it."""
_Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_INFER = "nasrec-automl schema infer clicks.csv --output schema.yaml"
_REPORT_OF_DATA = "nasrec-automl data report prepared/criteo"
_SHOW = "nasrec-automl space show nasrec-full"
_GOES_ON = (commands.run, commands.retrain, commands.tune, commands.rank, commands.worker, commands.demo)
"""Commands that go on where they were stopped; the others start anew."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; an error that the user can mend is one sentence and exit code 2."""
    parsed = _parser().parse_args(arguments)
    terminate_as_interrupt()
    try:
        with no_lost_interrupts():
            parsed.run(parsed)
            sys.stdout.flush()
    except NasRecError as error:
        _say(str(error))
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        again = "goes on from here" if parsed.run in _GOES_ON else "starts anew"
        Console(stderr=True).print(f"Stopped; the same command {again}.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # `... | head` has what it wants; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _say(_in_words(error))
        sys.exit(BAD_INPUT)


def _in_words(error: OSError) -> str:
    """Return a sentence about a file that cannot be read or written; an error of anything else is raised again."""
    # Of a renaming it is the new name that the user knows.
    name = error.filename if error.filename2 is None else error.filename2
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name or 'the disk'}: no space left; free some and start again: what has finished is kept"
    if not isinstance(name, str | Path):
        raise error
    reason = error.strerror or type(error).__name__
    return f"{name}: {reason[:1].lower()}{reason[1:]}; look at the path and its permissions, and start again"


def _say(sentence: str) -> None:
    console = Console(stderr=True, soft_wrap=True, emoji=False)
    console.print(f"nasrec-automl: {sentence}", style="red", markup=False, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nasrec-automl",
        description="Architecture search for click-through-rate models.",
        epilog="example: nasrec-automl run examples/quickstart/job.yaml",
    )
    parser.add_argument("--version", action="version", version=f"nasrec-automl {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_prepare, _add_data, _add_runs, _add_models, _add_space):
        add(subparsers)
    return parser


def _add_prepare(subparsers: _Subparsers) -> None:
    """What makes data."""
    prepare = _command(
        subparsers,
        "prepare",
        commands.prepare,
        "turn raw files into a prepared data set",
        "nasrec-automl prepare movielens --input ml-100k --output prepared/ml-100k",
    )
    prepare.add_argument("source", help="criteo, avazu, kdd12, table, movielens, flights or synthetic")
    prepare.add_argument(
        "--input",
        type=Path,
        nargs="*",
        action="extend",
        default=[],
        help="raw files, folders or globs; MovieLens and flights are fetched without it",
    )
    for fold in ("validation", "test"):
        prepare.add_argument(
            f"--{fold}",
            type=Path,
            nargs="*",
            action="extend",
            default=[],
            help=f"files of the {fold} rows, for --split given; --input is then training alone",
        )
    prepare.add_argument(
        "--append",
        type=Path,
        metavar="DIR",
        help="start from the prepared folder DIR, with its rows, tables and split; OUTPUT may be DIR itself",
    )
    prepare.add_argument(
        "--output",
        type=Path,
        required=True,
        help="folder to write; one that holds prepared data already is refused, unless it is that of --append",
    )
    prepare.add_argument(
        "--schema", type=Path, help="what the columns of a table are (see `nasrec-automl schema infer`)"
    )
    _of_source(prepare, "; they are kept in OUTPUT.rejected.tsv")
    prepare.add_argument(
        "--split",
        choices=("random", "time", "given"),
        help="how rows are divided (default: given where the schema names a column `split`, else random)",
    )
    prepare.add_argument("--seed", type=_from(0), help="seed of the split (default: 2018)")
    prepare.add_argument(
        "--hash-above",
        type=_from(2),
        metavar="ROWS",
        help="rows of the largest embedding table; fields with more categories are hashed into so many",
    )


def _add_data(subparsers: _Subparsers) -> None:
    """What looks at raw and at prepared data."""
    infer = _command(
        _group(subparsers, "schema", "draft a table's schema", _INFER),
        "infer",
        commands.schema_infer,
        "look at a file's first rows and draft the schema of such files, to be checked by you",
        _INFER,
    )
    infer.add_argument("file", type=Path, help="CSV, TSV or Parquet")
    infer.add_argument("--output", type=Path, help="file to write (default: print it)")

    of_data = _group(subparsers, "data", "look at prepared data", _REPORT_OF_DATA)
    looked_at = _command(
        of_data,
        "report",
        commands.data_report,
        "write an HTML page about a prepared folder: parts, positive rates, fields, tables and their memory",
        _REPORT_OF_DATA,
    )
    looked_at.add_argument("folder", type=Path, help="the prepared folder")
    looked_at.add_argument("--output", type=Path, help="HTML file to write (default: report.html in the folder)")
    verified = _command(
        of_data,
        "verify",
        commands.data_verify,
        "read every file of a prepared folder and compare its checksum",
        "nasrec-automl data verify prepared/criteo",
    )
    verified.add_argument("folder", type=Path, help="the prepared folder")


def _add_runs(subparsers: _Subparsers) -> None:
    """What runs a job, measures it, and looks at it."""
    run = _command(
        subparsers,
        "run",
        commands.run,
        "run the stages of a job, without NNI's server",
        "nasrec-automl run examples/quickstart/job.yaml",
    )
    _job(run)
    shared = "search, retraining, and the trainings of teachers and winner"
    _workers(run, shared, "1, whose result the seed alone determines")
    run.add_argument(
        "--until",
        choices=("data", "supernet", "search", "retrain", "final", "report"),
        default="report",
        help="the last stage to run; a later call goes on after it (default: report, the last of all)",
    )

    tune = _command(
        subparsers,
        "tune-supernet",
        commands.tune,
        "compare settings of the supernet's training by how well its scores rank architectures",
        "nasrec-automl tune-supernet examples/quickstart/job.yaml",
    )
    _job(tune, "its sections tune, supernet, search.head and retrain count")

    rank = _command(
        subparsers,
        "rank",
        commands.rank,
        "measure how well the supernet's scores rank architectures, against trainings from scratch",
        "nasrec-automl rank examples/quickstart/job.yaml",
    )
    _job(rank, "a supernet that the run has trained already is used")
    _workers(rank, "the trainings", "1")

    worker = _command(
        subparsers,
        "worker",
        commands.worker,
        "join the search and the retraining of a run, beside other processes",
        "nasrec-automl worker runs/quickstart --count 50",
    )
    _run_or_job(worker)
    worker.add_argument(
        "--count",
        type=_from(1),
        help="architectures and trainings to finish at most, without those of the check and of teachers "
        "(default: until nothing is left)",
    )

    experiment = _command(
        subparsers,
        "experiment",
        commands.experiment,
        "write the NNI experiment of a job, for `nnictl create`",
        "nasrec-automl experiment job.yaml --output experiment.yml",
    )
    experiment.add_argument("job", type=Path, help="the job file")
    experiment.add_argument("--output", type=Path, help="file to write (default: experiment.yml beside the job)")

    demo = _command(
        subparsers,
        "demo",
        commands.demo,
        "run an experiment through `nnictl create` and show its progress and result",
        "nasrec-automl demo examples/quickstart/experiment.yml",
    )
    demo.add_argument("experiment", type=Path, help="an experiment file that `nasrec-automl experiment` wrote")
    demo.add_argument("--port", type=_from(1, 65535), help="port of NNI's web page (default: the job's, or a free one)")

    status = _command(
        subparsers,
        "status",
        commands.status,
        "say what a run does, waits for, and has done",
        "nasrec-automl status runs/quickstart",
    )
    _run_or_job(status)
    status.add_argument("--json", action="store_true", help="the stages as JSON, for scripts")

    report = _command(
        subparsers,
        "report",
        commands.report,
        "write the report of a finished run again",
        "nasrec-automl report runs/quickstart",
    )
    _run_or_job(report)

    compare = _command(
        subparsers,
        "compare",
        commands.compare,
        "show the results of several runs beside each other, and what their jobs do differently",
        "nasrec-automl compare runs/first runs/second",
    )
    compare.add_argument("first", type=Path, metavar="RUN", help="a run folder, or a job file")
    compare.add_argument("others", type=Path, nargs="+", metavar="RUN", help="others")


def _add_models(subparsers: _Subparsers) -> None:
    """What makes models, and uses them."""
    retrain = _command(
        subparsers,
        "retrain",
        commands.retrain,
        "train one architecture of a run from scratch, such as a point of the Pareto front",
        "nasrec-automl retrain runs/quickstart 3f2a",
    )
    _run_or_job(retrain)
    retrain.add_argument(
        "name",
        help="a key of the search or its beginning, a hand design, a published architecture, an architecture's JSON "
        "file, or a model's folder",
    )
    retrain.add_argument("--output", type=Path, help="folder of the model (default: RUN/models/NAME)")

    predict = _command(
        subparsers,
        "predict",
        commands.predict,
        "predict a file of raw rows with a trained model",
        "nasrec-automl predict --model runs/quickstart/best --input rows.csv --output probabilities.csv",
    )
    predict.add_argument("--model", type=Path, required=True, help="folder of the model, or of its run")
    predict.add_argument("--input", type=Path, required=True, help="CSV, TSV or Parquet with the raw columns")
    predict.add_argument(
        "--output",
        type=Path,
        required=True,
        help="CSV to write, one probability a row; .gz, .bz2, .xz and .zst compress it",
    )
    predict.add_argument(
        "--source", choices=("criteo",), help="format of an input without a header, with or without labels"
    )
    predict.add_argument(
        "--schema",
        type=Path,
        help="schema of the table, where it names a separator or columns of a file without a header",
    )
    predict.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="columns to write beside the probability, such as ids",
    )

    evaluate = _command(
        subparsers,
        "evaluate",
        commands.evaluate,
        "measure models on rows with labels, and compare each with the first",
        "nasrec-automl evaluate --model runs/monday/best runs/tuesday/best --input new.csv --schema schema.yaml",
    )
    evaluate.add_argument(
        "--model",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="folders of models, or of runs",
    )
    evaluate.add_argument(
        "--probabilities",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="what other models predicted for these rows, in their order: files with a column `probability`, as "
        "`predict` writes them",
    )
    evaluate.add_argument(
        "--input", type=Path, nargs="+", action="extend", default=[], help="raw files, folders or globs"
    )
    evaluate.add_argument(
        "--source",
        default="table",
        help="format of these files, as in `prepare SOURCE`, such as criteo (default: table)",
    )
    evaluate.add_argument("--schema", type=Path, help="what the columns of a table are; says which is the label")
    _of_source(evaluate)
    evaluate.add_argument(
        "--group", metavar="COLUMN", help="measure the AUC within the rows of each of its values too, such as user_id"
    )
    evaluate.add_argument(
        "--output",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="files to write as well: a page with figures (.html), or the figures as JSON",
    )

    export = _command(
        subparsers,
        "export",
        commands.export,
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


def _add_space(subparsers: _Subparsers) -> None:
    """What looks at search spaces."""
    show = _command(
        _group(subparsers, "space", "look at search spaces", _SHOW),
        "show",
        commands.space_show,
        "show what a search space chooses",
        _SHOW,
    )
    show.add_argument("name", help="name of a space, or path of its YAML file")
    show.add_argument("--nni", action="store_true", help="print it in NNI's JSON form instead, for `searchSpaceFile`")


def _group(subparsers: _Subparsers, name: str, what: str, example: str) -> _Subparsers:
    """A command that has commands of its own."""
    group = subparsers.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=f"example: {example}"
    )
    return group.add_subparsers(metavar="COMMAND", required=True)


def _command(
    subparsers: _Subparsers,
    name: str,
    run: Callable[[argparse.Namespace], None],
    what: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser


def _job(parser: argparse.ArgumentParser, what: str = "") -> None:
    words = ("the job file, or the folder of its run", what)
    parser.add_argument("job", type=Path, metavar="JOB", help="; ".join(filter(None, words)))
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="a value in place of the job file's, such as search.architectures=64; give it once for each key. Paths "
        "are relative to the job file, or to the run's folder where that is given",
    )


def _workers(parser: argparse.ArgumentParser, what: str, default: str) -> None:
    parser.add_argument(
        "--workers",
        type=_from(1),
        default=1,
        help=f"processes that share {what}, and divide the cores (default: {default})",
    )


def _run_or_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_or_job", type=Path, metavar="RUN", help="the run folder, or the job file")


def _of_source(parser: argparse.ArgumentParser, kept: str = "") -> None:
    parser.add_argument(
        "--max-rejected",
        type=_share,
        default=0.001,
        metavar="SHARE",
        help=f"share of the rows that may be bad{kept} (default: 0.001)",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the source, such as rows=50000",
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to 1, but it is {text!r}")
    return share


def _from(least: int, most: int | None = None) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            until = "on" if most is None else f"to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} {until}, but it is {text!r}")
        return int(text)

    return whole


if __name__ == "__main__":
    main()
