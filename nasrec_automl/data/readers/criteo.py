"""Criteo's display advertising data: train.txt of the Kaggle challenge, and day_0 to day_23 of the terabyte."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES
from nasrec_automl.data.readers.inputs import find_files
from nasrec_automl.data.readers.kinds import HEX, INTEGER, LABEL, Column
from nasrec_automl.data.readers.source import PUBLISHED_HEX_TABLE, FileSource, labelled
from nasrec_automl.data.readers.text import Layout, read_text

_DENSE = tuple(f"I{i}" for i in range(1, 14))
_FIELDS = tuple(f"C{i}" for i in range(1, 27))
LAYOUT = Layout(
    columns=(
        Column("label", LABEL, required=True),
        *(Column(name, INTEGER) for name in _DENSE),
        *(Column(name, HEX) for name in _FIELDS),
    ),
    separator="\t",
)


def criteo(paths: Sequence[Path]) -> FileSource:
    """Open tab-separated files of 40 fields without a header: label, 13 whole numbers, 26 times 8 hex digits.

    A number or category may be empty. Days are read in their order.

    Args:
        paths: files, folders with `train.txt` or `day_*`, or globs; `.gz`, `.bz2`, `.xz` and `.zst` too.

    Raises:
        DataError: there are no such files.
    """
    return FileSource(
        name="criteo",
        label_description="clicked",
        dense=dict.fromkeys(_DENSE, DenseOptions(transform="log")),
        categorical=dict.fromkeys(_FIELDS, PUBLISHED_HEX_TABLE),
        files=find_files(paths, ("train.txt", "day_[0-9]*"), "Criteo's data"),
        tables=partial(read_text, layout=LAYOUT),
        start=lambda _: labelled,
        published=PUBLISHED_SIZES["criteo"],
    )
