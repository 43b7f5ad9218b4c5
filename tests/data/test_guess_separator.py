import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from nasrec_automl.data.guess_separator import other_separator
from nasrec_automl.data.infer import infer_schema
from nasrec_automl.data.sources import open_source
from tests.data.readers.rows import read_all


def test_separators_alone_separate_nothing() -> None:
    assert other_separator(pd.Series([";" * count for count in range(1, 100)])) is None


@pytest.mark.parametrize("separator", [",", ";", " "])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_other_separators_are_drafted_where_few_values_make_many_texts(
    separator: str, ending: str, tmp_path: Path
) -> None:
    draw = random.Random(0)
    genres = [f"g{number}" for number in range(12)]
    cells = [separator.join(draw.sample(genres, draw.randint(1, 4))) for _ in range(900)]
    titles = [separator.join([f"w{draw.randint(0, 2000)}", "of", f"w{draw.randint(0, 2000)}"]) for _ in range(900)]
    places = [separator.join(draw.choice([("New", "York"), ("San", "Jose"), ("Los", "Angeles")])) for _ in range(900)]
    amounts = [f"{draw.randint(1, 30)},{draw.randint(1, 30)}" for _ in range(900)]
    made = pd.DataFrame({"clicked": [0, 1] * 450, "genres": cells, "title": titles, "place": places, "amount": amounts})
    made["until"] = [f"{day}/03/2024 {hour}:00" for day in range(1, 31) for hour in range(10, 20) for _ in range(3)]
    path = tmp_path / f"f.{ending}"
    made.to_csv(path, index=False) if ending == "csv" else made.to_parquet(path)
    text = infer_schema(path)
    options = {"max_values": 4, "separator": separator}
    schema = yaml.safe_load(text)
    assert {name: schema["categorical"].get(name) for name in ("genres", "place", "amount", "until")} == {
        "genres": options,
        "place": None,
        "amount": None,
        "until": None,
    }
    assert "title" in schema.get("ignored", []) or schema["categorical"]["title"] is None
    (tmp_path / "s.yaml").write_text(text)
    read = read_all(open_source("table", [path], schema=tmp_path / "s.yaml"))
    assert read.table["genres"].to_pylist() == [cell.split(separator) for cell in cells]


@pytest.mark.parametrize("written", [str, json.dumps, lambda values: f"{{{','.join(values)}}}"])
def test_lists_that_are_written_as_text_are_not_cut_at_their_commas(
    written: Callable[[list[str]], str], tmp_path: Path
) -> None:
    draw = random.Random(0)
    cells = [written(draw.sample("abcdefgh", draw.randint(1, 4))) for _ in range(900)]
    path = tmp_path / "f.csv"
    pd.DataFrame({"clicked": [0, 1] * 450, "genres": cells}).to_csv(path, index=False)
    text = infer_schema(path)
    assert yaml.safe_load(text)["categorical"] == {"genres": None}
    assert "lists written as text, such as" in text
    assert "as a|b they would be several values" in text
