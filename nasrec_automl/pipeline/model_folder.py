"""A model in its folder, and in Python: raw columns in, probabilities out. Needs neither NNI nor Optuna."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.declared import RawRows
from nasrec_automl.data.files import write_text
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE, Preprocessing
from nasrec_automl.data.unseen import FEWEST_VALUES, UnseenValues
from nasrec_automl.digest import digest
from nasrec_automl.errors import CheckpointError
from nasrec_automl.network import Subnet
from nasrec_automl.network.weights import load_subnet, preprocessing_of, save_network
from nasrec_automl.pipeline.files import write_json

WEIGHTS_FILE, ARCHITECTURE_FILE, HYPER_FILE = "model.safetensors", "architecture.json", "hyper_parameters.json"
"""The files of a model, beside `PREPROCESSING_FILE`, which is written last."""

_CHUNK = 65_536
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A trained model with its preprocessing.

    Attributes:
        subnet: the network.
        preprocessing: turns raw columns into its inputs.
    """

    subnet: Subnet
    preprocessing: Preprocessing
    _warned: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def architecture(self) -> Architecture:
        """What the network is."""
        return self.subnet.architecture

    def predict(self, frame: RawRows) -> NDArray[np.float64]:
        """Probability of a click for each row.

        Args:
            frame: raw columns; further ones are ignored. Also a row as a dict by column, or a list of these, in which
                what a row lacks and another has is missing. Unknown categories count as missing, except in hashed
                fields, where they share rows of the table with others. If there are ten rows or more, a field whose
                values are nearly all unknown is logged as a warning, once for a model.

        Returns:
            `(rows,)`.

        Raises:
            DataError: a column is missing, or holds text where a number should be, or moments where a category should
                be; the message names it. Or these are no rows.
        """
        rows = self.preprocessing.declared.table(frame)
        unseen = UnseenValues(self.preprocessing.categorical) if len(rows) >= FEWEST_VALUES else None
        probabilities = self.probabilities(rows, unseen)
        for name, warning in ({} if unseen is None else unseen.warnings()).items():
            if name not in self._warned:
                self._warned.add(name)
                _logger.warning("%s", warning)
        return probabilities

    def probabilities(self, frame: pd.DataFrame | pa.Table, unseen: UnseenValues | None = None) -> NDArray[np.float64]:
        """Return what `predict` does, and leave the warnings to whoever counts unknown values over many calls.

        Args:
            frame: raw columns.
            unseen: counts them.
        """
        probabilities: NDArray[np.float64] = torch.from_numpy(self.logits(frame, unseen)).sigmoid().numpy()
        return probabilities

    def logits(self, frame: pd.DataFrame | pa.Table, unseen: UnseenValues | None = None) -> NDArray[np.float64]:
        """Return the logits of `probabilities`, `(rows,)`: differences near 0 and 1 are not rounded away in them."""
        dense, ids = self.preprocessing.transform(frame, unseen)
        if not len(frame):
            return np.empty(0)
        weight = next(self.subnet.parameters())  # on a device and of a type of the caller's choice
        with torch.inference_mode():
            found = torch.cat(
                [
                    self.subnet(
                        torch.from_numpy(dense[i : i + _CHUNK]).to(weight),
                        torch.from_numpy(ids[i : i + _CHUNK]).to(weight.device),
                    )
                    for i in range(0, len(frame), _CHUNK)
                ]
            )
        logits: NDArray[np.float64] = found.double().cpu().numpy()
        return logits


def write_model(subnet: Subnet, preprocessing: Path, folder: Path, hyper: Mapping[str, Any]) -> None:
    """Write what `load_model` takes.

    Args:
        subnet: on the CPU.
        preprocessing: file of the prepared data that it was trained on.
        folder: of the model.
        hyper: the hyper-parameters that it was trained with.
    """
    for name in (PREPROCESSING_FILE, HYPER_FILE):
        # Of the model that is replaced. Its preprocessing may fit the new weights' tables, and mean other categories.
        (folder / name).unlink(missing_ok=True)
    learned = Preprocessing.load(preprocessing)
    save_network(subnet, folder / WEIGHTS_FILE, preprocessing=_digest(learned))
    write_text(folder / ARCHITECTURE_FILE, subnet.architecture.to_json())
    write_json(folder / HYPER_FILE, hyper)
    learned.save(folder / PREPROCESSING_FILE)


def load_model(folder: str | Path) -> Model:
    """Load a model, such as what the final stage wrote.

    Args:
        folder: of the model, such as `runs/quickstart/best`; of a run's folder it is the winner.

    Raises:
        CheckpointError: the folder is missing or incomplete.
    """
    folder = Path(folder)
    winner = folder / "best"  # `RunFolder.best`
    if (winner / WEIGHTS_FILE).is_file() and not (folder / WEIGHTS_FILE).is_file():
        folder = winner
    for name in (WEIGHTS_FILE, PREPROCESSING_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: no model; expected the file {name}, as in the folder `best` of a finished run"
            )
    subnet = load_subnet(folder / WEIGHTS_FILE).eval()
    preprocessing = Preprocessing.load(folder / PREPROCESSING_FILE)
    written = preprocessing_of(folder / WEIGHTS_FILE)
    # Hashed and capped tables are as large in every data set, and mean other categories in each.
    if (written and written != _digest(preprocessing)) or preprocessing.schema().inputs != subnet.schema.inputs:
        raise CheckpointError(
            f"{folder}: {PREPROCESSING_FILE} makes other inputs than {WEIGHTS_FILE} was trained on; take both from the "
            "same model"
        )
    return Model(subnet, preprocessing)


def _digest(preprocessing: Preprocessing) -> str:
    return digest(preprocessing.model_dump_json(), 16)
