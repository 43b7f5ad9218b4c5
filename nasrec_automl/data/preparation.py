"""Raw rows to a prepared folder, in memory that their number does not decide.

Rows are read and encoded once, onto the disk (`Spill`); divided into parts; tables and transforms are learned of the
training rows; then all rows are written as shards.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.description import (
    DESCRIPTION_FILE,
    Description,
    FieldDescription,
    ShardDescription,
    SplitDescription,
    fingerprint,
)
from nasrec_automl.data.files import write_text
from nasrec_automl.data.keys import Keys
from nasrec_automl.data.learning import PART, dense_column, encode, field_column, learn
from nasrec_automl.data.parts import NO_FOLDS, PARTS, Examples, Part, SplitKind, divide
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE, Preprocessing
from nasrec_automl.data.raw import Chunk, RawSource, is_table
from nasrec_automl.data.readers.parallel import map_ahead
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.shards import ShardWriter, describe
from nasrec_automl.data.spill import Spill, narrowed
from nasrec_automl.data.statistics import Period, PeriodCounter
from nasrec_automl.data.writing import check_output, replaced
from nasrec_automl.errors import DataError

DEFAULT_SEED = 2018


class OnProgress(Protocol):
    """Told how far a preparation is."""

    def __call__(self, task: str, done: int, total: int | None) -> None:
        """Take note: `done` of `total` rows or columns of a task; the total is None where it is not known."""


def no_progress(task: str, done: int, total: int | None) -> None:
    """Take no note."""


def prepare(
    source: RawSource,
    output: Path | str,
    *,
    split: SplitKind | None = None,
    seed: int = DEFAULT_SEED,
    rejections: Rejections | None = None,
    on_progress: OnProgress = no_progress,
) -> PreparedData:
    """Make a prepared folder of raw data. Statistics and vocabularies are those of the training rows.

    Args:
        source: what a reader returned.
        output: folder to write, whole or not at all; an earlier prepared one is replaced. Beside it, encoded rows take
            8 bytes a feature while it is written, and each chunk's distinct texts.
        split: as in `divide`; without it `given` where the source says what each row is for, else `random`.
        seed: of the split.
        rejections: the account of the reading; the default limit without it.
        on_progress: told how far it is.

    Returns:
        The folder, open without test.

    Raises:
        DataError: the files cannot be read, too many rows or any label or value of a frame are bad, a part has a
            single class, `split` goes against the source, or `output` is something else.
    """
    output = check_output(Path(output))
    declared = Declared(dense=source.dense, categorical=source.categorical, derived=source.derived)
    account = rejections if rejections is not None else Rejections()
    with replaced(output) as folder:
        spill = spill_source(
            source, declared, folder, account, on_progress, first=lambda read: _split_of(read, split, source)
        )
        kind = _split_of(spill, split, source)
        divide_spill(spill, kind=kind, seed=seed)
        columns = len(declared.dense) + len(declared.categorical)
        learned = iter(range(1, columns + 1))
        preprocessing, statistics = learn(
            spill,
            dense=source.dense,
            categorical=source.categorical,
            declared=declared,
            on_column=lambda: on_progress("learning columns", next(learned), columns),
        )
        writers = {part: ShardWriter(folder, part) for part in PARTS}
        shards, period = write_rows(spill, preprocessing, writers, on_progress=on_progress)
        parts = {part: describe(folder, of_part) for part, of_part in shards.items()}
        shutil.rmtree(folder / "spill")
        preprocessing.save(folder / PREPROCESSING_FILE)
        statistics.model_copy(update={"periods": () if period is None else (period,)}).save(folder)
        description = Description(
            name=source.name,
            label=source.label_description,
            split=SplitDescription(kind=kind, seed=seed),
            dense=tuple(name for column in preprocessing.dense for name in column.features),
            fields=tuple(
                FieldDescription(name=column.name, table_size=column.table_size, columns=column.columns)
                for column in preprocessing.categorical
            ),
            ids_type=ids_type(preprocessing).name,
            parts=parts,
            notes={**source.notes, **(account.notes() if account.read else {})},
            fingerprint=fingerprint(preprocessing, parts),
        )
        write_text(folder / DESCRIPTION_FILE, description.model_dump_json(indent=1) + "\n")
    return PreparedData.open(output)


def ids_type(preprocessing: Preprocessing) -> np.dtype[Any]:
    """Return the smallest type that fits the largest table's ids: reading less outweighs converting each batch."""
    return np.dtype(np.min_scalar_type(max(column.table_size for column in preprocessing.categorical) - 1))


