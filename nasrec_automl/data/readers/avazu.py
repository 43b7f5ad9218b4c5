"""Avazu's click data, `train` of the Kaggle challenge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from nasrec_automl.data.columns import DerivedColumn
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES
from nasrec_automl.data.raw import Chunk
from nasrec_automl.data.readers.inputs import find_files
from nasrec_automl.data.readers.kinds import HEX, HOUR, INTEGER, LABEL, UNSIGNED, Column, hour_seconds
from nasrec_automl.data.readers.source import PUBLISHED_HEX_TABLE, PUBLISHED_TABLE, FileSource, labelled
from nasrec_automl.data.readers.text import Layout, read_text
from nasrec_automl.errors import DataError

Protocol = Literal["default", "published"]

_HEX = ("site_id", "site_domain", "site_category", "app_id", "app_domain", "app_category",
        "device_id", "device_ip", "device_model")  # fmt: skip
_FIELDS = ("C1", "banner_pos", *_HEX, "device_type", "device_conn_type", *(f"C{i}" for i in range(14, 22)))
_PUBLISHED = ("id", "hour", *_FIELDS)
_DERIVED = (
    DerivedColumn(name="hour_of_day", source="hour", kind="stamp_hour"),
    DerivedColumn(name="weekday", source="hour", kind="stamp_weekday"),
)
LAYOUT = Layout(
    columns=(
        Column("id", UNSIGNED, required=True),
        Column("click", LABEL, required=True),
        Column("hour", HOUR, required=True),
        *(Column(name, HEX if name in _HEX else INTEGER) for name in _FIELDS),
    ),
    separator=",",
    header=True,
    strange="leave them out",
)


def avazu(paths: Sequence[Path], *, protocol: str = "default") -> FileSource:
    """Open comma-separated files whose header names id, click, hour (YYMMDDHH) and 21 fields.

    Args:
        paths: files, folders with `train` or `train.csv`, or globs; `.gz`, `.bz2`, `.xz` and `.zst` too.
        protocol: `published` has the row's id and the hour as it stands as fields, though an id says nothing of another
            row, and an hour nothing of a later one. `default` has hour of the day and weekday instead.

    Raises:
        DataError: there are no such files, or no such protocol.
    """
    if protocol not in get_args(Protocol):
        raise DataError(f"avazu has the protocols {' and '.join(get_args(Protocol))}, but not {protocol!r}")
    published = protocol == "published"
    layout = LAYOUT
    if not published:
        layout = replace(layout, columns=(Column("id", None), *LAYOUT.columns[1:]))
    return FileSource(
        name="avazu-published" if published else "avazu",
        label_description="clicked",
        dense={},
        categorical={
            name: PUBLISHED_HEX_TABLE if name in _HEX else PUBLISHED_TABLE
            for name in (_PUBLISHED if published else (*_FIELDS, "hour_of_day", "weekday"))
        },
        derived=() if published else _DERIVED,
        files=find_files(paths, ("train", "train.csv"), "Avazu's data"),
        tables=partial(read_text, layout=layout),
        start=lambda _: _examples,
        published=PUBLISHED_SIZES["avazu"],
    )


def _examples(table: pa.Table) -> Chunk:
    hours, positions = np.unique(table["hour"].to_numpy(), return_inverse=True)
    seconds = np.array([hour_seconds(int(hour)) for hour in hours])
    return replace(labelled(table.rename_columns({"click": "label"})), time=seconds[positions])
