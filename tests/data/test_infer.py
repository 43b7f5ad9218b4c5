from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from nasrec_automl.data import first_rows
from nasrec_automl.data.infer import infer_schema
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.sources import open_source
from nasrec_automl.errors import DataError
from tests.data.readers.rows import read_all


def frame(rows: int = 400) -> pd.DataFrame:
    index = pd.Series(range(rows))
    return pd.DataFrame(
        {
            "row_id": index + 10**12,
            "created_at": "2024-01-" + (index % 28 + 1).astype(str).str.zfill(2) + "T10:00:00",
            "premium": index % 2,
            "clicked": (index % 7 == 0).astype(int),
            "city": "c" + (index % 9).astype(str),
            "shop_id": index % 90,
            "price": index * 1.25,
            "delta": index % 101 - 50,
            "stars": index % 5,
            "empty": None,
            "same": "x",
            "null": index % 3,
            "token": "t" + index.astype(str),
        }
    )


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet"])
def test_each_column_has_a_role_and_a_reason(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"clicks.{ending}"
    if ending == "parquet":
        frame().to_parquet(path)
    else:
        frame().to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    text = infer_schema(path)
    assert yaml.safe_load(text) == {
        "label": "clicked",
        "timestamp": {"column": "created_at", "format": "ISO8601"},
        "dense": {"price": "log", "delta": "standardise"},
        "categorical": dict.fromkeys(["premium", "city", "shop_id", "stars", "null", "created_at_weekday"]),
        "derived": [{"name": "created_at_weekday", "source": "created_at", "kind": "weekday"}],
        "ignored": ["row_id", "empty", "same", "token"],
    }
    assert all("#" in line for line in text.splitlines() if line != "ignored:"), "every line says why"
    (tmp_path / "schema.yaml").write_text(text)
    read = read_all(open_source("table", [path], schema=tmp_path / "schema.yaml"))
    assert len(read.label) == 400
    assert sum(read.label) == 58


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(("rows", "where"), [(300, ""), (301, " in the first 300 rows")])
def test_what_holds_of_the_first_rows_alone_is_said_of_them(
    rows: int, where: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_rows, "MOST_ROWS", 300)
    path = tmp_path / f"clicks.{ending}"
    frame(rows).to_csv(path, index=False) if ending == "csv" else frame(rows).to_parquet(path)
    lines = infer_schema(path).splitlines()
    assert f"  - same  # always the same{where}" in lines
    assert f"  - empty  # always missing{where}" in lines


def test_lists_are_fields_but_for_vectors_and_no_more_than_some_values_are_read(tmp_path: Path) -> None:
    rows, path = 40, tmp_path / "f.parquet"
    table = {
        "click": [i % 2 for i in range(rows)],
        "vector": [[i / 8, 1.0, -2.5] for i in range(rows)],
        "history": [list(range(i, i + 80)) for i in range(rows)],
        "genres": [["a", "b", "c"][: i % 4] for i in range(rows)],
    }
    pq.write_table(pa.table(table), path)
    lines = infer_schema(path).splitlines()
    found = {line.split(":")[0].strip(" -"): line for line in lines}
    assert (
        "- vector  # lists of numbers, the longest of 3: no role reads vectors"
        in found["vector  # lists of numbers, the longest of 3"]
    )
    assert "history: {max_values: 50}  # lists, the longest of 80, of which 50 are read" in found["history"]
    assert "genres: {max_values: 3}  # lists, the longest of 3" in found["genres"]


def test_whole_numbers_of_many_values_are_numbers_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    frame().assign(customer=range(400)).to_csv(path, index=False)
    lines = infer_schema(path).splitlines()
    hint = "; if these are ids, put it under categorical"
    assert f"  customer: log  # numbers from 0 to 399, 400 different{hint}" in lines
    assert not any(hint in line for line in lines if "price" in line)


def test_a_label_that_is_not_named_so_is_marked_as_guessed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b,c\n0,1,x\n1,0,y\n")
    first = infer_schema(path).splitlines()[1]
    assert first == "label: a  # GUESSED: holds 0 and 1; so do b; positive in 50.0% of the rows"


def test_a_column_of_zeros_is_no_label_beside_one_of_both(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("is_test,bought,shop\n0,0,x\n0,1,y\n0,0,z\n")
    draft = yaml.safe_load(infer_schema(path))
    assert draft["label"] == "bought"
    assert draft["ignored"] == ["is_test"]
    path.write_text("click,bought,shop\n0,0,x\n0,0,y\n0,0,z\n")
    assert yaml.safe_load(infer_schema(path))["label"] == "click"


@pytest.mark.parametrize("order", [("day", "ts"), ("ts", "day")])
@pytest.mark.parametrize("days", [31, 365])
def test_the_time_is_a_column_of_dates_and_no_day_of_the_month(
    tmp_path: Path, order: tuple[str, str], days: int
) -> None:
    columns = {
        "day": [1 + i % days for i in range(400)],
        "ts": [f"2024-05-{1 + i % 31:02}T10:00:00" for i in range(400)],
    }
    frame = pd.DataFrame({"click": [0, 0, 1, 1] * 100, **{n: columns[n] for n in order}, "shop": ["x", "y"] * 200})
    frame.to_csv(tmp_path / "f.csv", index=False)
    assert yaml.safe_load(infer_schema(tmp_path / "f.csv"))["timestamp"] == {"column": "ts", "format": "ISO8601"}
    frame.drop(columns="ts").to_csv(tmp_path / "f.csv", index=False)
    draft = yaml.safe_load(infer_schema(tmp_path / "f.csv"))
    assert draft.get("timestamp") == (None if days == 31 else {"column": "day", "format": "number"})


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("a,b\n", "no rows"),
        ("a,b\n2,x\n", "no column holds 0 and 1"),
        ("a,b\n0,1.5\n1,2.5\n", "no column looks like a category"),
        ("", "empty"),
        ("a,a\n1,2\n", "'a' is there twice"),
        ("1,x,2.5\n0,y,3.5\n", "line 1: .* but '1' is a number, .* under `columns`"),
    ],
)
def test_files_that_cannot_be_drafted(text: str, naming: str, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(DataError, match=naming):
        infer_schema(tmp_path / "f.csv")
    (tmp_path / "f.parquet").write_text(text)
    with pytest.raises(DataError, match="Parquet"):
        infer_schema(tmp_path / "f.parquet")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_several_values_are_drafted_as_such(ending: str, tmp_path: Path) -> None:
    tags = [["a"], ["a", "b", "c"], ["d", "b"], None] * 100
    made = pd.DataFrame({"clicked": [0, 0, 0, 1, 1] * 80, "tags": tags, "odd": ["x|y"] + ["x", "z", "z"] * 133})
    path = tmp_path / f"f.{ending}"
    if ending == "csv":
        made["tags"] = ["|".join(tag or []) for tag in tags]
        made.to_csv(path, index=False)
    else:
        made.to_parquet(path)
    schema = yaml.safe_load(infer_schema(path))
    assert schema["categorical"] == {"tags": {"max_values": 3}, "odd": None}


def drafted(path: Path) -> dict[str, Any]:
    """The draft of a file, by which `prepare` reads all its rows."""
    schema = path.with_suffix(".yaml")
    schema.write_text(infer_schema(path))
    assert all(chunk.table.num_rows for chunk in open_source("table", [path], schema=schema).chunks(Rejections(0.5)))
    return dict(yaml.safe_load(schema.read_text()))


def test_a_column_named_as_the_label_may_have_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("promo,clicked,c\n" + "".join(f"{i // 3 % 2},{i % 2 if i else ''},c{i % 3}\n" for i in range(40)))
    assert drafted(path)["label"] == "clicked"
    assert "MISSING in 1 of 40 rows, which preparation rejects" in infer_schema(path)
    path.write_text(path.read_text().replace("clicked", "won"))
    assert drafted(path)["label"] == "promo"
    path.write_text("won,c\n0,a\n1,b\n,a\n")
    assert "label: won  # GUESSED" in infer_schema(path), "better than none"


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("order", [1, -1])
def test_the_index_of_a_frame_is_no_feature(order: int, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    made = frame()[["clicked", "city", "price"]].query("price % 5 > 0").iloc[::order]
    if ending == "parquet":
        made.to_parquet(path)
    else:
        made.to_csv(path)
    name = "__index_level_0__" if ending == "parquet" else ""
    assert drafted(path)["ignored"] == [name]
    assert list(drafted(path)["dense"]) == ["price"]


def test_an_index_that_was_made_a_column_is_no_feature(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    made = frame()[["clicked", "city", "price"]]
    made.reset_index().to_csv(path, index_label="Unnamed: 0")
    assert drafted(path)["ignored"] == ["Unnamed: 0", "index"]
    made.assign(index=made.index[::-1]).to_csv(path, index=False)
    assert list(drafted(path)["dense"]) == ["price", "index"], "which may be an index of prices"


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("clicked,c\n0,a\n1,b\n1,b,\n1,a\n")
    bad = "# 1 of the 4 rows read are bad and left out. Most frequent (1): 3 fields instead of 2; the first is"
    assert f"{bad} {path}, line 4: '1,b,'" in infer_schema(path)
    assert drafted(path)["label"] == "clicked"
    path.write_text("clicked,c\n1,a,\n")
    with pytest.raises(DataError, match=r"no rows .* Most frequent \(1\): 3 fields instead of 2; the first"):
        infer_schema(path)
    path.write_bytes(b"clicked,c\n1,\xfc\n0,\xfc\n1,2.5\n0,3.5\n")
    with pytest.raises(DataError, match=r"category.* Most frequent \(2\): broken encoding, not UTF-8; the first"):
        infer_schema(path)


def test_a_separator_that_the_ending_does_not_say_is_drafted(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    frame().to_csv(path, index=False, sep=";")
    assert drafted(path)["separator"] == ";"
    frame().to_csv(path, index=False)
    assert "separator" not in drafted(path)
    frame().to_csv(tmp_path / "f.dat", index=False)
    assert drafted(tmp_path / "f.dat")["separator"] == ","


def test_types_of_parquet_that_no_role_reads_are_ignored(tmp_path: Path) -> None:
    day = date(2024, 1, 1)
    columns = {
        "clicked": pa.array([True, False] * 49 + [False, False]),
        "born": pa.array([day + timedelta(days=i // 2) for i in range(100)]),
        "seen": pa.array([day + timedelta(days=i % 7) for i in range(100)]),
        "took": pa.array([timedelta(hours=i) for i in range(100)]),
        "raw": pa.array([b"a", b"b"] * 50),
        "who": pa.array([{"a": 1}, {"a": 2}] * 50),
        "parts": pa.array([[{"a": 1}], [{"a": 2}]] * 50),
        "tags": pa.array([["x"], ["y"]] * 50),
        "some": pa.array([None, None, ["a", None, "b"], []] * 25, pa.list_(pa.string())),
        "pair": pa.array([[1, 2], [3, 4]] * 50, pa.list_(pa.int64(), 2)),
        "long": pa.array([["a|b", "c", "d"], ["e"]] * 50, pa.large_list(pa.large_string())),
        "void": pa.array([[], [None]] * 50, pa.list_(pa.string())),
        "shop": pa.array(["p", "q"] * 50).dictionary_encode(),
    }
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns), path)
    assert drafted(path) == {
        "label": "clicked",
        "timestamp": {"column": "born", "format": "ISO8601"},
        "categorical": {
            "tags": {"max_values": 2},
            "some": {"max_values": 2},
            "pair": {"max_values": 2},
            "long": {"max_values": 3},
            "shop": None,
            "born_weekday": None,
        },
        "derived": [{"name": "born_weekday", "source": "born", "kind": "weekday"}],
        "ignored": ["took", "raw", "who", "parts", "seen", "void"],
    }
    assert "- took  # of type duration[us], which no role can read" in infer_schema(path)
    pq.write_table(pa.Table.from_arrays([columns["shop"], columns["shop"]], ["c", "c"]), path)
    with pytest.raises(DataError, match="'c' is there twice"):
        infer_schema(path)


def test_a_name_that_a_comment_repeats_stays_on_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pd.DataFrame({"a": [0, 1], "b\nignored: [c]": [0, 1], "c": ["x", "y"]}).to_parquet(path)
    assert "ignored" not in drafted(path)


def base(**columns: Any) -> pd.DataFrame:
    index = pd.Series(range(400))
    fixed = {"clicked": (index % 7 == 0).astype(int), "price": index * 1.25, "shop": "s" + (index % 6).astype(str)}
    return pd.DataFrame({**fixed, **columns})


def test_others_that_are_named_as_labels_are_no_features(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    bought = [i % 14 == 0 for i in range(400)]
    base(purchased=bought, Conversion=[1.0 if one else None for one in bought], premium=[0, 1] * 200).to_csv(
        path, index=False
    )
    draft = drafted(path)
    assert (draft["label"], draft["ignored"]) == ("clicked", ["purchased", "Conversion"])
    assert list(draft["categorical"]) == ["shop", "premium"]
    assert "- purchased  # 0 and 1, and named as labels are: it may give clicked away" in infer_schema(path)


@pytest.mark.parametrize("different", [90, 400])
def test_whole_numbers_that_are_named_like_an_id_are_no_amounts(different: int, tmp_path: Path) -> None:
    ids = ["id", "user_id", "userId", "userID", "User-ID", "item id", "ITEM_ID", "adID", "zipCode", "device.type"]
    ids += ["userid", "ITEMID", "adid", "uid", "aid", "src_deviceid", "movieid", "jobid", "cms_segid"]
    amounts = ["bid", "Bid 2", "BID", "paid", "amount_paid", "PAID", "amountPaid", "totalpaid", "grid"]
    path = tmp_path / "f.csv"
    base(**{name: [i % different for i in range(400)] for name in (*ids, *amounts)}).to_csv(path, index=False)
    draft = drafted(path)
    assert list(draft["dense"]) == ["price", *amounts]
    assert (draft["ignored"] if different == 400 else list(draft["categorical"])[1:]) == ids


def test_ids_and_texts_of_which_none_is_twice_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    index = pd.Series(range(400))
    ids = {"user_id": index.astype("Int64"), "token": "t" + index.astype(str)}
    few = {f"few_{name}": column.where(index < 60) for name, column in ids.items()}
    base(**{name: column.where(index % 9 > 0) for name, column in ids.items()}, **few).to_csv(path, index=False)
    draft = drafted(path)
    assert draft["ignored"] == ["user_id", "token"]
    assert list(draft["categorical"]) == ["shop", *few], "of few, nothing is concluded"
    assert "- token  # text, no value twice: says nothing of other rows" in infer_schema(path)


def test_an_id_that_only_some_rows_have_is_no_feature(tmp_path: Path) -> None:
    """Of those who bought, say: a row of its own for each would give the label away."""
    path = tmp_path / "f.csv"
    index = pd.Series(range(6000))
    frame = pd.concat([base()] * 15, ignore_index=True)
    frame.assign(order_id=index.where(index % 5 == 0).astype("Int64")).to_csv(path, index=False)
    assert drafted(path)["ignored"] == ["order_id"]


@pytest.mark.parametrize("wrong", ["unknown", "1e39", "inf"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_numbers_may_have_a_few_other_cells(wrong: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    many = pd.concat([base()] * 5, ignore_index=True)
    made = many.assign(
        age=[str(i) if i % 1000 else wrong for i in range(2000)], shop_id=[*map(str, range(1999)), wrong]
    )
    made.to_csv(path, index=False) if ending == "csv" else made.to_parquet(path)
    draft = drafted(path)
    assert draft["dense"] == {"price": "log", "age": "log"}
    assert "shop_id" in draft["ignored"], "any text is an id"
    assert f"NO NUMBER in 2 of 2,000 rows, such as '{wrong}', which preparation rejects" in infer_schema(path)


def test_one_other_text_in_many_rows_makes_categories_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(age=[str(i) if i % 3 else "?" for i in range(400)]).to_csv(path, index=False)
    draft = drafted(path)
    assert (list(draft["dense"]), "age" in draft["categorical"]) == (["price"], True)
    said = "NO NUMBER in 134 of 400 rows, such as '?': empty there, it would be one of numbers"
    assert said in infer_schema(path)
    assert "would be numbers" not in infer_schema(path), "they are"


def test_many_other_cells_make_categories(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(age=[f"{i}" if i % 80 else f"n{i}" for i in range(400)]).to_csv(path, index=False)
    assert list(drafted(path)["dense"]) == ["price"]


def test_one_other_text_in_few_rows_beside_many_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(age=[i % 60 if i % 9 else "-" for i in range(400)]).to_csv(path, index=False)
    assert "NO NUMBER in 45 of 400 rows, such as '-': empty there, it would be one of numbers" in infer_schema(path)
    base(age=[i % 20 if i % 9 else "-" for i in range(400)]).to_csv(path, index=False)
    assert "NO NUMBER" not in infer_schema(path), "few numbers are categories anyway"


@pytest.mark.parametrize(
    "texts",
    [
        *(["$1,299.00", "$5"], ["12.5%", "7 %"], ["1.299,00 €", "0,99 €"], ["1'299", "999"], ["-£5", "£1.50"]),
        *(["1,299", "2,500"], ["0,5", "1,5"]),
    ],
)
def test_numbers_as_people_write_them_are_named(texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(cost=["7", *texts * 400][:400]).to_csv(path, index=False, sep=";")
    said = f"; as digits with a decimal point alone, {texts[0]!r} and others would be numbers"
    assert said in infer_schema(path)


@pytest.mark.parametrize(
    "texts", [["10.12.2024", "11.12.2024"], ["1-2", "3-4"], ["v1.2", "v1.3"], ["192.168.0.1", "10.0.0.1"]]
)
def test_other_texts_of_digits_are_no_numbers(texts: list[str], tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(kind=texts * 200).to_csv(path, index=False)
    assert "would be numbers" not in infer_schema(path)


def test_decimal_commas_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(stars=[0.5, 1.5, 2, 3] * 100).to_csv(path, index=False, sep=";", decimal=",")
    said = "as digits with a decimal point alone, "
    drafted_lines = infer_schema(path).splitlines()
    assert [line.split()[0:2] for line in drafted_lines if said in line] == [["stars:", "#"], ["-", "price"]]
    path.write_text("clicked;shop;sizes\n0;s;1,5\n1;t;2,x\n")
    assert said not in infer_schema(path)


@pytest.mark.parametrize("name", ["at", "created", "updated", "when", "sold_at", "row_created"])
@pytest.mark.parametrize("form", ["number", "ISO8601"])
def test_names_of_times(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    moments = pd.date_range("2024-05-01", periods=400, freq="h")
    made = base(**{name: moments.astype(int) if form == "number" else moments.strftime("%Y-%m-%d %H:%M")})
    made.to_csv(path, index=False)
    assert drafted(path)["timestamp"] == {"column": name, "format": form}


@pytest.mark.parametrize("name", ["created_by", "whenever", "format", "updated_rows"])
def test_other_names_are_no_times(name: str, tmp_path: Path) -> None:
    base(**{name: range(400)}).to_csv(tmp_path / "f.csv", index=False)
    assert "timestamp" not in drafted(tmp_path / "f.csv")


def test_texts_that_are_dates_are_the_time_where_no_other_column_is(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    days = pd.date_range("1950-05-01", periods=400).strftime("%Y-%m-%d")
    made = base(born=days, part=[f"2024-{1 + i % 12:02}" for i in range(400)])
    made.to_csv(path, index=False)
    assert drafted(path)["timestamp"] == {"column": "born", "format": "ISO8601"}
    assert "# GUESSED: each row has a date" in infer_schema(path)
    for other in ([1.7e9 + i for i in range(400)], days):
        made.assign(time=other).to_csv(path, index=False)
        assert drafted(path)["timestamp"]["column"] == "time"
    made.assign(born=made["born"].where(made.index > 0)).to_csv(path, index=False)
    assert "timestamp" not in drafted(path), "a row without a date would be lost"


def test_a_time_with_a_few_other_cells_says_so(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(at=["soon" + "!" * 1000, *range(1_700_000_001, 1_700_000_400)]).to_csv(path, index=False)
    assert drafted(path)["timestamp"] == {"column": "at", "format": "number"}
    said = f"named like a time, and numbers; NO NUMBER in 1 of 400 rows, such as 'soon{36 * '!'}', which"
    assert said in infer_schema(path)


@pytest.mark.parametrize("name", ["weight", "sample_weight", "SampleWeight", "importance"])
def test_weights_are_no_feature(name: str, tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    weights = [1 if i % 7 == 0 else 2 for i in range(400)]
    base(**{name: weights, "weights": [2.0 * one for one in weights]}).to_csv(path, index=False)
    draft = drafted(path)
    assert (draft["weight"], draft["ignored"]) == (name, ["weights"])
    assert (list(draft["dense"]), list(draft["categorical"])) == (["price"], ["shop"])
    assert f"weight: {name}  # GUESSED: named like the weight of a row, and numbers from 1 to 2" in infer_schema(path)


def test_what_cannot_be_weights_stays_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(weight=range(-1, 399), importance=["high", "low"] * 200, weight_kg=range(400)).to_csv(path, index=False)
    draft = drafted(path)
    assert "weight" not in draft
    assert list(draft["dense"]) == ["price", "weight", "weight_kg"]
    base(weight=[None, *[1, 2, 3] * 133]).to_csv(path, index=False)
    assert "MISSING in 1 of 400 rows, which preparation rejects" in infer_schema(path)


def test_weights_of_0_and_1_are_no_label_beside_another_column(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("weight,won,shop\n0,0,x\n1,0,y\n1,1,y\n")
    assert (drafted(path)["label"], drafted(path)["weight"]) == ("won", "weight")
    path.write_text("weight,shop\n0,x\n1,y\n")
    assert (drafted(path)["label"], "weight" in drafted(path)) == ("weight", False)


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("training", "val", "test")])
def test_a_column_that_says_what_rows_are_for_is_the_split(names: tuple[str, str, str], tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    folds = [names[max(0, i % 10 - 7)] for i in range(400)]
    base(part=folds, again=folds).to_csv(path, index=False)
    draft = drafted(path)
    assert (draft["split"], draft["ignored"]) == ("part", ["again"])
    assert list(draft["categorical"]) == ["shop"]


@pytest.mark.parametrize("names", [["train"], ["train", "test"]])
def test_a_split_of_which_a_part_is_not_there_is_no_feature(names: list[str], tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    base(part=names * (400 // len(names))).to_csv(path, index=False)
    assert drafted(path)["ignored"] == ["part"]
    assert (
        "alone; a split needs train, validation and test: if later rows have them, write split: part"
        in infer_schema(path)
    )


def test_rows_of_parquet_that_are_not_utf_8_are_counted(tmp_path: Path) -> None:
    cities = pa.array([b"caf\xe9", *[b"a", b"b"] * 200])
    cities = pa.Array.from_buffers(pa.string(), len(cities), cities.buffers())
    pq.write_table(pa.table({"clicked": [0, *[0, 0, 1, 1] * 100], "city": cities}), tmp_path / "f.parquet")
    text = infer_schema(tmp_path / "f.parquet")
    assert "1 of the 401 rows read are bad and left out. Most frequent (1): city: broken encoding, not UTF-8" in text
    assert list(yaml.safe_load(text)["categorical"]) == ["city"]