def spill_source(
    source: RawSource,
    declared: Declared,
    folder: Path,
    rejections: Rejections,
    on_progress: OnProgress,
    first: Callable[[Spill], object] = lambda read: None,
) -> Spill:
    """Read and encode all rows onto the disk.

    Args:
        source: to read.
        declared: its features.
        folder: where to write.
        rejections: the account of the reading.
        on_progress: told how far it is.
        first: called with the first rows, so that what is wrong with all need not wait for the last.
    """
    (folder / "spill").mkdir()
    spill = Spill(folder / "spill")
    done = 0

    def encoded(chunk: Chunk) -> tuple[Chunk, dict[str, Keys], dict[str, NDArray[Any]]]:
        dense, keys = encode(chunk.table, declared)
        columns: dict[str, NDArray[Any]] = {dense_column(name): values for name, values in dense.items()}
        columns |= {field_column(name): found.keys for name, found in keys.items()}
        return chunk, keys, {name: narrowed(array) for name, array in columns.items()}

    for chunk, keys, columns in map_ahead(encoded, source.chunks(rejections), ahead=1):
        for name, found in keys.items():
            spill.write_texts(field_column(name), found)
        spill.add({**columns, **_facts(chunk)})
        if not done:
            first(spill)
        done += len(chunk.label)
        on_progress("reading rows", done, None)
    return spill


def _facts(chunk: Chunk) -> dict[str, NDArray[Any]]:
    first = np.diff(chunk.row, prepend=-1) != 0
    facts = {"label": chunk.label, "first": first, "weight": chunk.weight, "time": chunk.time, "fold": chunk.fold}
    return {name: array for name, array in facts.items() if array is not None}


def _split_of(spill: Spill, asked: SplitKind | None, source: RawSource) -> SplitKind:
    """Return how rows are to be divided; a source that says what each row is for is heeded, or refused."""
    if asked == "time" and not spill.has("fold") and not spill.has("time"):
        of_table = "name its column under `timestamp` in the schema, or " if is_table(source) else ""
        raise DataError(
            f"a split by time needs the time of each row, which this data set does not have: {of_table}use random, "
            "or `given` with files of validation and of test"
        )
    if not spill.has("fold"):
        if asked == "given":
            raise DataError(NO_FOLDS)
        return asked or "random"
    if asked not in (None, "given"):
        raise DataError(
            f"the rows say which of them are training, validation and test, but the split asked for is {asked}: ask "
            "for `given` or for none, or put the column that says it, `split` of the schema, under `ignored`"
        )
    return "given"


def divide_spill(spill: Spill, *, kind: SplitKind, seed: int, check: bool = True) -> None:
    """Write the part of each row, as `divide`."""

    def blocks() -> Iterator[Examples]:
        for chunk in spill.chunks:
            yield Examples(
                label=spill.read("label", chunk),
                first=spill.read("first", chunk),
                time=spill.read("time", chunk) if spill.has("time") else None,
                fold=spill.read("fold", chunk) if spill.has("fold") else None,
                weight=spill.read("weight", chunk) if spill.has("weight") else None,
            )

    for parts in divide(blocks, kind=kind, seed=seed, check=check):
        spill.write(PART, parts)


def write_rows(
    spill: Spill,
    preprocessing: Preprocessing,
    writers: Mapping[Part, ShardWriter],
    *,
    on_progress: OnProgress = no_progress,
) -> tuple[dict[Part, tuple[ShardDescription, ...]], Period | None]:
    """Transform all rows and write those of each part into shards.

    Args:
        spill: rows with their parts.
        preprocessing: what to make of them.
        writers: of each part.
        on_progress: told how far it is.
    """
    dtype = ids_type(preprocessing)

    def of_parts(chunk: int) -> dict[Part, dict[str, NDArray[Any]]]:
        rows, parts = _transformed(spill, preprocessing, chunk, dtype), spill.read(PART, chunk)
        members = {part: np.flatnonzero(parts == code) for code, part in enumerate(PARTS)}
        return {
            part: {name: array[mine] for name, array in rows.items()} for part, mine in members.items() if mine.size
        }

    done = 0
    for rows_of in map_ahead(of_parts, spill.chunks, ahead=1):
        for part, rows in rows_of.items():
            writers[part].add(rows)
            done += len(rows["label"])
        on_progress("writing rows", done, spill.rows)
    return {part: writer.close() for part, writer in writers.items()}, _period(spill)


def _transformed(
    spill: Spill, preprocessing: Preprocessing, chunk: int, dtype: np.dtype[Any]
) -> dict[str, NDArray[Any]]:
    label = spill.read("label", chunk)
    values = {column.name: spill.read(dense_column(column.name), chunk) for column in preprocessing.dense}
    keys = {column.name: spill.read(field_column(column.name), chunk) for column in preprocessing.categorical}
    rows = {
        "dense": preprocessing.dense_inputs(values, len(label)),
        "ids": preprocessing.id_inputs(keys, len(label), dtype),
        "label": label,
    }
    if spill.has("weight"):
        rows["weight"] = spill.read("weight", chunk).astype(np.float32)
    return rows


def time_range(spill: Spill) -> tuple[float, float] | None:
    """Return the first and the last time of the rows, where it is known of all of them."""
    if not spill.has("time"):
        return None
    low, high = np.inf, -np.inf
    for (time,) in spill.segments("time"):
        low, high = np.minimum(low, time.min()), np.maximum(high, time.max())  # NaN stays NaN
    return (float(low), float(high)) if np.isfinite(high - low) else None


def _period(spill: Spill) -> Period | None:
    """Count rows over time, where it is known of all of them."""
    times = time_range(spill)
    if times is None:
        return None
    counter = PeriodCounter(*times)
    for columns in spill.segments("time", PART, "label"):
        counter.add(*columns)
    return counter.period()
