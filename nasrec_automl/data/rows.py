"""Prepared rows in memory or in memory-mapped files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.joined import Joined
from nasrec_automl.errors import DataError
from nasrec_automl.randomness import rng_for

if TYPE_CHECKING:
    from torch import Tensor

Index = slice | Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Rows:
    """n prepared rows. Training, head fitting and evaluation take their batches from it.

    Attributes:
        dense: `(n, D)` floats.
        ids: `(n, S)` integers of any width.
        label: `(n,)` zeros and ones of any type; where teachers have a say in them, floats between.
        weight: `(n,)` numbers, at least 0, where rows count more or less than once: a row of weight 3 counts as three
            equal rows, one of weight 0 as none.
    """

    dense: NDArray[Any] | Joined
    ids: NDArray[Any] | Joined
    label: NDArray[Any] | Joined
    weight: NDArray[Any] | Joined | None = None
    # No argument, so that rows which `dataclasses.replace` or a method makes of these have none.
    _pickled: tuple[Callable[..., Rows], tuple[Any, ...]] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not len(self.dense) == len(self.ids) == len(self.label):
            raise DataError(
                f"dense, ids and label must have equally many rows, but have {len(self.dense)}, "
                f"{len(self.ids)} and {len(self.label)}"
            )
        if self.weight is not None and len(self.weight) != len(self.label):
            raise DataError(f"{len(self.label)} rows must have as many weights, but have {len(self.weight)}")

    def __len__(self) -> int:
        return len(self.label)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        return super().__reduce_ex__(protocol) if self._pickled is None else self._pickled

    def pickled_as(self, function: Callable[..., Rows], *arguments: Any) -> Self:
        """Let a pickle of these rows hold no arrays, but a function that opens them and its arguments.

        Rows that are made of these, such as some of them, are pickled with their arrays.
        """
        object.__setattr__(self, "_pickled", (function, arguments))
        return self

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join parts in order; their arrays stay where they are.

        Raises:
            DataError: some parts have weights and others have none.
        """
        if len(parts) == 1:
            return parts[0]
        weights = [part.weight for part in parts if part.weight is not None]
        if weights and len(weights) < len(parts):
            raise DataError(
                f"{len(weights)} of {len(parts)} sets of rows to join have weights: give all of them weights (1 where "
                "a row counts once) or none"
            )
        return cls(
            dense=Joined.of([part.dense for part in parts]),
            ids=Joined.of([part.ids for part in parts]),
            label=Joined.of([part.label for part in parts]),
            weight=Joined.of(weights) if weights else None,
        )

    def take(self, index: Index) -> Self:
        """Some rows, in the order of the index: a slice, or row positions."""
        return type(self)(
            dense=self.dense[index],
            ids=self.ids[index],
            label=self.label[index],
            weight=None if self.weight is None else self.weight[index],
        )

    def sample(self, most: int | None, seed: int) -> Self:
        """Draw at most so many rows without order: prepared rows may be sorted by time.

        Args:
            most: number of rows; all of them where it is None or larger.
            seed: of the draw.
        """
        if most is None or len(self) <= most:
            return self
        return self.take(np.sort(rng_for("sample of rows", seed).choice(len(self), most, replace=False)))

    def batch(self, index: Index) -> tuple[Tensor, ...]:
        """Copy some rows into tensors.

        Args:
            index: a slice, or B row positions in any order.

        Returns:
            Dense `(B, D)` float32, ids `(B, S)` int64, label `(B,)` float32, and weight `(B,)` float32 where the rows
            have weights.
        """
        # Only training needs torch; preparation and serving by ONNX read this module without it.
        import torch

        parts: list[tuple[NDArray[Any] | Joined, type[np.generic]]] = [
            (self.dense, np.float32),
            (self.ids, np.int64),
            (self.label, np.float32),
        ]
        if self.weight is not None:
            parts.append((self.weight, np.float32))
        return tuple(torch.from_numpy(_gather(array, index, dtype)) for array, dtype in parts)


def _gather(array: NDArray[Any] | Joined, index: Index, dtype: type[np.generic]) -> NDArray[Any]:
    if isinstance(array, Joined):
        return array[index].astype(dtype, copy=False)
    if isinstance(index, slice):
        return array[index].astype(dtype)  # always a copy: a tensor must not write into the file's pages
    # np.take is faster than fancy indexing and copies already.
    return np.take(array, index, axis=0).astype(dtype, copy=False)
