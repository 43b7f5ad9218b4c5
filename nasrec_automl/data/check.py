"""What a batch must be before a network reads it, whoever made it.

The tables of all fields lie in one matrix, so that an id outside its own table would silently read another field's
rows; and one NaN in a batch is a NaN in every weight.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema


class InputCheck:
    """Checks a network's inputs against its schema. `Network` and `ClickModule` call it on every batch.

    A good batch costs two reductions and one look at the result, which on an accelerator waits for the device.

    Args:
        schema: the features.
    """

    def __init__(self, schema: FeatureSchema) -> None:
        self._schema = schema
        self._fields = [field for field in schema.fields for _ in range(field.columns)]
        self._limits = {torch.device("cpu"): torch.tensor([field.table_size for field in self._fields])}

    def __getstate__(self) -> dict[str, Any]:
        # Without the copies on accelerators: a network that was run there must load where there is none.
        on_cpu = {device: limits for device, limits in self._limits.items() if device.type == "cpu"}
        return {**self.__dict__, "_limits": on_cpu}

    def __call__(self, dense: Tensor, ids: Tensor) -> None:
        """Check B rows.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)`.

        Raises:
            DataError: a wrong shape or type, a value that is not finite, an id outside its table; the message names
                feature, first bad row (counted from 0) and value.
        """
        schema = self._schema
        _check_shape("dense features", dense, schema.num_dense, "one for each dense feature, one of zeros if none")
        _check_shape("ids", ids, schema.num_columns, "one for each id column of the schema")
        if len(dense) != len(ids):
            raise DataError(
                f"a batch needs as many rows of dense features as of ids, but has {len(dense)} and {len(ids)}"
            )
        if not dense.is_floating_point():
            raise DataError(f"dense features must be floats, but are {dense.dtype}: convert them")
        if ids.dtype not in (torch.int64, torch.int32):
            raise DataError(f"ids must be int64 or int32, but are {ids.dtype}: convert them")
        if not len(ids):
            return
        low, high = ids.aminmax(dim=0)
        limits = self._limits.get(ids.device)
        if limits is None:
            limits = self._limits[ids.device] = self._limits[torch.device("cpu")].to(ids.device)
        # A finite sum has finite summands. The opposite does not hold, which the slow way below finds out.
        if not bool(((low >= 0) & (high < limits)).all() & dense.detach().sum().isfinite()):
            self._find(dense, ids, limits)

    def _find(self, dense: Tensor, ids: Tensor, limits: Tensor) -> None:
        wrong = (ids < 0) | (ids >= limits)  # (B, S)
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            field, count = self._fields[column], int(wrong.sum())
            raise DataError(
                f"ids column {column}, field {field.name!r}: row {row} holds {ids[row, column].item()}, but the "
                f"field's table has {field.table_size} rows, 0 to {field.table_size - 1}{_further(count)}; "
                "give unknown values the id 0, or build the network for larger tables"
            )
        wrong = ~dense.isfinite()  # (B, D)
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            name = self._schema.dense[column] if self._schema.dense else "the column of zeros"
            raise DataError(
                f"dense column {column}, feature {name!r}: row {row} holds {dense[row, column].item()}, but every "
                f"value must be finite{_further(int(wrong.sum()))}; fill missing values before they reach a batch"
            )


def check_targets(rows: int, label: Tensor, weight: Tensor | None = None) -> None:
    """Check what a loss needs besides the logits.

    Args:
        rows: B, of the inputs.
        label: `(B,)`.
        weight: `(B,)`.

    Raises:
        DataError: no rows, another number of them, a label outside 0 to 1, a weight that is negative or not finite; the
            message names the first bad row, counted from 0.
    """
    if not rows:
        raise DataError("a batch needs at least one row, but has none")
    targets = {"label": label} if weight is None else {"label": label, "weight": weight}
    for name, tensor in targets.items():
        if tensor.shape != (rows,):
            raise DataError(f"{name}s must have the shape ({rows},), one for each row, but have {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise DataError(f"{name}s must be floats, but are {tensor.dtype}: convert them")
    _check_range("label", label, 1.0, "be within 0 to 1")
    if weight is not None:
        _check_range("weight", weight, torch.finfo(weight.dtype).max, "be finite and at least 0")


def _check_range(name: str, values: Tensor, high: float, rule: str) -> None:
    wrong = ~((values >= 0) & (values <= high))  # NaN fails both
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise DataError(
            f"{name}: row {row} holds {values[row].item()}, but every {name} must {rule}{_further(int(wrong.sum()))}"
        )


def _check_shape(name: str, tensor: Tensor, columns: int, why: str) -> None:
    if tensor.dim() != 2 or tensor.shape[1] != columns:
        raise DataError(
            f"{name} must have the shape (rows, {columns}), with {columns} columns ({why}), "
            f"but have {tuple(tensor.shape)}"
        )


def _further(count: int) -> str:
    return f" ({count - 1:,} further values are wrong too)" if count > 1 else ""
