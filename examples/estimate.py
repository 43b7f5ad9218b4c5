"""Prints what a job on a public data set or a table takes: rows, steps, bytes and hours, calculated and not measured.

    python examples/estimate.py examples/criteo/job.yaml
    python examples/estimate.py clicks.yaml --rows 20_000_000   # a table, whose job has `data.hash_above`
    python examples/estimate.py examples/criteo/job.yaml --step 20 --whole 90 --score 60   # of your own machine

The three times are milliseconds: a training step of 512 rows on a sampled path, the same on the whole supernet, and
scoring 8,192 rows. The default ones are of one run of `make bench` on two cores of an AMD EPYC, with Criteo's shapes;
the first with tables of 500,000 rows, the others of 10,000. A step of another number of rows is taken to cost in
proportion, and one of a training from scratch as much as the supernet's on a sampled path. Preparation is taken to go
at the rate of 5,000,000 rows in Criteo's format on two cores of an Intel Xeon, in proportion to the features. Its
memory is what those rows took: it grows with the categories. Validations and the steps of heads are left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Self

from nasrec_automl.config import Job, load_job
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.errors import JobError, NasRecError
from nasrec_automl.hand_designs import hand_designs
from nasrec_automl.pipeline.candidates import best_quarter
from nasrec_automl.pipeline.scratch import check_teaches, default_hyper, has_teachers
from nasrec_automl.space import load_search_space

CAP = 500_000  # rows of the largest table, as the readers of the public sets have it
TRAIN, HEAD, SEARCH, TRAIN_AND_HEAD, FINAL = 0.72, 0.08, 0.05, 0.8, 0.875  # shares of the rows
STEP_ROWS, SCORED_ROWS = 512, 8192
PREPARED_VALUES = 380_000 * 39  # a second: rows, each of 13 numbers and 26 categories
PREPARATION_MEMORY = 811e6  # bytes


@dataclass(frozen=True)
class Shape:
    """What the data are: rows, numbers as read and as prepared, fields, their id columns, rows of the largest table."""

    rows: int
    numbers: int
    dense: int
    fields: int
    columns: int
    cap: int

    @classmethod
    def of(cls, job: Job, rows: int | None) -> Self:
        """Return it for a job, of which `rows` are read; a JobError says what is missing."""
        if rows is not None and rows < 1:
            raise JobError(f"--rows: expected at least 1, but it is {rows}")
        data, not_capped = job.data, "the tables are not capped, so that only their preparation can say their size"
        if data.source in PUBLISHED_SIZES:
            size = PUBLISHED_SIZES[data.source]
            if (data.hash_above or CAP) > CAP:
                raise JobError(not_capped)
            dense = size.dense * (2 if data.defaults.dense.flag_missing else 1)
            return cls(rows or size.rows, size.dense, dense, size.fields, size.fields, data.hash_above or CAP)
        if data.source != "table" or data.table_schema is None:
            known = ", ".join(PUBLISHED_SIZES)
            raise JobError(f"the source must be one of {known}, or table with a schema, but is {data.source!r}")
        if rows is None:
            raise JobError("how many rows a table has is to be said: give --rows")
        if data.hash_above is None:
            raise JobError(f"{not_capped}: set data.hash_above")
        schema = load_table_schema(data.table_schema, data.made_by_default)
        dense = sum(1 + options.flag_missing for options in schema.dense.values())
        columns = sum(options.columns for options in schema.categorical.values())
        return cls(rows, len(schema.dense), dense, len(schema.categorical), columns, data.hash_above)


@dataclass(frozen=True)
class Times:
    """Milliseconds of a step on a sampled path, of one on the whole supernet, and of scoring a batch."""

    step: float
    whole: float
    score: float


MEASURED = {"nasrec-full": Times(118, 1508, 472), "nasrec-small": Times(83, 913, 373)}


def estimate(job: Job, shape: Shape, times: Times) -> list[tuple[str, str, str]]:
    """What is spent on what: its name, how it is calculated, and the outcome."""
    rows = shape.rows
    values = rows * (shape.numbers + shape.columns)
    dense = max(1, shape.dense)  # without a feature, a column of zeros stands in
    row_bytes = 4 * dense + 4 * shape.columns + 1
    tables = shape.fields * shape.cap * job.embedding_dim * 4
    passes = job.supernet.passes(int(rows * TRAIN))
    read = "0.72 rows" if passes == 1 else f"0.72 rows x {passes}"
    steps = int(rows * TRAIN) * passes // job.supernet.batch_size
    warm_up = round(steps * job.supernet.path_warm_up)
    whole = warm_up / 2  # the probability of the whole supernet falls from 1 to 0
    supernet = (whole * times.whole + (steps - whole) * times.step) * job.supernet.batch_size / STEP_ROWS
    head = min(job.search.head.rows, round(rows * HEAD))
    scored = min(job.search.max_rows or rows, round(rows * SEARCH))
    score = (head + scored) / SCORED_ROWS * times.score
    check = job.search.verdict
    checked, designs = best_quarter(check.architectures), len(hand_designs(load_search_space(job.space)))
    candidates = job.retrain.top_k + designs + checked
    trainings = max(job.retrain.trials, candidates)
    batch, epochs = (
        default_hyper(job, taught=has_teachers(job)).batch_size,
        job.retrain.epochs(int(rows * TRAIN_AND_HEAD)),
    )
    training = int(rows * TRAIN_AND_HEAD) * epochs // batch
    final = int(rows * FINAL) * epochs // batch
    training_step = times.step * batch / STEP_ROWS
    may_teach = min(job.retrain.teachers, check.architectures) if check_teaches(job) else 0
    again = min(job.retrain.teachers, designs + may_teach)  # the final stage's teachers
    kept = trainings + again + may_teach + (designs if job.retrain.teachers else 0)
    # Left out, here and at the end: a forward pass of every teacher over the rows.
    teachers_row = (
        "teachers",
        f"{designs} x {training:,} steps x {training_step:g} ms",
        _hours(designs * training * training_step),
    )
    check_time = check.architectures * (check.seeds * training * training_step + score)
    check_row = (
        "check of the scores",
        f"{check.architectures} scores; {check.architectures * check.seeds} x {training:,} steps x "
        f"{training_step:g} ms",
        _hours(check_time),
    )
    return [
        ("rows", "", f"{rows:,}"),
        (
            "preparation",
            f"rows x {shape.numbers + shape.columns} features / {PREPARED_VALUES / 1e6:.1f} million a second",
            f"{values / PREPARED_VALUES / 60:,.1f} min",
        ),
        (
            "memory meanwhile",
            "measured with 5 million rows; it grows with the categories that have a row of their own",
            _bytes(PREPARATION_MEMORY),
        ),
        (
            "temporary files, at most",
            f"rows x {shape.numbers + shape.columns} features x 8 bytes, beside texts of categories",
            _bytes(8 * values),
        ),
        ("prepared files, at most", f"rows x (4 x {dense} + 4 x {shape.columns} + 1) bytes", _bytes(rows * row_bytes)),
        (
            "embedding tables, at most",
            f"{shape.fields} x {shape.cap:,} rows x {job.embedding_dim} x 4 bytes",
            _bytes(tables),
        ),
        ("the same with Adagrad's sums", "x 2", _bytes(2 * tables)),
        (
            "supernet",
            f"{steps:,} steps ({read} / {job.supernet.batch_size:,}); of the first {warm_up:,} half count as whole",
            _hours(supernet),
        ),
        *([teachers_row] if job.retrain.teachers else []),
        *([check_row] if check.architectures else []),
        (
            "search",
            f"{job.search.architectures:,} x ({head:,} + {scored:,}) rows / {SCORED_ROWS:,} x {times.score:g} ms",
            _hours(job.search.architectures * score),
        ),
        (
            "retrain",
            f"{trainings} x {training:,} steps x {training_step:g} ms",
            _hours(trainings * training * training_step),
        ),
        ("subnets that retrain keeps, at most", f"{kept} x tables", _bytes(kept * tables)),
        (
            "final",
            f"{job.retrain.final_seeds + again} x {final:,} steps x {training_step:g} ms",
            _hours((job.retrain.final_seeds + again) * final * training_step),
        ),
    ]


def _bytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB"


def _hours(milliseconds: float) -> str:
    return f"{milliseconds / 3_600_000:,.1f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description="What a job on a public data set or a table takes, calculated.")
    parser.add_argument("job", help="a job file whose source is criteo, avazu, kdd12 or table")
    parser.add_argument("--rows", type=int, help="rows of the files (default: all that were published)")
    for name, what in (("step", "a training step"), ("whole", "one on the whole supernet"), ("score", "8,192 rows")):
        parser.add_argument(f"--{name}", type=float, metavar="MS", help=f"milliseconds of {what}")
    arguments = parser.parse_args()
    try:
        job = load_job(arguments.job)
        default = MEASURED.get(job.space, MEASURED["nasrec-full"])
        asked = {name: getattr(arguments, name) or getattr(default, name) for name in ("step", "whole", "score")}
        lines = estimate(job, Shape.of(job, arguments.rows), Times(**asked))
    except NasRecError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print("| calculated, not measured | how | |\n|---|---|---|")
    for line in lines:
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
