from pathlib import Path

import pytest

from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.errors import DataError

GOOD = "label: y\ncategorical: {c: , d: {kind: hash, max_table_size: 100}, hour: }\ndense: {n: , m: none}\n"
TIME = "timestamp: {column: t}\nderived: [{name: hour, source: t, kind: hour}]\n"


def load(folder: Path, text: str) -> object:
    (folder / "schema.yaml").write_text(text)
    return load_table_schema(folder / "schema.yaml")


def test_roles_and_options(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD + TIME + "weight: w\nignored: [x]\n")
    schema = load_table_schema(tmp_path / "s.yaml")
    assert schema.categorical["c"].kind == "vocabulary"
    assert schema.categorical["d"].max_table_size == 100
    assert schema.dense == {"n": DenseOptions(transform="log"), "m": DenseOptions(transform="none")}
    assert schema.numbers == ("n", "m", "t")
    assert schema.texts == ("c", "d")
    assert schema.raw_columns == ("y", "w", "t", "n", "m", "c", "d", "x")


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("label: y\n", "categorical: Field required"),
        ("label: y\ncategorical: {}\n", "categorical: Dictionary should have at least 1"),
        ("- 1\n", "valid dictionary"),
        ("a: [\n", "not a YAML file"),
        (GOOD + "colour: red\n", "colour: no such field; there are label, name"),
        (GOOD + "weight: y\n", "'y' has two roles"),
        (GOOD + "ignored: [c]\n", "'c' has two roles"),
        (GOOD + "timestamp: {column: c}\n", "timestamp 'c' has another role"),
        (GOOD + "timestamp: {column: n, format: ISO8601}\n", "timestamp 'n' is no number"),
        (GOOD + "derived: [{name: day, source: n, kind: weekday}]\n", "derived column 'day' is no feature"),
        (GOOD + "derived: [{name: hour, source: c, kind: hour}]\n", "made of numbers of the table, but 'c'"),
        (GOOD + "separator: '\"'\n", "separator"),
        (GOOD + "columns: [y, c, d, n, m]\n", "look at 'hour'"),
        (GOOD + "columns: [y, c, d, hour, n, m, m]\n", "must not name one twice"),
        (GOOD.replace("max_table_size: 100", "rows: 3"), "categorical.d"),
    ],
)
def test_what_is_wrong_is_named(text: str, naming: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=naming):
        load(tmp_path, text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.yaml: expected a schema file"):
        load_table_schema(tmp_path / "none.yaml")
