import dataclasses
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nasrec_automl.data.appending import append
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import PARTS, TRAINING, VALIDATION, Part, SplitKind
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.raw import Chunk, RawData, RawSource, with_defaults
from nasrec_automl.data.readers.table import table
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.statistics import Statistics
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.errors import DataError


def day(number: int) -> RawData:
    raw = make_synthetic(1000, seed=number)
    return dataclasses.replace(raw, time=pd.Series(np.arange(1000) + 10_000 * number))


def content(data: PreparedData, *parts: Part) -> np.ndarray:
    rows = data.part(*parts)
    return np.column_stack([np.asarray(rows.dense), np.asarray(rows.ids), np.asarray(rows.label)])


def ordered(rows: np.ndarray) -> list[list[float]]:
    return sorted(rows.tolist())


@pytest.mark.parametrize("kind", ["random", "time"])
def test_tables_stay_and_all_rows_are_there(tmp_path: Path, kind: SplitKind) -> None:
    before = prepare(day(0), tmp_path / "p", split=kind)
    data = append(day(1), tmp_path / "p", tmp_path / "p")
    data = append(day(2), tmp_path / "p", tmp_path / "p")
    assert data.preprocessing == before.preprocessing
    assert data.fingerprint != before.fingerprint
    assert sum(data.rows(part) for part in PARTS) == 3000
    data.verify()
    whole = PreparedData.open(tmp_path / "p", test=True)
    raw = pd.concat([day(number).frame for number in range(3)])
    dense, ids = before.preprocessing.transform(raw)
    label = pd.concat([day(number).label for number in range(3)])
    assert ordered(content(whole, *PARTS)) == ordered(np.column_stack([dense, ids, label]))
    for part in PARTS:
        assert data.description.parts[part].positive_rate == pytest.approx(np.asarray(whole.part(part).label).mean())
    periods = Statistics.load(tmp_path / "p").periods
    assert [sum(sum(rows) for rows in period.rows.values()) for period in periods] == [1000] * 3


def test_a_random_split_grows_in_each_part(tmp_path: Path) -> None:
    before = prepare(day(0), tmp_path / "p")
    first = {part: content(before, part) for part in (*TRAINING, *VALIDATION)}
    data = append(day(1), tmp_path / "p", tmp_path / "p")
    for part, rows in first.items():
        assert data.rows(part) == pytest.approx(2 * len(rows), abs=3)
        np.testing.assert_array_equal(content(data, part)[: len(rows)], rows)


def test_by_time_what_was_measured_on_becomes_training(tmp_path: Path) -> None:
    whole = PreparedData.open(prepare(day(0), tmp_path / "p", split="time").path, test=True)
    old = content(whole, *[part for part in PARTS if part is not Part.HEAD])
    head = content(whole, Part.HEAD)
    data = append(day(1), tmp_path / "p", tmp_path / "p")
    assert ordered(content(data, Part.TRAIN)[: len(old)]) == ordered(old)
    np.testing.assert_array_equal(content(data, Part.HEAD)[: len(head)], head)
    assert data.rows(Part.TEST) == pytest.approx(100, abs=2)
    dense, _ = data.preprocessing.transform(day(1).frame)
    newest = PreparedData.open(tmp_path / "p", test=True).part(Part.TEST)
    np.testing.assert_array_equal(newest.dense, dense[-len(newest) :])


def test_by_time_rows_must_be_later(tmp_path: Path) -> None:
    before = prepare(day(1), tmp_path / "p", split="time").fingerprint
    for number in (0, 1):
        with pytest.raises(DataError, match="ends at 10999, but the new rows begin at"):
            append(day(number), tmp_path / "p", tmp_path / "p")
    assert PreparedData.open(tmp_path / "p").fingerprint == before
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_rows_that_are_not_later_are_refused_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(day(1), tmp_path / "p", split="time")
    monkeypatch.setattr("nasrec_automl.data.appending.divide_spill", lambda *_, **__: pytest.fail("divided first"))
    with pytest.raises(DataError, match="append later rows alone"):
        append(day(1), tmp_path / "p", tmp_path / "q")


