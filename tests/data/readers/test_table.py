from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
import yaml

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.raw import RawSource
from nasrec_automl.data.readers import kinds
from nasrec_automl.data.readers.table import table
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.errors import DataError
from tests.data.readers.rows import read_all, write

SCHEMA = TableSchema.model_validate(
    yaml.safe_load(
        "{name: mine, label: clicked, weight: w, timestamp: {column: at, format: ISO8601}, "
        "dense: {price: standardise}, categorical: {site: {min_count: 2}, country: }, ignored: [row]}"
    )
)
LINES = [
    "row,clicked,w,at,price,site,country",
    '1,true,2,2024-01-01T00:00:00Z,1.5,"a,b",DE',
    "2,0.0,0.5,2024-01-01 01:00:00,,b,NA",
]


def check(source: RawSource) -> None:
    assert source.name == "mine"
    assert source.categorical["site"].min_count == 2
    assert source.dense == {"price": DenseOptions(transform="standardise")}
    read = read_all(source)
    assert (read.label, read.weight) == ([1, 0], [2.0, 0.5])
    assert read.time == [1704067200.0, 1704070800.0]
    assert read.table.to_pydict() == {"price": [1.5, None], "site": ["a,b", "b"], "country": ["DE", None]}


def test_csv_tsv_and_parquet_say_the_same(tmp_path: Path) -> None:
    csv = write(tmp_path / "f.csv", LINES)
    check(table([csv], SCHEMA))
    frame = pd.read_csv(csv)
    frame.to_csv(tmp_path / "f.tsv.gz", sep="\t", index=False)
    check(table([tmp_path / "f.tsv.gz"], SCHEMA))
    frame["at"] = pd.to_datetime(frame["at"], format="ISO8601", utc=True)
    frame["site"] = frame["site"].astype("category")
    frame["clicked"] = [True, False]
    frame.to_parquet(tmp_path / "f.parquet")
    check(table([tmp_path / "f.parquet"], SCHEMA))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_of_one_table_may_have_their_columns_in_any_order(ending: str, tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "dense": {"n": None}, "categorical": {"c": {"max_values": 2}}})
    write(tmp_path / "a.csv", ["n,y,c", "1.5,1,a|b"])
    others = pd.DataFrame({"c": ["d|e"], "y": [0], "n": [2.5]})
    path = tmp_path / f"b.{ending}"
    others.to_csv(path, index=False) if ending == "csv" else others.to_parquet(path)
    read = read_all(table([tmp_path], schema))
    assert read.label == [1, 0]
    assert read.table.to_pydict() == {"n": [1.5, 2.5], "c": [["a", "b"], ["d", "e"]]}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_ignored_column_may_be_in_some_files_alone(ending: str, tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "categorical": {"c": None}, "ignored": ["new"]})
    rows = pd.DataFrame({"y": [1], "c": ["a"]})
    for name, frame in (("1", rows), ("2", rows.assign(new="x"))):
        path = tmp_path / f"{name}.{ending}"
        frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    assert read_all(table([tmp_path], schema)).table.to_pydict() == {"c": ["a", "a"]}
    headless = schema.model_copy(update={"columns": ("y", "c", "new")})
    with pytest.raises(DataError, match="2 fields instead of 3"):
        read_all(table([write(tmp_path / "3.csv", ["1,a"])], headless))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_further_columns_are_left_out_where_they_may_be(ending: str, tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "weight": "w", "categorical": {"c": None}})
    rows = pd.DataFrame({"more": ["x"], "y": [1], "c": ["a"], "w": [2.0]})
    path = tmp_path / f"f.{ending}"
    rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path)
    assert read_all(table([path], schema, further=True)).table.to_pydict() == {"c": ["a"]}
    with pytest.raises(DataError, match="nothing says what the columns more are"):
        read_all(table([path], schema))
    rows = rows.drop(columns="w")
    rows.to_csv(path, index=False) if ending == "csv" else rows.to_parquet(path)
    with pytest.raises(DataError, match=r"lacks the columns w; it has more, y, c; if its rows .* take `weight: w` out"):
        read_all(table([path], schema, further=True))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("more", [(), ("bad",)])  # a bad row takes the slow way
def test_what_databases_write_for_null_is_missing(ending: str, more: tuple[str, ...], tmp_path: Path) -> None:
    several = {"max_values": 2}
    schema = TableSchema.model_validate(
        {"label": "y", "dense": {"n": None}, "categorical": {"c": None, "h": {"format": "hex"}, "l": several}}
    )
    null = r"\N"
    rows = [["1", null, null, null, null], ["0", "2.5", "a", "0a1b2c3d", "b|c"], *([one] * 5 for one in more)]
    frame, path = pd.DataFrame(rows, columns=[*"ynchl"]), tmp_path / f"f.{ending}"
    separator = "," if ending == "csv" else "\t"
    frame.to_parquet(path) if ending == "parquet" else frame.to_csv(path, sep=separator, index=False)
    read = read_all(table([path], schema))
    assert read.label == [1, 0]
    assert read.table.to_pydict() == {
        "n": [None, 2.5],
        "c": [None, "a"],
        "h": [None, "0a1b2c3d"],
        "l": [None, ["b", "c"]],
    }


