"""The prepared data set: a folder of memory-mapped arrays, made once and read by every stage."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.description import Description, SplitDescription
from nasrec_automl.data.parts import TRAINING, Part, SplitKind, split_rows
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.values import numbers
from nasrec_automl.data.writing import check_output, write_prepared
from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema

__all__ = ["Part", "PreparedData", "RawData", "Rows", "prepare", "write_prepared"]

DEFAULT_SEED = 2018


class PreparedData:
    """A prepared folder, open for reading. Every stage gets its rows here.

    Test stays closed unless it is asked for at `open`: the final stage does, and nothing else.
    """

    def __init__(self, path: Path, description: Description, *, test: bool) -> None:
        self.path = path
        self.description = description
        self._test = test

    @classmethod
    def open(cls, path: Path | str, *, test: bool = False) -> Self:
        """Open a folder that `prepare` wrote.

        Args:
            path: the folder.
            test: whether the test part may be read.

        Raises:
            DataError: not a prepared data set.
        """
        return cls(Path(path), Description.load(Path(path)), test=test)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.description.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of preprocessing and arrays: equal fingerprints, equal tensors."""
        return self.description.fingerprint

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What turns raw columns into this data's tensors."""
        return Preprocessing.load(self.path / "preprocessing.json")

    def schema(self, embedding_dim: int = 16, table_cap: int | None = None) -> FeatureSchema:
        """Describe the columns to a network; see `Preprocessing.schema`."""
        return self.preprocessing.schema(embedding_dim, table_cap)

    def rows(self, part: Part | str) -> int:
        """Return the number of rows of a part, test included."""
        return self.description.parts[_part(part)].rows

    def positive_rate(self, part: Part | str) -> float:
        """Return the share of ones among a part's labels, test included."""
        return self.description.parts[_part(part)].positive_rate

    def part(self, *names: Part | str) -> Rows:
        """Return the rows of one part, memory-mapped, or of several, joined in memory.

        Raises:
            DataError: no such part, test without leave, or damaged files.
        """
        if not names:
            raise DataError(f"name at least one part of {', '.join(Part)}")
        return Rows.concatenate([self._one(_part(name)) for name in names])

    def _one(self, part: Part) -> Rows:
        if part is Part.TEST and not self._test:
            raise DataError(
                f"{self.path}: the test part is read once, by the final stage; use a validation part "
                "(search, hpo, choice), or open the data with test=True for a last measurement"
            )
        dense = (max(1, len(self.description.dense)),)
        return Rows(
            dense=self._array(part, "dense", dense),
            ids=self._array(part, "ids", (len(self.description.fields),)),
            label=self._array(part, "label", ()),
        )

    def _array(self, part: Part, name: str, width: tuple[int, ...]) -> NDArray[Any]:
        path = self.path / part / f"{name}.npy"
        advice = "prepare the data again"
        expected = (self.rows(part), *width)
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: expected an array of shape {expected}, but it cannot be read ({error}): {advice}"
            ) from None
        if array.shape != expected:
            raise DataError(f"{path}: expected an array of shape {expected}, but found {array.shape}: {advice}")
        # Still the mapped file, without the subclass whose every slice costs microseconds.
        return array.view(np.ndarray)


def prepare(
    source: RawData, output: Path | str, *, split: SplitKind = "random", seed: int = DEFAULT_SEED
) -> PreparedData:
    """Make a prepared folder of raw data. Statistics and vocabularies are those of the training rows.

    Args:
        source: what a reader returned.
        output: folder to write; an earlier prepared one is replaced.
        split: `random` (stratified by the label) or `time`.
        seed: of the split.

    Returns:
        The folder, open without test.

    Raises:
        DataError: bad labels or values, weights, a part with a single class, or `output` is something else.
    """
    output = Path(output)
    check_output(output)
    if source.weight is not None:
        raise DataError(f"{source.name}: its rows have weights, which a prepared data set does not hold yet")
    label = source.checked_label()
    time = None if source.time is None else numbers(source.time)
    rows_of = split_rows(label, kind=split, seed=seed, time=time)
    training = np.sort(np.concatenate([rows_of[part] for part in TRAINING]))
    preprocessing = Preprocessing.fit(
        source.frame.iloc[training],
        dense=source.dense,
        categorical=source.categorical,
        derived=source.derived,
    )
    dense, ids = preprocessing.transform(source.frame)
    write_prepared(
        output,
        name=source.name,
        label=source.label_description,
        split=SplitDescription(kind=split, seed=seed),
        preprocessing=preprocessing,
        parts={part: Rows(dense[rows], ids[rows], label[rows]) for part, rows in rows_of.items()},
        notes=source.notes,
    )
    return PreparedData.open(output)


def _part(name: Part | str) -> Part:
    try:
        return Part(name)
    except ValueError:
        raise DataError(f"there is no part {name!r}; the parts are {', '.join(Part)}") from None
