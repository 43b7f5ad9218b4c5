from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from nasrec_automl.data.infer import infer_schema
from nasrec_automl.errors import DataError

ROWS = 2000
DRAW = np.random.default_rng(1)
CLICKED = DRAW.random(ROWS) < 0.2
SHOP = DRAW.choice(list("abcdef"), ROWS)


def drafted(folder: Path, column: object, label: object = CLICKED.astype(int)) -> tuple[dict[str, Any], str]:
    frame = pd.DataFrame({"clicked": label, "shop": SHOP, "what": column})
    frame.to_csv(folder / "f.csv", index=False)
    text = infer_schema(folder / "f.csv")
    return yaml.safe_load(text), text


@pytest.mark.parametrize(
    ("column", "role"),
    [
        (np.where(CLICKED, DRAW.integers(1, 10**6, ROWS), np.nan), "dense"),  # seconds until the click
        (np.where(CLICKED, 1.0, -1.0) + DRAW.normal(0, 0.3, ROWS), "dense"),
        (np.where(CLICKED, DRAW.choice(list("xy"), ROWS), None), "categorical"),
        (np.where(CLICKED ^ (DRAW.random(ROWS) < 0.01), "thanks", DRAW.choice(["list", "home"], ROWS)), "categorical"),
    ],
)
@pytest.mark.parametrize("label", [CLICKED.astype(int), np.where(CLICKED, "yes", "no")])
def test_a_column_that_tells_the_label_is_left_out(column: object, role: str, label: object, tmp_path: Path) -> None:
    schema, text = drafted(tmp_path, column, label)
    assert schema["ignored"] == ["what"]
    assert "- what  # GUESSED: tells the label alone, with an AUC of 0.9" in text.replace("1.000", "0.999")
    assert f"If it is known before, put it under {role}" in text


@pytest.mark.parametrize("every", [2, 5])
def test_labels_may_come_in_turns(every: int, tmp_path: Path) -> None:
    label = pd.Series(np.arange(40_000) % every == 0).astype(int)
    frame = pd.DataFrame({"clicked": label, "shop": np.resize(SHOP, len(label)), "bought": label * 3})
    frame.to_csv(tmp_path / "f.csv", index=False)
    assert yaml.safe_load(infer_schema(tmp_path / "f.csv"))["ignored"] == ["bought"]


def test_where_no_category_is_left_the_error_says_which_were_leaks(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"clicked": CLICKED.astype(int), "bought": np.where(CLICKED, "x", "y"), "price": DRAW.random(ROWS)}
    )
    frame.to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(DataError, match=r"takes few values\. bought is left out \(GUESSED: tells the label alone"):
        infer_schema(tmp_path / "f.csv")


@pytest.mark.parametrize(
    ("column", "role"),
    [
        (np.where(CLICKED, 1.0, 0.0) + DRAW.normal(0, 1.0, ROWS), "dense"),
        (DRAW.integers(0, 10**6, ROWS), "dense"),
        (np.where(CLICKED ^ (DRAW.random(ROWS) < 0.1), "blue", "red"), "categorical"),
        ("u" + pd.Series(np.arange(ROWS) * 3 // 4).astype(str), "categorical"),  # in one or two rows
    ],
)
def test_a_column_that_says_something_stays(column: object, role: str, tmp_path: Path) -> None:
    schema, _ = drafted(tmp_path, column)
    assert "what" in schema[role]


def test_few_rows_say_nothing(tmp_path: Path) -> None:
    few = np.arange(ROWS) % 41 == 0
    schema, _ = drafted(tmp_path, np.where(few, "x", "y"), few.astype(int))
    assert "what" in schema["categorical"]
