import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from nasrec_automl.data import learning
from nasrec_automl.data import spill as spill_module
from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.counting import count_keys
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.learning import PART, dense_column, encode, field_column, learn
from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.spill import Spill
from nasrec_automl.data.statistics import Statistics
from tests.data.learned import fit

DENSE = {"n": DenseOptions(transform="quantile", flag_missing=True), "m": DenseOptions(transform="none")}
CATEGORICAL = {
    "c": CategoricalOptions(min_count=2),
    "h": CategoricalOptions(format="hex", max_table_size=5),
    "tags": CategoricalOptions(max_values=2),
    "hour": CategoricalOptions(),
}
DECLARED = Declared(
    dense=DENSE, categorical=CATEGORICAL, derived=(DerivedColumn(name="hour", source="t", kind="hour"),)
)
ROWS, SIZE = 200, 30
RNG = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {
        "n": np.where(RNG.random(ROWS) < 0.2, np.nan, RNG.normal(size=ROWS)),
        "m": [None] * ROWS,
        "c": RNG.choice(["a", "b", "c", "rare", None], size=ROWS, p=[0.5, 0.3, 0.1, 0.01, 0.09]),
        "h": [f"{code:08x}" for code in RNG.integers(0, 9, size=ROWS)],
        "tags": RNG.choice(["x|y", "y", "z|x|y", ""], size=ROWS),
        "t": RNG.integers(0, 86400, size=ROWS),
    }
)
PARTS_OF_ROWS = RNG.integers(0, len(PARTS), size=ROWS).astype(np.uint8)
TRAINING = np.isin(PARTS_OF_ROWS, [PARTS.index(Part.TRAIN), PARTS.index(Part.HEAD)])


def chunks() -> Iterator[pd.DataFrame]:
    for start in range(0, ROWS, SIZE):
        yield FRAME.iloc[start : start + SIZE].reset_index(drop=True)


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    made = Spill(tmp_path)
    for chunk in chunks():
        dense, keys = encode(chunk, DECLARED)
        columns: dict[str, NDArray[Any]] = {dense_column(name): values for name, values in dense.items()}
        for name, found in keys.items():
            made.write_texts(field_column(name), found)
            columns[field_column(name)] = found.keys
        made.add(columns)
    for start in range(0, ROWS, SIZE):
        made.write(PART, PARTS_OF_ROWS[start : start + SIZE])
    return made


@pytest.fixture(params=["at once", "piece by piece"])
def learned(spill: Spill, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "piece by piece":
        monkeypatch.setattr(spill_module, "_SEGMENT", 17)
        monkeypatch.setattr(learning, "count_keys", partial(count_keys, most=2))
    done: list[int] = []
    made = learn(
        spill, dense=DENSE, categorical=CATEGORICAL, declared=DECLARED, on_column=lambda: done.append(len(done))
    )
    assert len(done) == 6, "told of each column"
    return made


def test_the_training_rows_alone_teach_however_many_come_at_once(learned: tuple[Preprocessing, Statistics]) -> None:
    assert learned[0] == fit(FRAME[TRAINING], dense=DENSE, categorical=CATEGORICAL, derived=DECLARED.derived)
    for column in learned[0].categorical[:2]:
        often = FRAME[TRAINING][column.name].value_counts()
        known = [(-count, text) for text, count in often.items() if count >= CATEGORICAL[column.name].min_count]
        ranked = [text for _, text in sorted(known)][: 4 if column.name == "h" else None]
        assert column.vocabulary == {text: row for row, text in enumerate(ranked, start=1)}


MANY, CHUNK = 300_000, 10_000


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "hash", "max_table_size": 1000},
        {"hash_above": 5000},
        {"min_count": 2},
        {"min_count": 2, "max_table_size": 10},
    ],
)
def test_memory_does_not_grow_with_categories_that_have_no_row(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill_module, "_SEGMENT", CHUNK)
    monkeypatch.setattr(learning, "count_keys", partial(count_keys, most=30_000))
    spill, keys = Spill(tmp_path), np.arange(1, MANY + 1, dtype=np.uint64)
    for start in range(0, MANY, CHUNK):
        spill.write(field_column("h"), keys[start : start + CHUNK, None])
        spill.write(PART, np.full(CHUNK, PARTS.index(Part.TRAIN), dtype=np.uint8))
    categorical = {"h": CategoricalOptions(format="hex", **options)}
    declared = Declared(dense={}, categorical=categorical)
    tracemalloc.start()
    preprocessing, statistics = learn(
        spill, dense={}, categorical=categorical, declared=declared, on_column=lambda: None
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert statistics.fields[0].categories == MANY
    assert preprocessing.categorical[0].table_size <= 5000
    assert peak < keys.nbytes, "less than the keys alone, of which there were several copies and counts"


def test_few_columns_are_learned_at_once(spill: Spill, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int | None] = []

    def spied(work: Any, items: Any, *, threads: int | None = None) -> Any:
        asked.append(threads)
        return map(work, items)

    monkeypatch.setattr(learning, "map_ahead", spied)
    learn(spill, dense=DENSE, categorical=CATEGORICAL, declared=DECLARED, on_column=lambda: None)
    assert asked == [4]


def test_statistics_are_of_the_training_rows(learned: tuple[Preprocessing, Statistics]) -> None:
    rows, statistics = FRAME[TRAINING], learned[1]
    assert statistics.rows == len(rows)
    n, m = statistics.dense
    assert (n.missing, n.mean, n.low, n.high) == pytest.approx(
        (rows["n"].isna().mean(), rows["n"].mean(), rows["n"].min(), rows["n"].max())
    )
    assert (m.missing, m.mean, m.low, m.high) == (1.0, None, None, None)
    fields = {field.name: field for field in statistics.fields}
    assert list(fields) == list(CATEGORICAL)
    assert fields["c"].missing == pytest.approx(rows["c"].isna().mean())
    assert fields["c"].categories == rows["c"].nunique(), "rare ones too"
    assert dict(fields["h"].top) == pytest.approx(dict(rows["h"].value_counts(normalize=True)))
    assert fields["tags"].missing == pytest.approx((rows["tags"] == "").mean())
    assert fields["tags"].values == int((rows["tags"].str.count(r"\|") + 1).clip(upper=2)[rows["tags"] != ""].sum())


def test_a_frame_and_a_table_are_encoded_alike() -> None:
    table = pa.Table.from_pandas(FRAME, preserve_index=False)
    dense, keys = encode(FRAME, DECLARED)
    again_dense, again_keys = encode(table, DECLARED)
    assert (list(dense), list(keys)) == (list(DENSE), list(CATEGORICAL))
    for name in dense:
        np.testing.assert_array_equal(again_dense[name], dense[name])
    for name, found in keys.items():
        np.testing.assert_array_equal(again_keys[name].keys, found.keys)
        assert found.keys.shape == (ROWS, CATEGORICAL[name].columns)
