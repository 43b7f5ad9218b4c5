from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError
from tests.data.readers.rows import criteo_lines, write


def make(label: list[object]) -> RawData:
    return RawData(
        name="shop",
        frame=pd.DataFrame({"x": range(3)}),
        label=pd.Series(label, index=[7, 8, 9][: len(label)], dtype=object),
        label_description="bought",
        dense={"x": "none"},
        categorical={},
    )


@pytest.mark.parametrize("label", [[0, 1, 1], ["0", "1", "1"], [False, True, True], [0.0, 1.0, 1.0]])
def test_labels_of_any_type_that_says_0_or_1(label: list[object]) -> None:
    assert make(label).checked_label().tolist() == [0, 1, 1]


@pytest.mark.parametrize(("value", "shown"), [(2, "'2'"), (0.5, "'0.5'"), (None, "'None'"), (float("nan"), "'nan'")])
def test_another_label_is_named_by_its_row(value: object, shown: str) -> None:
    with pytest.raises(DataError, match=rf"shop: a label must be 0 or 1, but row 2 .* has {shown} \(1 such rows\)"):
        make([0, value, 1]).checked_label()


def test_text_for_a_label_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match="column 'label' must hold numbers, but row 3"):
        make([0, 1, "yes"]).checked_label()


def test_each_row_has_a_label() -> None:
    with pytest.raises(DataError, match="3 rows came with 2 labels"):
        make([0, 1]).checked_label()


def with_fields() -> RawData:
    raw = make([0, 1, 1])
    tables = {"item": CategoricalOptions(min_count=2), "user": CategoricalOptions(kind="hash", max_table_size=50)}
    return RawData(**{**vars(raw), "categorical": tables})


def test_without_changes_tables_are_those_of_the_reader() -> None:
    assert with_fields().with_tables().categorical == with_fields().categorical


def test_the_cap_is_on_every_field_but_compositional_ones() -> None:
    tables = with_fields().with_tables(hash_above=20, fields={"user": {"compositional": 4}}).categorical
    assert tables["item"] == CategoricalOptions(min_count=2, hash_above=20)
    assert tables["user"] == CategoricalOptions(kind="hash", max_table_size=50, compositional=4)


def test_a_field_keeps_what_is_not_set() -> None:
    tables = with_fields().with_tables(fields={"user": {"max_table_size": 9}, "item": {"min_count": 5}}).categorical
    assert tables["item"] == CategoricalOptions(min_count=5)
    assert tables["user"] == CategoricalOptions(kind="hash", max_table_size=9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": {}}, "shop has no categorical field 'users'; the fields are item, user"),
        ({"item": {"kind": "hash"}}, "shop, field 'item': a hashed column needs max_table_size"),
        ({"item": {"compositional": 1}}, "shop, field 'item': .*greater than or equal to 2"),
    ],
)
def test_tables_that_cannot_be_made_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_fields().with_tables(fields=fields)


def test_a_source_in_memory_has_all_chunks(tmp_path: Path) -> None:
    lines = criteo_lines(2000)
    source = criteo([write(tmp_path / "train.txt", [*lines, "bad"])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nasrec_automl.data.readers.source.CHUNK_ROWS", 300)
        patch.setattr("nasrec_automl.data.readers.inputs._BLOCK", 100_000)
        assert sum(1 for _ in source.chunks(Rejections(0.01))) > 2
        raw = RawData.of(source)
    assert len(raw.frame) == len(raw.label) == 2000
    assert raw.frame["C1"].fillna("").tolist() == [line.split("\t")[14] for line in lines]
    assert raw.label.tolist() == [int(line[0]) for line in lines]
    assert (raw.time, raw.weight) == (None, None)
    assert raw.notes.items() >= {"rows_read": 2001, "rows_rejected": 1}.items()