@pytest.mark.parametrize(
    ("form", "began", "said"),
    [
        ("ISO8601", "2024-01-25T22:59:59.5", ("2024-01-25T23:00:00+00:00", "2024-01-25T22:59:59.500000+00:00")),
        ("%d.%m.%Y %H", "25.01.2024 23", ("2024-01-25T23:00:00+00:00", "2024-01-25T23:00:00+00:00")),
        ("number", 1706223600.125, ("1706223600.25", "1706223600.125")),
    ],
)
def test_moments_are_said_as_dates_and_numbers_in_full(
    form: str, began: float | str, said: tuple[str, str], tmp_path: Path
) -> None:
    schema = TableSchema.model_validate(
        {"label": "y", "timestamp": {"column": "t", "format": form}, "categorical": {"c": None}}
    )
    moments = pd.date_range("2024-01-01", periods=600, freq="h")
    written = {"ISO8601": moments.astype(str), "%d.%m.%Y %H": moments.strftime(form)}
    numbers = moments.as_unit("s").astype("int64") + 0.25
    frame = pd.DataFrame({"y": [0, 1] * 300, "t": written.get(form, numbers), "c": "a"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.assign(t=began).to_csv(tmp_path / "b.csv", index=False)
    prepare(table([tmp_path / "a.csv"], schema), tmp_path / "p", split="time")
    with pytest.raises(DataError, match=re.escape("ends at {}, but the new rows begin at {}: ".format(*said))):
        append(table([tmp_path / "b.csv"], schema), tmp_path / "p", tmp_path / "q")


def test_other_rows_are_refused(tmp_path: Path) -> None:
    prepare(day(0), tmp_path / "p")
    with pytest.raises(DataError, match=r"holds synthetic \(.*\), to which shop \(.*\) cannot be appended"):
        append(dataclasses.replace(day(1), name="shop"), tmp_path / "p", tmp_path / "p")
    with pytest.raises(DataError, match="either all rows have weights or none"):
        append(dataclasses.replace(day(1), weight=pd.Series(1.0, index=range(1000))), tmp_path / "p", tmp_path / "p")
    with pytest.raises(DataError, match="expected a prepared data set"):
        append(day(1), tmp_path / "nowhere", tmp_path / "q")


def test_rows_of_another_kind_are_refused_before_all_are_read(tmp_path: Path) -> None:
    prepare(day(0), tmp_path / "p")
    divided = dataclasses.replace(day(1))
    chunk = next(divided.chunks(Rejections()))

    def chunks(_: Rejections) -> Iterator[Chunk]:
        yield dataclasses.replace(chunk, fold=np.zeros(1000, dtype=np.uint8))
        for _ in range(3):  # a reader may be a chunk ahead
            yield chunk
        pytest.fail("read on")

    object.__setattr__(divided, "chunks", chunks)
    with pytest.raises(DataError, match="its split is random, so that the rows appended cannot come divided"):
        append(divided, tmp_path / "p", tmp_path / "q")


def test_a_killed_appending_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(day(0), tmp_path / "p").fingerprint
    child = os.fork()
    if not child:
        # All shards are in place, and nothing says so yet.
        monkeypatch.setattr(Statistics, "save", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        append(day(1), tmp_path / "p", tmp_path / "p")
    os.waitpid(child, 0)
    data = PreparedData.open(tmp_path / "p")
    assert data.fingerprint == before
    data.verify()
    again = append(day(2), tmp_path / "p", tmp_path / "p")
    again.verify()
    fresh = prepare(day(0), tmp_path / "q")
    assert append(day(2), fresh.path, fresh.path).fingerprint == again.fingerprint


def test_the_earlier_folder_stays_and_full_shards_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.data.shards.SHARD_ROWS", 300)
    monkeypatch.setattr("nasrec_automl.data.appending.SHARD_ROWS", 300)
    before = prepare(day(0), tmp_path / "p")
    grown = append(day(1), tmp_path / "p", tmp_path / "q")
    assert PreparedData.open(tmp_path / "p").fingerprint == before.fingerprint
    grown.verify()
    first = before.description.parts[Part.TRAIN].shards[0].folder
    assert (tmp_path / "p" / first / "ids.npy").samefile(tmp_path / "q" / first / "ids.npy")
    rows = [shard.rows for shard in grown.description.parts[Part.TRAIN].shards]
    assert rows == [300] * 4 + [240], "shards that were not full are filled"


def test_many_days_are_few_files(tmp_path: Path) -> None:
    prepare(day(0), tmp_path / "p", split="time")
    for number in range(1, 6):
        data = append(day(number), tmp_path / "p", tmp_path / "p")
    assert [len(data.description.parts[part].shards) for part in PARTS] == [1] * 6
    assert data.rows(Part.TRAIN) == 6000 - sum(data.rows(part) for part in PARTS if part is not Part.TRAIN)


def test_rows_of_one_part_alone_can_be_appended_where_the_source_says_so(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "split": "part", "categorical": {"c": None}})
    folds = ["train"] * 300 + ["validation"] * 100 + ["test"] * 60
    pd.DataFrame({"y": [0, 1] * 230, "part": folds, "c": "a"}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"y": [0, 1] * 20, "part": "train", "c": "a"}).to_csv(tmp_path / "b.csv", index=False)
    before = prepare(table([tmp_path / "a.csv"], schema), tmp_path / "p", split="given")
    data = append(table([tmp_path / "b.csv"], schema), tmp_path / "p", tmp_path / "q")
    assert data.rows(Part.TRAIN) + data.rows(Part.HEAD) == 340
    assert data.rows(Part.TEST) == before.rows(Part.TEST) == 60
    undivided = dataclasses.replace(table([tmp_path / "b.csv"], schema))
    chunk = next(undivided.chunks(Rejections()))
    object.__setattr__(undivided, "chunks", lambda _: iter([dataclasses.replace(chunk, fold=None)]))
    with pytest.raises(DataError, match="its split is given, so that the rows appended have to say which of them"):
        append(undivided, tmp_path / "p", tmp_path / "r")
    prepare(day(0), tmp_path / "r")
    divided = dataclasses.replace(day(1))
    chunk = next(divided.chunks(Rejections()))
    monkey = dataclasses.replace(chunk, fold=np.zeros(1000, dtype=np.uint8))
    object.__setattr__(divided, "chunks", lambda _: iter([monkey]))
    with pytest.raises(DataError, match="its split is random, so that the rows appended cannot come divided"):
        append(divided, tmp_path / "r", tmp_path / "r")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"categorical": {"c": {"format": "hex"}}},
            "categorical column 'c' is declared as .*hex.*append with the same",
        ),
        ({"categorical": {"c": {"max_values": 2}}}, "categorical column 'c' is declared as"),
        ({"dense": {"x": {"flag_missing": True}}}, "dense column 'x' is declared as"),
        ({"label_description": "bought"}, r"holds table \(y\), to which table \(bought\) cannot be appended"),
    ],
)
def test_other_columns_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    schema = {"label": "y", "dense": {"x": "log"}, "categorical": {"c": {"min_count": 2}}}
    pd.DataFrame({"y": [0, 1] * 300, "x": 1.0, "c": "0a1b2c3d"}).to_csv(tmp_path / "a.csv", index=False)
    prepare(table([tmp_path / "a.csv"], TableSchema.model_validate(schema)), tmp_path / "p")
    other = TableSchema.model_validate({**schema, "categorical": {"c": {"min_count": 9}}})
    append(table([tmp_path / "a.csv"], other), tmp_path / "p", tmp_path / "q")  # tables stay, whatever they would be
    with pytest.raises(DataError, match=message):
        append(
            table([tmp_path / "a.csv"], TableSchema.model_validate({**schema, **changes})),
            tmp_path / "p",
            tmp_path / "q",
        )


