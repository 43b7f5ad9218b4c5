"""In how many prepared rows a field has no value that its table knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, VALIDATION, Part

_BLOCK = 1 << 16


def count_unknown(
    data: PreparedData,
    parts: Iterable[Part] = (*TRAINING, *VALIDATION),
    *,
    on_rows: Callable[[int], None] = lambda done: None,
) -> Mapping[Part, Mapping[str, int]]:
    """Count the rows whose ids of a field are all 0: the value is missing, too rare for the table, or never seen.

    Args:
        data: of which a block of rows is in memory at a time.
        parts: whose rows are read; test is closed unless `data` is open for it.
        on_rows: told how many rows are done.

    Returns:
        For each part the number of such rows by field.
    """
    fields = data.description.fields
    starts = np.cumsum([0, *(field.columns for field in fields)])[:-1]
    done, found = 0, {}
    for part in parts:
        ids, unknown = data.part(part).ids, np.zeros(len(fields), dtype=np.int64)
        for start in range(0, len(ids), _BLOCK):
            block = ids[start : start + _BLOCK]
            unknown += len(block) - np.count_nonzero(np.logical_or.reduceat(block != 0, starts, axis=1), axis=0)
            done += len(block)
            on_rows(done)
        found[part] = dict(zip((field.name for field in fields), unknown.tolist(), strict=True))
    return found
