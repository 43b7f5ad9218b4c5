"""The sizes are those of the readers' layouts, and a reading says how it compares."""

from pathlib import Path

import pytest

from nasrec_automl.data.appending import append
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES, PublishedSize
from nasrec_automl.data.readers import avazu, criteo, kdd12
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.sources import FILE_SOURCES, open_source
from tests.data.readers.rows import criteo_lines, write, write_public_sets

SMALL = PublishedSize(file="the file", rows=1_000, columns=2, dense=1, fields=1)


@pytest.fixture
def public_sets(tmp_path: Path) -> Path:
    write_public_sets(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (1_000, "1,000 rows: all of the file"),
        (999, "999 rows: fewer than the 1,000 of the file"),
        (2_000, "2,000 rows: more than the 1,000 of the file"),
        (0, "0 rows: fewer than the 1,000 of the file"),
    ],
)
def test_rows_are_all_fewer_or_more(rows: int, sentence: str) -> None:
    assert SMALL.completeness(rows) == sentence


def test_columns_and_features_are_those_of_the_readers(public_sets: Path) -> None:
    layouts = {"criteo": criteo.LAYOUT, "avazu": avazu.LAYOUT, "kdd12": kdd12.LAYOUT}
    assert PUBLISHED_SIZES.keys() == layouts.keys() == FILE_SOURCES.keys() - {"table"}
    for name, size in PUBLISHED_SIZES.items():
        options = {} if name == "criteo" else {"protocol": "published"}
        source = open_source(name, [public_sets / name], **options)
        assert size.columns == len(layouts[name].columns)
        assert (size.dense, size.fields) == (len(source.dense), len(source.categorical))


@pytest.mark.parametrize("name", sorted(PUBLISHED_SIZES))
def test_every_reading_of_a_public_set_says_how_much_it_was(name: str, public_sets: Path) -> None:
    rejections = Rejections()
    source = open_source(name, [public_sets / name])
    list(source.chunks(rejections))
    notes = rejections.notes()
    assert str(notes["completeness"]).startswith("480 rows: fewer than the "), "the lines of KDD12's users are no rows"
    assert rejections.summary().splitlines()[0] == notes["completeness"]


def test_files_given_by_part_are_counted_together_and_appended_ones_are_no_whole(public_sets: Path) -> None:
    files = [[write(public_sets / f"day_{number}", criteo_lines(480, number))] for number in range(3)]
    source = open_source("criteo", files[0], validation=files[1], test=files[2])
    rejections = Rejections()
    data = prepare(source, public_sets / "p", split="given", rejections=rejections)
    assert str(data.description.notes["completeness"]).startswith("1,440 rows: fewer")
    data = append(
        open_source("criteo", files[0], validation=files[1], test=files[2]), public_sets / "p", public_sets / "q"
    )
    assert "completeness" not in data.description.notes


def test_bad_rows_are_rows_too(tmp_path: Path) -> None:
    rejections = Rejections(0.5)
    source = open_source("criteo", [write(tmp_path / "train.txt", [*criteo_lines(30), "bad"])])
    list(source.chunks(rejections))
    assert rejections.completeness.startswith("31 rows: fewer")
    assert Rejections().completeness == ""


def test_a_table_has_no_published_size(tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text("name: criteo\nlabel: y\ncategorical: {c: }\n")
    table = write(tmp_path / "t.csv", ["y,c", *(f"{row % 2},{row}" for row in range(40))])
    rejections = Rejections()
    list(open_source("table", [table], schema=tmp_path / "schema.yaml").chunks(rejections))
    assert "completeness" not in rejections.notes()