def test_what_defaults_made_of_numbers_stays(tmp_path: Path) -> None:
    asked = {"dense": {"transform": "quantile", "flag_missing": True}}
    made = prepare(with_defaults(day(0), asked), tmp_path / "p").preprocessing
    assert append(day(1), tmp_path / "p", tmp_path / "p").preprocessing == made
    schema = {"label": "y", "dense": {"x": None}, "categorical": {"c": None}}
    pd.DataFrame({"y": [0, 1] * 300, "x": range(600), "c": "a"}).to_csv(tmp_path / "a.csv", index=False)
    of_job = TableSchema.model_validate(schema, context=asked)
    prepare(table([tmp_path / "a.csv"], of_job), tmp_path / "q")
    data = append(table([tmp_path / "a.csv"], TableSchema.model_validate(schema)), tmp_path / "q", tmp_path / "q")
    assert data.preprocessing.dense[0].transform == "quantile"
    other = TableSchema.model_validate({**schema, "defaults": {"dense": "log"}})
    with pytest.raises(
        DataError, match=r"'x' is declared as {'transform': 'log', .*}, but was .*write.*`data.defaults`"
    ):
        append(table([tmp_path / "a.csv"], other), tmp_path / "q", tmp_path / "q")
    renamed = TableSchema.model_validate({"label": "y", "categorical": {"c": None}, "ignored": ["x"]})
    with pytest.raises(
        DataError, match=r"the dense column 'x' is declared as no feature, but was {.*: append with the same schema$"
    ):
        append(table([tmp_path / "a.csv"], renamed), tmp_path / "q", tmp_path / "q")


