"""The winner in Python and on files: raw columns in, probabilities out. Needs neither NNI nor Optuna."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.files import check_output_file, written_beside
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.readers.unlabelled import read_unlabelled
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.errors import CheckpointError, DataError
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet

_CHUNK = 65_536


@dataclass(frozen=True)
class Model:
    """A trained model with its preprocessing.

    Attributes:
        subnet: the network.
        preprocessing: turns raw columns into its inputs.
    """

    subnet: Subnet
    preprocessing: Preprocessing

    @property
    def architecture(self) -> Architecture:
        """What the network is."""
        return self.subnet.architecture

    def predict(self, frame: pd.DataFrame | pa.Table) -> NDArray[np.float64]:
        """Probability of a click for each row.

        Args:
            frame: raw columns; further ones are ignored. Unknown categories count as missing.

        Returns:
            `(rows,)`.

        Raises:
            DataError: a column is missing, or holds text where a number should be, or moments where a category should
                be; the message names it.
        """
        dense, ids = self.preprocessing.transform(frame)
        if not len(frame):
            return np.empty(0)
        with torch.inference_mode():
            logits = torch.cat(
                [
                    self.subnet(torch.from_numpy(dense[i : i + _CHUNK]), torch.from_numpy(ids[i : i + _CHUNK]))
                    for i in range(0, len(frame), _CHUNK)
                ]
            )
        probabilities: NDArray[np.float64] = torch.sigmoid(logits.double()).numpy()
        return probabilities


def load_model(folder: str | Path) -> Model:
    """Load what the final stage wrote, such as `runs/quickstart/best`.

    Raises:
        CheckpointError: the folder is missing or incomplete.
    """
    folder = Path(folder)
    for name in ("model.safetensors", "preprocessing.json"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: no model; expected the file {name}, as in the folder `best` of a finished run"
            )
    subnet = load_subnet(folder / "model.safetensors").eval()
    preprocessing = Preprocessing.load(folder / "preprocessing.json")
    if preprocessing.schema().inputs != subnet.schema.inputs:
        raise CheckpointError(
            f"{folder}: preprocessing.json makes other columns or tables than model.safetensors was trained on; "
            "take both from the same run"
        )
    return Model(subnet, preprocessing)


def predict_file(
    model: Model,
    path: Path,
    output: Path,
    *,
    source: str | None = None,
    schema: Path | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Predict a file of any size, some rows at a time.

    Args:
        model: the model.
        path: CSV, TSV (by their ending, also compressed) or Parquet with raw columns; further ones are left out.
        output: CSV with one column, `probability`; there whole or not at all.
        source: `criteo` where the file is of that format, without a header, with or without labels.
        schema: schema file of the training rows; its `separator` and `columns` (no header) are heeded.
        on_rows: told how many rows are done.

    Returns:
        The number of rows.

    Raises:
        DataError: the file cannot be read, a column is missing, a row is bad, or the output is what is read; the
            message names it.
    """
    check_output_file(output)
    if any(output.exists() and read.exists() and output.samefile(read) for read in (path, schema) if read is not None):
        raise DataError(f"{output}: is read, and would be replaced by its probabilities; name another file to write")
    table_schema = None if schema is None else load_table_schema(schema)
    rows = 0
    with written_beside(output) as beside, _opened(beside, output) as file:
        file.write("probability\n")
        for table in read_unlabelled(path, model.preprocessing.declared, source=source, schema=table_schema):
            file.writelines(f"{probability:.9g}\n" for probability in model.predict(table))
            rows += len(table)
            if on_rows is not None:
                on_rows(rows)
    return rows


def _opened(beside: Path, output: Path) -> TextIO:
    try:
        return beside.open("w", encoding="utf-8")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(f"{output}: nothing can be written in its folder ({error.strerror}); write elsewhere") from None
