"""Prepared rows in memory or in memory-mapped files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.joined import Joined
from nasrec_automl.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Index = slice | Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Rows:
    """n prepared rows. Training, head fitting and evaluation take their batches from it.

    Attributes:
        dense: `(n, D)` floats.
        ids: `(n, S)` integers of any width.
        label: `(n,)` zeros and ones of any type.
    """

    dense: NDArray[Any] | Joined
    ids: NDArray[Any] | Joined
    label: NDArray[Any] | Joined

    def __post_init__(self) -> None:
        if not len(self.dense) == len(self.ids) == len(self.label):
            raise DataError(
                f"dense, ids and label must have equally many rows, but have {len(self.dense)}, "
                f"{len(self.ids)} and {len(self.label)}"
            )

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join parts in order; their arrays stay where they are."""
        return cls(
            dense=Joined.of([part.dense for part in parts]),
            ids=Joined.of([part.ids for part in parts]),
            label=Joined.of([part.label for part in parts]),
        )

    def sample(self, most: int | None, seed: int) -> Self:
        """Draw at most so many rows without order: prepared rows may be sorted by time.

        Args:
            most: number of rows; all of them where it is None or larger.
            seed: of the draw.
        """
        if most is None or len(self) <= most:
            return self
        index = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
        return type(self)(dense=self.dense[index], ids=self.ids[index], label=self.label[index])

    def batch(self, index: Index) -> tuple[Tensor, Tensor, Tensor]:
        """Copy some rows into tensors.

        Args:
            index: a slice, or B row positions in any order.

        Returns:
            Dense `(B, D)` float32, ids `(B, S)` int64, label `(B,)` float32.
        """
        # Only training needs torch; preparation and serving by ONNX read this module without it.
        import torch

        return (
            torch.from_numpy(_gather(self.dense, index, np.float32)),
            torch.from_numpy(_gather(self.ids, index, np.int64)),
            torch.from_numpy(_gather(self.label, index, np.float32)),
        )


def _gather(array: NDArray[Any] | Joined, index: Index, dtype: type[np.generic]) -> NDArray[Any]:
    if isinstance(array, Joined):
        return array[index].astype(dtype, copy=False)
    if isinstance(index, slice):
        return array[index].astype(dtype)  # always a copy: a tensor must not write into the file's pages
    # np.take is faster than fancy indexing and copies already.
    return np.take(array, index, axis=0).astype(dtype, copy=False)
