from pathlib import Path
from typing import Any

import pytest

from nasrec_automl.data import sources
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.sources import open_source
from nasrec_automl.errors import DataError


def test_synthetic_takes_its_options() -> None:
    raw = open_source("synthetic", rows=50, seed=3, fields=4, dense=1)
    assert isinstance(raw, RawData)
    assert len(raw.frame) == 50
    assert list(raw.frame) == ["dense1", "field1", "field2", "field3", "field4"]
    assert raw.notes["seed"] == 3


@pytest.mark.parametrize(("name", "folder"), [("movielens", "ml-100k"), ("flights", "nycflights13")])
def test_data_are_fetched_only_without_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    fetched: list[Path] = []
    read: list[Path] = []
    monkeypatch.setattr(sources, f"fetch_{name}", fetched.append)
    monkeypatch.setattr(sources, f"read_{name}", read.append)
    open_source(name, [tmp_path / "mine"], downloads=tmp_path)
    assert (fetched, read) == ([], [tmp_path / "mine"])
    open_source(name, downloads=tmp_path)
    assert fetched == [tmp_path / folder] == read[1:]


@pytest.mark.parametrize(
    ("folds", "naming"),
    [
        (("*.csv", "c.txt", "b.csv"), r"b\.csv: expected other files for test than for training"),
        (("a.csv", "b.csv", "b.csv.gz"), r"b\.csv\.gz: expected other files for test than for validation"),
        (("more", "b.csv", "c.txt"), r"b\.csv: expected other files for validation than for training"),
    ],
)
def test_a_file_of_two_folds_is_named(tmp_path: Path, folds: tuple[str, str, str], naming: str) -> None:
    for name in ("a.csv", "b.csv", "b.csv.gz", "c.txt"):
        (tmp_path / name).write_text("1,x\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "link.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }}")
    training, validation, test = ([tmp_path / fold] for fold in folds)
    with pytest.raises(DataError, match=naming):
        open_source("table", training, validation=validation, test=test, schema=tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("name", "paths", "options", "message"),
    [
        (
            "imdb",
            [],
            {},
            "the sources are avazu, criteo, flights, kdd12, movielens, synthetic, table; a job has `prepared` as well",
        ),
        ("synthetic", [], {"row": 5}, "no option 'row'; its options are rows, seed"),
        ("synthetic", [], {"rows": "5"}, "'rows' of source 'synthetic' must be of type int, but is '5'"),
        ("synthetic", [], {"rows": True}, "must be of type int"),
        ("synthetic", ["x"], {}, "read no input"),
        ("movielens", ["x", "y"], {}, "one folder, but 2 inputs"),
        ("flights", ["x", "y"], {}, "one folder, but 2 inputs"),
        ("movielens", ["x"], {"schema": "s.yaml"}, "'movielens' knows its columns and takes no schema"),
        ("criteo", ["x"], {"protocol": "published"}, "no option 'protocol'; it has none"),
        ("avazu", ["x"], {"protocols": "published"}, "no option 'protocols'; its options are protocol"),
        ("table", ["x"], {"protocol": "published"}, "no option 'protocol'; it has none"),
        ("table", ["x"], {}, "a table needs a schema file"),
        ("kdd12", ["x"], {"protocol": 1}, "'protocol' of source 'kdd12' must be of type str"),
        ("movielens", ["x"], {"rows": 5}, "no option 'rows'; it has none"),
    ],
)
def test_what_no_source_knows_is_named(name: str, paths: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(name, paths, **options)