def test_rows_of_another_label_or_time_are_refused(tmp_path: Path) -> None:
    schema = {"label": "y", "timestamp": {"column": "t"}, "categorical": {"c": None}, "ignored": ["z"]}
    frame = pd.DataFrame({"y": [0, 1] * 300, "z": [1, 0] * 300, "t": 1.0, "u": 2.0, "c": "a"})

    def rows(changes: dict[str, Any]) -> RawSource:
        described = TableSchema.model_validate({**schema, **changes})
        frame[list(described.raw_columns)].to_csv(tmp_path / "a.csv", index=False)
        return table([tmp_path / "a.csv"], described)

    prepare(rows({}), tmp_path / "p")
    for changes, naming in (
        ({"label": "z", "ignored": ["y"]}, r"holds table \(y\), to which table \(z\) cannot be appended"),
        (
            {"label": "z", "ignored": ["y"], "label_description": "y"},
            "the label column was y, but is z now: append with the same schema",
        ),
        ({"timestamp": {"column": "u"}}, r"the time column was t \(number\), but is u \(number\) now"),
        (
            {"timestamp": {"column": "t", "format": "ISO8601"}},
            r"time column was t \(number\), but is t \(ISO8601\)",
        ),
        ({"weight": "u"}, "the weight column was none, but is u now"),
        ({"label_values": ["1", "0"]}, r"the label column was y, but is y \(1 or 0\) now"),
    ):
        with pytest.raises(DataError, match=naming):
            append(rows(changes), tmp_path / "p", tmp_path / "q")
    grown = append(rows({}), tmp_path / "p", tmp_path / "p")
    assert grown.description.notes["label_column"] == "y"


def test_notes_add_up_and_forget_what_holds_for_some_rows(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "dense": {"x": "log"}, "categorical": {"c": None}})
    pd.DataFrame({"y": [0, 1] * 300, "x": 1.0, "c": "a"}).to_csv(tmp_path / "a.csv", index=False)
    before = prepare(table([tmp_path / "a.csv"], schema), tmp_path / "p")
    assert before.description.notes["constant_columns"] == "x, c"
    notes = append(table([tmp_path / "a.csv"], schema), tmp_path / "p", tmp_path / "p").description.notes
    assert (notes["rows_read"], notes["rows_rejected"]) == (1200, 0)
    assert "constant_columns" not in notes


def test_a_day_that_lies_in_the_folder_itself_is_not_lost(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "categorical": {"c": None}})
    rows = pd.DataFrame({"y": [0, 1] * 300, "c": "a"})
    rows.to_csv(tmp_path / "day1.csv", index=False)
    prepare(table([tmp_path / "day1.csv"], schema), tmp_path / "p")
    rows.to_csv(tmp_path / "p" / "day2.csv", index=False)
    day2 = table([tmp_path / "p" / "day2.csv"], schema)
    with pytest.raises(DataError, match=r"p: holds day2.csv, which would be lost"):
        append(day2, tmp_path / "p", tmp_path / "p", on_progress=lambda *_: pytest.fail("read"))
    append(day2, tmp_path / "p", tmp_path / "q")
    assert (tmp_path / "p" / "day2.csv").exists()