def test_many_files_without_headers(tmp_path: Path) -> None:
    schema = TableSchema.model_validate(
        {"label": "y", "categorical": {"c": None}, "columns": ["c", "y"], "separator": ";"}
    )
    write(tmp_path / "part-2.csv", ["b;1"])
    write(tmp_path / "part-10.csv", ["c;0"])
    read = read_all(table([tmp_path], schema))
    assert read.table["c"].to_pylist() == ["b", "c"]
    assert (read.label, read.row) == ([1, 0], [0, 1])


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_label_of_other_values(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    frame = pd.DataFrame({"y": ["no", "yes", "1", None, "yes"], "z": [2.0, 3, 3, 2, 5], "c": "a"})
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    base = {"label": "y", "ignored": ["z"], "categorical": {"c": None}}
    read = read_all(table([path], TableSchema.model_validate({**base, "label_values": ["no", "yes"]})))
    assert read.label == [0, 1, 1]
    assert set(read.rejections.reasons) == {"y: a label that is neither 'no' nor 'yes'", "y: no value"}
    schema = TableSchema.model_validate({**base, "label": "z", "ignored": ["y"], "label_values": [3, 2]})
    assert read_all(table([path], schema)).label == [1, 0, 0, 1]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_label_of_booleans_may_say_which_is_1(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    frame = pd.DataFrame({"y": [True, False, True], "c": "a"})
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    for values in (["True", "False"], ["true", "false"]):
        schema = TableSchema.model_validate({"label": "y", "categorical": {"c": None}, "label_values": values})
        assert read_all(table([path], schema)).label == [0, 1, 0]


def test_a_bad_row_is_rejected_with_its_reason(tmp_path: Path) -> None:
    for ending, write_it in (("csv", "to_csv"), ("parquet", "to_parquet")):
        frame = pd.DataFrame(
            {"y": ["1", "2", "0", "0"], "n": ["1", "2", "x", "4"], "w": [1.0, 1, 1, -1], "c": list("abcd")}
        )
        path = tmp_path / f"f.{ending}"
        getattr(frame, write_it)(path, index=False)
        schema = TableSchema(
            label="y", dense={"n": DenseOptions()}, categorical={"c": CategoricalOptions()}, weight="w"
        )
        read = read_all(table([path], schema), path=tmp_path / f"{ending}.tsv")
        assert (read.label, read.table["n"].to_pylist()) == ([1], [1.0])
        assert set(read.rejections.reasons) == {
            "y: a label that is not 0 or 1",
            "n: text where a number should be",
            "w: a weight below 0",
        }
        lines = (tmp_path / f"{ending}.tsv").read_text().splitlines()[1:]
        assert [int(line.split("\t")[1]) - (ending == "csv") for line in lines] == [2, 3, 4]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("timestamp", [None, {"column": "at"}])
def test_a_time_in_milliseconds_is_a_bad_row(ending: str, timestamp: object, tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": [1, 0, 1], "at": [1704067200.0, 1e15, 1704070800.0]})
    path = tmp_path / f"f.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    derived = [{"name": "hour", "source": "at", "kind": "hour"}]
    schema = TableSchema.model_validate(
        {"label": "y", "timestamp": timestamp, "derived": derived, "categorical": {"hour": None}}
    )
    read = read_all(table([path], schema), path=tmp_path / "rejected.tsv")
    assert read.table["at"].to_pylist() == [1704067200, 1704070800]
    line = 2 + (ending == "csv")
    assert f"f.{ending}\t{line}\tat: a number beyond 100,000,000,000" in (tmp_path / "rejected.tsv").read_text()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_moments_of_odd_lines_are_made_together(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"at": pd.date_range("2024-01-01", periods=300, freq="s").astype(str), "c": 'a"b', "y": 1})
    frame.loc[[7, 8], "y"] = [5, 0]
    path = tmp_path / f"rows.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    spy = Mock(wraps=kinds._instant)
    monkeypatch.setattr(kinds, "_instant", spy)
    schema = TableSchema.model_validate(
        {"label": "y", "categorical": {"c": {}}, "timestamp": {"column": "at", "format": "ISO8601"}}
    )
    rejections = Rejections(0.1)
    (chunk,) = table([path], schema).chunks(rejections)
    assert (len(chunk.label), rejections.rejected) == (299, 1)
    assert chunk.time is not None
    assert chunk.time[:2].tolist() == [1704067200, 1704067201]
    assert spy.call_count < 5


@pytest.mark.parametrize("form", ["ISO8601", "%d.%m.%Y"])
def test_a_moment_of_its_type_needs_no_format(form: str, tmp_path: Path) -> None:
    schema = TableSchema.model_validate(
        {"label": "y", "categorical": {"c": {}}, "timestamp": {"column": "at", "format": form}}
    )
    frame = pd.DataFrame({"at": pd.to_datetime(["2024-01-01 12:30", "2024-05-03 00:00"]), "y": [1, 0], "c": "a"})
    frame.to_parquet(tmp_path / "f.parquet")
    assert read_all(table([tmp_path / "f.parquet"], schema), limit=0.0).time == [1704112200, 1714694400]
    frame["at"] = frame["at"].astype("category")
    frame.to_parquet(tmp_path / "f.parquet")
    assert read_all(table([tmp_path / "f.parquet"], schema), limit=0.0).time == [1704112200, 1714694400]


def test_a_moment_where_a_number_is_expected_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "categorical": {"c": {}}, "timestamp": {"column": "at"}})
    pd.DataFrame({"at": pd.to_datetime(["2024-01-01"]), "y": 1, "c": "a"}).to_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"'at' is of type timestamp.*: set `timestamp\.format` to ISO8601"):
        read_all(table([tmp_path / "f.parquet"], schema))


