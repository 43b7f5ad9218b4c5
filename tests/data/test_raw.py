from typing import Any

import pandas as pd
import pytest

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.raw import COLUMN_NOTES, RawData, with_defaults, with_tables
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError


def make(label: list[object]) -> RawData:
    return RawData(
        name="shop",
        frame=pd.DataFrame({"x": range(3)}),
        label=pd.Series(label, index=[7, 8, 9][: len(label)], dtype=object),
        label_description="bought",
        dense={"x": DenseOptions(transform="none")},
        categorical={},
    )


@pytest.mark.parametrize("label", [[0, 1, 1], ["0", "1", "1"], [False, True, True], [0.0, 1.0, 1.0]])
def test_labels_of_any_type_that_says_0_or_1(label: list[object]) -> None:
    assert next(make(label).chunks(Rejections())).label.tolist() == [0, 1, 1]


@pytest.mark.parametrize(("value", "shown"), [(2, "'2'"), (0.5, "'0.5'"), (None, "'None'"), (float("nan"), "'nan'")])
def test_another_label_is_named_by_its_row(value: object, shown: str) -> None:
    with pytest.raises(DataError, match=rf"shop: a label must be 0 or 1, but row 2 .* has {shown} \(1 such rows\)"):
        next(make([0, value, 1]).chunks(Rejections()))


def test_text_for_a_label_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match="column 'label' must hold numbers, but row 3"):
        next(make([0, 1, "yes"]).chunks(Rejections()))


def test_each_row_has_a_label() -> None:
    with pytest.raises(DataError, match="3 rows came with 2 labels"):
        next(make([0, 1]).chunks(Rejections()))


@pytest.mark.parametrize("what", ["time", "group"])
@pytest.mark.parametrize("values", [[1, 2], [1, 2, 3, 4]])
def test_each_row_has_a_time_and_a_group_where_there_are_such(what: str, values: list[int]) -> None:
    raw = RawData(**{**vars(make([0, 1, 1])), what: pd.Series(values)})
    naming = f"shop: expected one {what} for each row, but 3 rows came with {len(values)} {what}s: give"
    with pytest.raises(DataError, match=naming):
        next(raw.chunks(Rejections()))


def with_fields() -> RawData:
    raw = make([0, 1, 1])
    tables = {"item": CategoricalOptions(min_count=2), "user": CategoricalOptions(kind="hash", max_table_size=50)}
    return RawData(**{**vars(raw), "categorical": tables})


def test_without_changes_tables_are_those_of_the_reader() -> None:
    assert with_tables(with_fields()).categorical == with_fields().categorical


def test_the_cap_is_on_every_field_but_compositional_ones() -> None:
    tables = with_tables(with_fields(), hash_above=20, fields={"user": {"compositional": 4}}).categorical
    assert tables["item"] == CategoricalOptions(min_count=2, hash_above=20)
    assert tables["user"] == CategoricalOptions(kind="hash", max_table_size=50, compositional=4)


def test_a_compositional_field_loses_the_cap_of_its_source() -> None:
    raw = with_fields()
    tables = {"item": CategoricalOptions(hash_above=500), "user": CategoricalOptions(hash_above=5, compositional=2)}
    raw = RawData(**{**vars(raw), "categorical": tables})
    made = with_tables(raw, hash_above=20, fields={"item": {"compositional": 4}}).categorical
    assert made["item"] == CategoricalOptions(compositional=4)
    assert made["user"] == tables["user"], "it was meant for such a table"
    made = with_tables(raw, fields={"item": {"compositional": 4, "hash_above": 9}}).categorical
    assert made["item"] == CategoricalOptions(compositional=4, hash_above=9)
    assert with_tables(raw).categorical["item"] == tables["item"]
    with pytest.raises(DataError, match="field 'item': a hashed column needs max_table_size"):
        with_tables(raw, fields={"item": {"compositional": 4, "kind": "hash"}})


