"""Further rows for a prepared folder: tables and transforms stay, so that whatever was trained can go on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.description import DESCRIPTION_FILE, PartDescription, ShardDescription, fingerprint
from nasrec_automl.data.files import write_text
from nasrec_automl.data.parts import PARTS, Part, check_classes
from nasrec_automl.data.preparation import OnProgress, divide_spill, no_progress, spill_source, time_range, write_rows
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE
from nasrec_automl.data.raw import CHUNK_ROWS, COLUMN_NOTES, RawSource, is_table
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.shards import SHARD_ROWS, ShardWriter, describe
from nasrec_automl.data.spill import Spill
from nasrec_automl.data.statistics import Statistics
from nasrec_automl.data.writing import check_output, replaced
from nasrec_automl.errors import DataError


def append(
    source: RawSource,
    folder: Path | str,
    output: Path | str,
    *,
    rejections: Rejections | None = None,
    on_progress: OnProgress = no_progress,
) -> PreparedData:
    """Make a prepared folder of an earlier one's rows and further ones, with its tables, transforms and split.

    Full shards are shared with the earlier folder by hard links where the file system can, and others copied.

    By time, the new rows must be later than all rows before: those become training (heads keep theirs), and validation
    and test are the newest of the new rows. Otherwise each part grows.

    Args:
        source: of the same kind as before.
        folder: what `prepare` or `append` wrote; it stays as it is, and so do the runs on it.
        output: folder to write, whole or not at all; may be `folder` itself, which it then replaces.
        rejections: the account of the reading; the default limit without it.
        on_progress: told how far it is.

    Returns:
        The new folder, open without test.

    Raises:
        DataError: not a prepared folder, a source of other columns, rows that are not later, or what `prepare` finds.
    """
    folder, output = Path(folder), Path(output)
    output = check_output(output)
    account = rejections if rejections is not None else Rejections()
    with replaced(output) as fresh:
        data = PreparedData.open(folder)
        before, statistics, preprocessing = data.description, Statistics.load(folder), data.preprocessing
        _check_source(source, data)
        by_time = before.split.kind == "time"
        spill = spill_source(
            source, preprocessing.declared, fresh, account, on_progress, first=lambda read: _check_rows(read, data)
        )
        if by_time:
            _check_later(spill, statistics, data)
        divide_spill(spill, kind=before.split.kind, seed=before.split.seed + 1 + len(before.earlier), check=False)
        old = _as_training(before.parts) if by_time else {part: before.parts[part].shards for part in PARTS}
        linked = {part: [shard for shard in old[part] if shard.rows == SHARD_ROWS] for part in PARTS}
        writers = {part: ShardWriter(fresh, part, _next_shard(before.parts)) for part in PARTS}
        for part in PARTS:
            _link(linked[part], folder, fresh)
            _copy([shard for shard in old[part] if shard not in linked[part]], folder, writers[part])
        added, period = write_rows(spill, preprocessing, writers, on_progress=on_progress)
        shutil.rmtree(fresh / "spill")
        parts = {part: describe(fresh, [*linked[part], *added[part]]) for part in PARTS}
        check_classes({part: (found.rows, found.positive_rate) for part, found in parts.items()}, before.split.kind)
        preprocessing.save(fresh / PREPROCESSING_FILE)
        periods = statistics.periods if period is None else (*statistics.periods, period)
        statistics.model_copy(update={"periods": periods}).save(fresh)
        description = before.model_copy(
            update={
                "parts": parts,
                "earlier": (*before.earlier, before.fingerprint),
                "notes": _notes(before.notes, account),
                "fingerprint": fingerprint(preprocessing, parts),
            }
        )
        write_text(fresh / DESCRIPTION_FILE, description.model_dump_json(indent=1) + "\n")
    return PreparedData.open(output)


def _check_source(source: RawSource, data: PreparedData) -> None:
    """Raise DataError where the source's columns mean something else than those of the folder."""
    before, made = data.description, data.preprocessing
    if (source.name, source.label_description) != (before.name, before.label):
        raise DataError(
            f"{data.path}: holds {before.name} ({before.label}), to which {source.name} ({source.label_description}) "
            "cannot be appended"
        )
    for note in COLUMN_NOTES:
        was, now = (notes.get(note, "none") for notes in (before.notes, source.notes))
        if was != now:
            raise DataError(
                f"{data.path}: the {note.replace('_', ' ')} was {was}, but is {now} now: append with the same schema"
            )
    if tuple(source.derived) != made.derived:
        raise DataError(f"{data.path}: was made with other derived columns: append with the same schema")
    # Numbers are transformed as the folder says, whatever a source declares; but what a schema asks for is not ignored.
    by_user = is_table(source)
    format_, transform = {*CategoryFormat.model_fields}, {*DenseOptions.model_fields}
    _check_columns(
        data,
        "dense",
        {name: options.model_dump() for name, options in source.dense.items()},
        {column.name: column.model_dump(include=transform) for column in made.dense},
        {name: options.model_fields_set if by_user else set() for name, options in source.dense.items()},
        ", and write into it what `data.defaults` of the job said",
    )
    _check_columns(
        data,
        "categorical",
        {name: options.model_dump(include=format_) for name, options in source.categorical.items()},
        {column.name: column.model_dump(include=format_) for column in made.categorical},
        dict.fromkeys(source.categorical, format_),
    )


