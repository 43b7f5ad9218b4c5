from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from nasrec_automl.data.first_rows import read_first_rows
from nasrec_automl.data.guess_label import guess_labels
from nasrec_automl.data.infer import infer_schema
from nasrec_automl.data.sources import open_source
from nasrec_automl.data.values import whole_number
from nasrec_automl.errors import DataError
from tests.data.readers.rows import read_all

ROW = pd.Series(range(400))
CLICKED = (ROW % 7 == 0).astype(int)


def draft(path: Path, **columns: Any) -> str:
    made = pd.DataFrame({"premium": ROW % 2, "shop": "s" + (ROW % 5).astype(str), **columns})
    made.to_parquet(path) if path.suffix == ".parquet" else made.to_csv(path, index=False)
    return infer_schema(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    "values",
    [
        *(("no click", "click"), ("N", "Y"), ("no", "yes"), (-1, 1), (-1.0, 1.0), (1, 2), ("skip", "buy")),
        *(("v1.0", "v2.0"), ("-1", "+1.0")),
    ],
)
def test_a_label_of_two_other_values_is_the_label(values: tuple[Any, Any], ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    text = draft(path, click=CLICKED.map(dict(enumerate(values))))
    schema = yaml.safe_load(text)
    assert (schema["label"], schema["label_values"]) == ("click", [whole_number(str(value)) for value in values])
    assert list(schema["categorical"]) == ["premium", "shop"]
    assert "in 14.5% of the rows" in text
    (tmp_path / "s.yaml").write_text(text)
    assert sum(read_all(open_source("table", [path], schema=tmp_path / "s.yaml")).label) == CLICKED.sum()


@pytest.mark.parametrize(
    ("values", "shown"),
    [(ROW % 4, "200 of 400 rows, such as '2'"), (ROW / 400, "399 of 400 rows, such as '0.0025'"),
     ("k" + (ROW % 3).astype(str), "400 of 400 rows, such as 'k0'"), (CLICKED.where(ROW > 0, 7), "1 of 400 rows, ")],
)  # fmt: skip
def test_a_label_of_something_else_says_so_and_no_other_column_wins(values: Any, shown: str, tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", is_Click=values)
    assert f"label: is_Click  # named like a label, but NOT 0 OR 1 in {shown}" in text
    assert "a label is 0 or 1" in text
    assert "(premium)" in text
    assert list(yaml.safe_load(text)["categorical"]) == ["premium", "shop"]


@pytest.mark.parametrize(
    ("values", "what"),
    [(CLICKED.map({0: "N", 1: "Y"}), "'N' and 'Y'"), (ROW % 4, "numbers from 0 to 3"),
     (ROW.map(lambda i: [i]), "lists"),
     ("k" + (ROW % 3).astype(str), "3 different texts, such as 'k0'"), (pd.to_datetime(ROW, unit="D"), "dates")],
)  # fmt: skip
def test_others_that_are_named_so_are_no_features(values: Any, what: str, tmp_path: Path) -> None:
    text = draft(tmp_path / "f.parquet", conversion=values, clicked=CLICKED)
    schema = yaml.safe_load(text)
    assert (schema["label"], schema["ignored"]) == ("clicked", ["conversion"])
    assert f"- conversion  # named like a label, but holds {what}; a label is 0 or 1" in text
    assert "named so too, see `ignored`: conversion" in text


def test_a_name_alone_does_not_make_lists_or_dates_the_label(tmp_path: Path) -> None:
    schema = yaml.safe_load(draft(tmp_path / "f.parquet", clicked=pd.to_datetime(ROW, unit="D")))
    assert (schema["label"], schema["ignored"], "timestamp" in schema) == ("premium", ["clicked"], False)


def test_spaces_around_a_label_mean_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("c,clicked\n" + "".join(f"c{i % 3}, {i % 2}\n" for i in range(40)))
    assert "label: clicked  # holds 0 and 1" in infer_schema(path)


def test_columns_that_are_unlike_a_label_come_last(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b\n0,0\n1,1\n")
    assert next(iter(guess_labels(read_first_rows(path)))) == "a"
    assert next(iter(guess_labels(read_first_rows(path), unlike=frozenset("a")))) == "b"
    assert next(iter(guess_labels(read_first_rows(path), unlike=frozenset("ab")))) == "a"


@pytest.mark.parametrize("name", ["clicked_ad", "isClicked", "Ad Clicks", "wasPurchased"])
def test_a_name_that_has_a_label_s_word_wins_over_others_of_0_and_1(name: str, tmp_path: Path) -> None:
    assert yaml.safe_load(draft(tmp_path / "f.csv", **{name: CLICKED}))["label"] == name


def test_what_begins_with_an_act_is_left_out_beside_the_label(tmp_path: Path) -> None:
    text = draft(
        tmp_path / "f.csv",
        clicked_7d=ROW % 5 // 4,
        clicked=CLICKED,
        click_id=ROW % 40,
        has_purchase_history=ROW % 3 // 2,
        target_group=ROW % 2,
        label_encoded_shop=ROW % 2,
        clickbait=ROW % 2,
    )
    schema = yaml.safe_load(text)
    assert schema["label"] == "clicked"
    assert schema["ignored"] == ["clicked_7d"]
    assert "if it is known before, put it under categorical" in text
    kept = {"click_id", "has_purchase_history", "target_group", "label_encoded_shop", "clickbait"}
    assert kept <= {*schema["categorical"]}


def test_a_name_that_is_a_label_s_wins_over_one_that_has_its_word(tmp_path: Path) -> None:
    columns = {"has_purchase_history": ROW % 3 // 2, "clicked": CLICKED.map({0: "N", 1: "Y"})}
    schema = yaml.safe_load(draft(tmp_path / "f.csv", **columns))
    assert (schema["label"], schema["label_values"]) == ("clicked", ["N", "Y"])
    assert "has_purchase_history" in schema["categorical"]


@pytest.mark.parametrize(
    ("name", "values"),
    [("target_group", ("A", "B")), ("target_gender", ("M", "F")), ("purchase_channel", ("web", "store"))],
)
def test_two_texts_that_are_no_yes_and_no_are_a_category(name: str, values: tuple[str, str], tmp_path: Path) -> None:
    columns = {name: (ROW % 2).map(dict(enumerate(values))), "response": CLICKED, "premium": ROW % 9}
    schema = yaml.safe_load(draft(tmp_path / "f.csv", **columns))
    assert schema["label"] == "response"
    assert name in schema["categorical"]


def test_of_columns_of_two_texts_yes_and_no_come_first(tmp_path: Path) -> None:
    columns = {
        "gender": (ROW % 2).map({0: "M", 1: "F"}),
        "fold": (ROW % 4 // 3).map({0: "train", 1: "test"}),
        "is_deleted": 0,
        "subscribed": CLICKED.map({0: "no", 1: "yes"}),
    }
    schema = yaml.safe_load(draft(tmp_path / "f.csv", premium=ROW % 9, **columns))
    assert (schema["label"], schema["label_values"]) == ("subscribed", ["no", "yes"])
    assert "gender" in schema["categorical"]
    assert "fold" in schema["ignored"]


@pytest.mark.parametrize(("name", "values"), [("Geklickt?", ("nein", "ja")), ("outcome", ("no", "yes"))])
def test_without_0_and_1_a_column_of_two_texts_is_the_label(name: str, values: tuple[str, str], tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", premium=ROW % 9, **{name: CLICKED.map(dict(enumerate(values)))}, always=1)
    schema = yaml.safe_load(text)
    assert (schema["label"], schema["label_values"]) == (name, [*values])
    assert f"GUESSED: holds two values; {values[1]!r} in 14.5% of the rows" in text


def test_what_is_1_in_each_row_is_no_label(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column holds 0 and 1, or two texts, so none can be the label"):
        draft(tmp_path / "f.csv", premium=ROW % 9, always=1)


def test_what_says_no_stands_for_0_also_where_it_is_rare(tmp_path: Path) -> None:
    schema = yaml.safe_load(draft(tmp_path / "f.csv", premium=ROW % 9, bought=CLICKED.map({0: "ja", 1: "nein"})))
    assert schema["label_values"] == ["nein", "ja"]