def test_defaults_take_the_place_of_what_a_source_declares_for_all_fields() -> None:
    raw = with_fields()
    made = with_defaults(raw, {"categorical": {"min_count": 7}, "dense": {"flag_missing": True}})
    assert made.categorical["item"] == CategoricalOptions(min_count=7)
    assert made.categorical["user"] == CategoricalOptions(kind="hash", max_table_size=50, min_count=7)
    assert made.dense == {"x": DenseOptions(transform="none", flag_missing=True)}
    assert with_tables(made, fields={"item": {"min_count": 3}}).categorical["item"].min_count == 3
    assert vars(with_defaults(raw, {})) == vars(raw)
    with pytest.raises(DataError, match="shop, field 'item': a hashed column needs max_table_size"):
        with_defaults(raw, {"categorical": {"kind": "hash"}})
    with pytest.raises(DataError, match="shop, number features: transform: "):
        with_defaults(raw, {"dense": {"transform": "sqrt"}})


@pytest.mark.parametrize(("asked", "caps"), [(1000, [10, 1000, 1000]), (5, [5, 5, 5]), (None, [10, 5000, None])])
def test_the_cap_of_a_tables_schema_is_the_smaller_one(asked: int | None, caps: list[int | None]) -> None:
    tables = {name: CategoricalOptions(hash_above=cap) for name, cap in zip("cde", (10, 5000, None), strict=True)}
    raw = RawData(**{**vars(make([0, 1, 1])), "categorical": tables})
    own = RawData(**{**vars(raw), "notes": {COLUMN_NOTES[0]: "clicked"}})
    assert [made.hash_above for made in with_tables(own, hash_above=asked).categorical.values()] == caps
    lifted = with_tables(raw, hash_above=2_000_000_000).categorical.values()
    assert {made.hash_above for made in lifted} == {2_000_000_000}, "that of a source of ours is a default"


def test_a_field_keeps_what_is_not_set() -> None:
    tables = with_tables(with_fields(), fields={"user": {"max_table_size": 9}, "item": {"min_count": 5}}).categorical
    assert tables["item"] == CategoricalOptions(min_count=5)
    assert tables["user"] == CategoricalOptions(kind="hash", max_table_size=9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": {}}, "shop has no categorical field 'users'; the fields are item, user"),
        ({"item": {"kind": "hash"}}, "shop, field 'item': a hashed column needs max_table_size"),
        (
            {"item": {"compositional": 1}},
            "shop, field 'item': compositional: .*greater than or equal to 2, but it is 1",
        ),
    ],
)
def test_tables_that_cannot_be_made_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_tables(with_fields(), fields=fields)


def with_groups(groups: list[str]) -> RawData:
    return RawData(**{**vars(make([0, 1, 1])), "group": pd.Series(groups)})


def test_rows_of_one_group_are_one_row_of_a_split() -> None:
    (chunk,) = with_groups(["b", "b", "a"]).chunks(Rejections())
    assert chunk.row.tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="shop: rows of one group must stand together"):
        next(with_groups(["b", "a", "b"]).chunks(Rejections()))


def test_a_frame_comes_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.data.raw.CHUNK_ROWS", 2)
    raw = RawData(**{**vars(make([0, 1, 1])), "weight": pd.Series([1, 2, 0.5]), "time": pd.Series([3, 1, 2])})
    first, last = raw.chunks(Rejections())
    assert (list(first.table["x"]), list(last.table["x"])) == ([0, 1], [2])
    assert (first.row.tolist(), last.row.tolist()) == ([0, 1], [2])
    assert first.weight is not None
    assert first.weight.tolist() == [1, 2]
    assert last.time is not None
    assert last.time.tolist() == [2]


@pytest.mark.parametrize("weight", [[1, -1, 1], [1, None, 1], [1, 1]])
def test_weights_must_be_weights(weight: list[float]) -> None:
    raw = RawData(**{**vars(make([0, 1, 1])), "weight": pd.Series(weight)})
    with pytest.raises(DataError, match="a weight of at least 0 for each of the 3 rows"):
        next(raw.chunks(Rejections()))