def _check_columns(
    data: PreparedData,
    kind: str,
    theirs: Mapping[str, Mapping[str, Any]],
    ours: Mapping[str, Mapping[str, Any]],
    compared: Mapping[str, Collection[str]],
    advice: str = "",
) -> None:
    """Raise DataError where one has a feature that the other lacks, or another value of an option that is compared.

    Args:
        data: to which rows are appended.
        kind: of the columns.
        theirs: options of the columns of the new rows, by name.
        ours: options of the columns of the folder, by name.
        compared: names of the options of each column of the new rows that have to be the folder's.
        advice: what else may help where options differ.
    """
    for name in sorted({*theirs, *ours}):
        both = name in theirs and name in ours
        if not both or any(theirs[name][option] != ours[name][option] for option in compared[name]):
            raise DataError(
                f"{data.path}: the {kind} column {name!r} is declared as {theirs.get(name, 'no feature')}, but was "
                f"{ours.get(name, 'no feature')} before: append with the same schema{advice if both else ''}"
            )


def _check_rows(spill: Spill, data: PreparedData) -> None:
    if spill.has("weight") != (data.description.parts[Part.TRAIN].weight is not None):
        raise DataError(f"{data.path}: either all rows have weights or none; the new ones are not as those before")
    if spill.has("fold") and data.description.split.kind != "given":
        raise DataError(
            f"{data.path}: its split is {data.description.split.kind}, so that the rows appended cannot come divided: "
            "leave validation and test out"
        )
    if data.description.split.kind == "given" and not spill.has("fold"):
        raise DataError(
            f"{data.path}: its split is given, so that the rows appended have to say which of them are for validation "
            "and test too: name files of these, or a column of the schema that says it, as before"
        )


def _next_shard(parts: Mapping[Part, PartDescription]) -> int:
    return 1 + max(int(shard.folder.rpartition("/")[2]) for part in parts.values() for shard in part.shards)


def _as_training(parts: Mapping[Part, PartDescription]) -> Mapping[Part, Sequence[ShardDescription]]:
    """Give training what was validation and test."""
    others = [shard for part in PARTS if part is not Part.HEAD for shard in parts[part].shards]
    return {**dict.fromkeys(PARTS, ()), Part.HEAD: parts[Part.HEAD].shards, Part.TRAIN: others}


def _link(shards: Sequence[ShardDescription], folder: Path, fresh: Path) -> None:
    for shard in shards:
        (fresh / shard.folder).mkdir(parents=True)
        for name in shard.checksums:
            path = Path(shard.folder) / f"{name}.npy"
            try:
                os.link(folder / path, fresh / path)
            except OSError:  # another file system, or one without links
                shutil.copyfile(folder / path, fresh / path)


def _copy(shards: Sequence[ShardDescription], folder: Path, writer: ShardWriter) -> None:
    """Write shards again that are not full: days would add up to more files than a process may open."""
    for shard in shards:
        arrays = {name: np.load(folder / shard.folder / f"{name}.npy", mmap_mode="r") for name in shard.checksums}
        for start in range(0, shard.rows, CHUNK_ROWS):
            writer.add({name: array[start : start + CHUNK_ROWS] for name, array in arrays.items()})


def _check_later(spill: Spill, statistics: Statistics, data: PreparedData) -> None:
    last = max(before.edges[-1] for before in statistics.periods)
    times = time_range(spill)
    if times is not None and times[0] <= last:
        ends, begin = (_time_shown(time, data.description.notes) for time in (last, times[0]))
        raise DataError(
            f"{data.path}: is split by time and ends at {ends}, but the new rows begin at {begin}: append later rows "
            "alone, or prepare all of them again"
        )


def _time_shown(time: float, notes: Mapping[str, float | int | str]) -> str:
    """Write a time as a date where the schema says that it is one, and else in full, so that no two look alike."""
    if str(notes.get("time_column", "(number)")).endswith("(number)"):
        return repr(time).removesuffix(".0")
    return datetime.fromtimestamp(time, UTC).isoformat()


def _notes(before: Mapping[str, float | int | str], account: Rejections) -> dict[str, float | int | str]:
    """Add up rows read, and keep the columns' names: whatever else was said holds for a part of the rows alone."""
    kept = (*COLUMN_NOTES, "rows_read", "rows_rejected")
    notes = {name: value for name, value in before.items() if name in kept}
    for name in ("rows_read", "rows_rejected"):
        if name in account.notes() and account.read:
            notes[name] = int(notes.get(name, 0)) + int(account.notes()[name])
    return notes
