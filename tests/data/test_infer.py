from pathlib import Path

import pandas as pd
import pytest
import yaml

from nasrec_automl.data.infer import infer_schema
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
        "categorical": dict.fromkeys(["premium", "city", "shop_id", "stars", "null"]),
        "ignored": ["row_id", "empty", "same", "token"],
    }
    assert all("#" in line for line in text.splitlines() if line != "ignored:"), "every line says why"
    (tmp_path / "schema.yaml").write_text(text)
    read = read_all(open_source("table", [path], schema=tmp_path / "schema.yaml"))
    assert len(read.label) == 400
    assert sum(read.label) == 58


def test_a_label_that_is_not_named_so_is_marked_as_guessed(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("a,b,c\n0,1,x\n1,1,y\n")
    first = infer_schema(path).splitlines()[1]
    assert first == "label: a  # GUESSED: holds 0 and 1; so do b; positive in 50.0% of the rows"


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("a,b\n", "no rows"),
        ("a,b\n2,x\n", "no column holds 0 and 1"),
        ("a,b\n0,1.5\n1,2.5\n", "no column looks like a category"),
        ("", "empty"),
        ("a,a\n1,2\n", "'a' is there twice"),
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
    made = pd.DataFrame({"clicked": [0, 1] * 200, "tags": tags, "odd": ["x|y"] + ["x", "z", "z"] * 133})
    path = tmp_path / f"f.{ending}"
    if ending == "csv":
        made["tags"] = ["|".join(tag or []) for tag in tags]
        made.to_csv(path, index=False)
    else:
        made.to_parquet(path)
    schema = yaml.safe_load(infer_schema(path))
    assert schema["categorical"] == {"tags": {"max_values": 3}, "odd": None}
