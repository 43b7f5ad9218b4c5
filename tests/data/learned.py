"""What preparation learns of rows, for tests that have a few of them in memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.learning import PART, dense_column, encode, field_column, learn
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.spill import Spill


def fit(
    frame: pd.DataFrame,
    *,
    dense: Mapping[str, DenseOptions],
    categorical: Mapping[str, CategoricalOptions],
    derived: Iterable[DerivedColumn] = (),
) -> Preprocessing:
    """Learn of a frame, all of whose rows are training's."""
    declared = Declared(dense=dense, categorical=categorical, derived=tuple(derived))
    values, keys = encode(frame, declared)
    with TemporaryDirectory() as folder:
        spill = Spill(Path(folder))
        for name, found in keys.items():
            spill.write_texts(field_column(name), found)
        spill.add({field_column(name): found.keys for name, found in keys.items()})
        spill.add({dense_column(name): column for name, column in values.items()})
        spill.write(PART, np.full(len(frame), PARTS.index(Part.TRAIN), dtype=np.uint8))
        made, _ = learn(spill, dense=dense, categorical=categorical, declared=declared, on_column=lambda: None)
    return made
