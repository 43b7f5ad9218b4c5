"""Writing a prepared folder so that it is whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.description import (
    FILE_NAME,
    Description,
    FieldDescription,
    PartDescription,
    SplitDescription,
)
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError


def write_prepared(
    output: Path | str,
    *,
    name: str,
    label: str,
    split: SplitDescription,
    preprocessing: Preprocessing,
    parts: Mapping[Part, Rows],
    notes: Mapping[str, float | int | str],
) -> None:
    """Write a prepared folder; replaces an earlier prepared one and nothing else.

    Args:
        output: the folder.
        name: of the data set.
        label: what a 1 means.
        split: how rows were divided.
        preprocessing: what made the arrays.
        parts: the rows of every part.
        notes: facts for the report.

    Raises:
        DataError: `output` is something else than a prepared data set, or another process is preparing it.
    """
    output = Path(output)
    digest = hashlib.sha256(preprocessing.model_dump_json().encode())
    with _replaced(output) as folder:
        preprocessing.save(folder / "preprocessing.json")
        for part in Part:
            (folder / part).mkdir()
            for array_name, array in _compact(parts[part], preprocessing).items():
                np.save(folder / part / f"{array_name}.npy", array, allow_pickle=False)
                digest.update(f"{part}/{array_name} {array.dtype.str} {array.shape}".encode())
                digest.update(array.data)
        description = Description(
            name=name,
            label=label,
            split=split,
            dense=tuple(column.name for column in preprocessing.dense),
            fields=tuple(
                FieldDescription(name=column.name, table_size=column.table_size) for column in preprocessing.categorical
            ),
            parts={
                part: PartDescription(rows=len(parts[part]), positive_rate=float(np.mean(parts[part].label)))
                for part in Part
            },
            notes=dict(notes),
            fingerprint=digest.hexdigest(),
        )
        (folder / FILE_NAME).write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")


def check_output(output: Path) -> None:
    """Raise DataError where writing would destroy something that is not a prepared data set."""
    is_empty = output.is_dir() and not any(output.iterdir())
    if not output.exists() or is_empty:
        return
    try:
        Description.load(output)
    except DataError:
        raise DataError(
            f"{output}: already there and not a prepared data set, so it stays: choose another folder"
        ) from None


def _compact(rows: Rows, preprocessing: Preprocessing) -> dict[str, NDArray[Any]]:
    """Choose the smallest types: training waits for memory, not for a conversion."""
    largest = max(column.table_size for column in preprocessing.categorical) - 1
    return {
        "dense": np.ascontiguousarray(rows.dense, dtype=np.float32),
        "ids": np.ascontiguousarray(rows.ids, dtype=np.min_scalar_type(largest)),
        "label": np.ascontiguousarray(rows.label, dtype=np.uint8),
    }


@contextmanager
def _replaced(output: Path) -> Iterator[Path]:
    """Give out an empty folder beside `output` and put it in `output`'s place when the block ends well."""
    check_output(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: its folder cannot be made ({error.strerror}): choose another one") from None
    # One fixed name: what a killed run left is found and cleared by the next one.
    beside = output.with_name(f".{output.name}.partial")
    beside.mkdir(exist_ok=True)
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        _lock(descriptor, output)
        _clear(beside)
        try:
            yield beside
            _swap(beside, output)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int, output: Path) -> None:
    try:
        # The kernel releases it when its owner dies.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{output}: another process is preparing it: wait for it or choose another folder") from None


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _swap(fresh: Path, output: Path) -> None:
    old = output.with_name(f".{output.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    fresh.rename(output)
    shutil.rmtree(old, ignore_errors=True)
