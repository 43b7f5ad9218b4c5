"""A model on files: raw columns in, probabilities out. Needs neither NNI nor Optuna."""

from __future__ import annotations

import csv
import errno
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from nasrec_automl.data.files import check_output_file, clear_left, written_beside
from nasrec_automl.data.readers.inputs import COMPRESSED, compressing
from nasrec_automl.data.readers.unlabelled import read_unlabelled
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.data.unseen import UnseenValues
from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.model_folder import Model

_PROBABILITY = "probability"
_NO_TEXT = (".parquet", ".zip")
TABLES = {"categorical": {"hash_above": 2}}
"""A hash needs a size, which a job may have set in the schema's place. The model has its tables: any will do."""
_logger = logging.getLogger(__name__)


def predict_file(
    model: Model,
    path: Path,
    output: Path,
    *,
    source: str | None = None,
    schema: Path | None = None,
    keep: Sequence[str] = (),
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Predict a file of any size, some rows at a time. Fields with no value, or hardly a known one, are logged.

    Args:
        model: the model.
        path: CSV, TSV (by their ending, also compressed) or Parquet with raw columns; further ones are left out.
        output: CSV with a column `probability`, compressed where it ends in `.gz`, `.bz2`, `.xz` or `.zst`; there whole
            or not at all.
        source: `criteo` where the file is of that format, without a header, with or without labels.
        schema: schema file of the training rows; its `separator` and `columns` (no header) are heeded.
        keep: columns of the file to write before the probability, such as ids. What stands for missing is written
            empty, number features as numbers, and times in UTC.
        on_rows: told how many rows are done.

    Returns:
        The number of rows.

    Raises:
        DataError: the file cannot be read, a column is missing, a row is bad, or the output is what is read or named
            as what is no text; the message names it.
    """
    if output.suffix.lower() in _NO_TEXT:
        raise DataError(
            f"{output}: probabilities are written as text: name a file that ends in .csv, or in .csv and one of "
            f"{', '.join(COMPRESSED)}, which compresses it"
        )
    if any(output.exists() and read.exists() and output.samefile(read) for read in (path, schema) if read is not None):
        raise DataError(f"{output}: is read, and would be replaced by its probabilities; name another file to write")
    check_output_file(output, (".csv", ".tsv", ".txt", *COMPRESSED))
    keep = list(dict.fromkeys(keep))
    if _PROBABILITY in keep:
        raise DataError(f"a column {_PROBABILITY!r} is written anyway: rename that of the file to keep it")
    several = {column.name for column in model.preprocessing.categorical if column.max_values is not None}
    if lists := [name for name in keep if name in several]:
        raise DataError(f"column {lists[0]!r} holds several values a row, which are not kept: keep other columns")
    table_schema = None if schema is None else load_table_schema(schema, TABLES)
    clear_left(output)
    rows, unseen = 0, UnseenValues(model.preprocessing.categorical)
    with written_beside(output) as beside, _opened(beside, output) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*keep, _PROBABILITY])
        for table in read_unlabelled(path, model.preprocessing.declared, source=source, schema=table_schema, keep=keep):
            probabilities = (f"{probability:.9g}" for probability in model.probabilities(table, unseen))
            writer.writerows(zip(*(_texts(table[name], name) for name in keep), probabilities, strict=True))
            rows += len(table)
            if on_rows is not None:
                on_rows(rows)
    for warning in (*unseen.warnings().values(), *unseen.missing().values()):
        _logger.warning("%s: %s", path, warning)
    return rows


def _texts(column: pa.ChunkedArray, name: str) -> list[str | None]:
    """Write kept values as texts, None of a missing one.

    Raises:
        DataError: a number feature holds ids that float64 does not tell apart.
    """
    if pa.types.is_floating(column.type):
        return [None if value is None else _number(value, name) for value in column.to_pylist()]
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return texts


def _number(value: float, name: str) -> str:
    if not value.is_integer():
        return repr(value)
    if abs(value) >= 2**53:
        raise DataError(
            f"column {name!r} is a number feature, and its whole numbers beyond 2**53 are not exact: keep others"
        )
    return str(int(value))


@contextmanager
def _opened(beside: Path, output: Path) -> Iterator[TextIO]:
    try:
        stream = beside.open("wb")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"{output}: nothing can be written in its folder ({error.strerror}); write elsewhere") from None
    with stream, TextIOWrapper(compressing(stream, output), encoding="utf-8") as file:
        yield file