@pytest.mark.parametrize("lines", [["1,1,a", "0,1,b"], ["c;n;y", "a;1;1"]])
def test_a_first_line_that_names_no_column_is_no_header(lines: list[str], tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "dense": {"n": None}, "categorical": {"c": {}}})
    naming = (
        rf"f\.csv: expected a header that names the columns y, n, c, separated by ',', but the first line is "
        rf"'{lines[0]}': add the header, or say in the schema what the names are \(`columns`\) or what stands between "
        r"them \(`separator`\)"
    )
    with pytest.raises(DataError, match=naming):
        read_all(table([write(tmp_path / "f.csv", lines)], schema))


def test_a_compressed_parquet_file_is_to_be_unpacked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clicks\.parquet\.gz: Parquet is compressed inside, .*: unpack it"):
        read_all(table([write(tmp_path / "clicks.parquet.gz", LINES)], SCHEMA))


def test_an_ending_that_says_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clicks.dat: expected an ending"):
        read_all(table([write(tmp_path / "clicks.dat", LINES)], SCHEMA))


def test_hex_digits_are_checked_row_by_row(tmp_path: Path) -> None:
    schema = TableSchema(label="y", categorical={"c": CategoricalOptions(format="hex")})
    frame = pd.DataFrame({"y": [1, 0, 1], "c": ["0a1b2c3d", "0A1B2C3D", None]})
    for ending, write_it in (("csv", "to_csv"), ("parquet", "to_parquet")):
        getattr(frame, write_it)(tmp_path / f"f.{ending}", index=False)
        read = read_all(table([tmp_path / f"f.{ending}"], schema))
        assert read.table["c"].to_pylist() == ["0a1b2c3d", None]
        assert dict(read.rejections.reasons) == {"c: not 8 hex digits (0-9, a-f)": 1}


def test_a_column_says_what_each_row_is_for(tmp_path: Path) -> None:
    schema = TableSchema(label="y", split="part", categorical={"c": CategoricalOptions()})
    path = write(tmp_path / "f.csv", ["y,part,c", "0,train,a", "1,test,a", "1,valid,b", "1,other,b", "0,,b"])
    (chunk,) = table([path], schema).chunks(Rejections(1.0))
    assert chunk.fold is not None
    assert chunk.fold.tolist() == [0, 2, 1]
    assert chunk.table.column_names == ["c"]


def test_several_values_of_text_and_of_lists_go_together(tmp_path: Path) -> None:
    schema = TableSchema.model_validate(
        {"label": "y", "categorical": {"tags": {"max_values": 2}, "code": {"format": "hex"}}}
    )
    write(tmp_path / "a.csv", ["y,tags,code", "1,a|b,00000000", "0,NA,XYZ", "0,,ffffffff"])
    pd.DataFrame({"y": [1], "tags": [["c"]], "code": ["0000000a"]}).to_parquet(tmp_path / "b.parquet")
    found = read_all(table([tmp_path], schema))
    assert found.table["tags"].to_pylist() == [["a", "b"], None, ["c"]]
    assert dict(found.rejections.reasons) == {"code: not 8 hex digits (0-9, a-f)": 1}
    assert found.rejections.constant_columns == ()
