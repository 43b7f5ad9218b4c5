"""Contents of data reports: values made up here."""

from __future__ import annotations

from typing import Any

import numpy as np

from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.columns import DenseColumn
from nasrec_automl.data.description import Description, FieldDescription, PartDescription, SplitDescription
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.statistics import DenseStatistics, FieldStatistics, Period, Statistics
from nasrec_automl.report.data_content import DataContent

ROWS = dict(zip(PARTS, (72_000, 8_000, 5_000, 2_500, 2_500, 10_000), strict=True))


def field(name: str = "site", categories: int = 1000, **changes: Any) -> FieldStatistics:
    sizes = tuple((2**i, categories // 2**i) for i in range(10) if categories // 2**i)
    given = {"values": 80_000, "missing": 0.0, "sizes": sizes, "top": (("a", 0.5), ("b", 0.25))}
    return FieldStatistics(**{"name": name, "categories": categories} | given | changes)


def period(start: float = 1.7e9, *, parts: tuple[Part, ...] = PARTS, bins: int = 50) -> Period:
    def spread(part: Part, share: float) -> tuple[int, ...]:
        return (int(ROWS[part] * share) // bins,) * bins if part in parts else (0,) * bins

    return Period(
        edges=tuple(np.linspace(start, start + 86_400, bins + 1).tolist()),
        rows={part: spread(part, 1.0) for part in PARTS},
        positives={part: spread(part, 0.25) for part in PARTS},
    )


def data_content(
    *,
    fields: tuple[FieldStatistics, ...] = (field(), field("user", 50_000)),
    dense: tuple[DenseStatistics, ...] = (DenseStatistics(name="price", missing=0.1, mean=3.5, low=0.0, high=90.0),),
    columns: tuple[DenseColumn, ...] | None = None,
    rates: dict[Part, float] | None = None,
    unknown: dict[Part, dict[str, int]] | None = None,
    periods: tuple[Period, ...] = (),
    weight: float | None = None,
    **changes: Any,
) -> DataContent:
    """A content of 100,000 rows; further arguments are of `Description` or of `DataContent`."""
    of_content = {name: changes.pop(name) for name in ("rejected", "size") if name in changes}
    parts = {
        part: PartDescription(
            rows=rows,
            positive_rate=(rates or {}).get(part, 0.25),
            weight=None if weight is None else rows * weight,
            shards=(),
        )
        for part, rows in ROWS.items()
    }
    description = {
        "name": "clicks",
        "label": "clicked",
        "split": SplitDescription(kind="random", seed=1),
        "dense": tuple(each.name for each in dense),
        "fields": tuple(FieldDescription(name=each.name, table_size=100) for each in fields),
        "ids_type": "uint16",
        "parts": parts,
        "fingerprint": "0123456789abcdef",
    }
    made = columns if columns is not None else tuple(DenseColumn(name=each.name) for each in dense)
    return DataContent(
        description=Description(**description | changes),
        preprocessing=Preprocessing(
            dense=made,
            categorical=tuple(CategoricalColumn(name=each.name, kind="hash", table_size=100) for each in fields),
        ),
        statistics=Statistics(rows=80_000, fields=fields, dense=dense, periods=periods),
        unknown={part: {each.name: 0 for each in fields} | (unknown or {}).get(part, {}) for part in PARTS[:-1]},
        **{"size": 5_000_000} | of_content,
    )
