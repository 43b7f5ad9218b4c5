from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from nasrec_automl.data.movielens_tables import GENRES, read_tables
from nasrec_automl.errors import DataError

Write = Callable[[str, Path], Path]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="latin-1")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="latin-1")


def test_both_distributions_give_equal_tables(tmp_path: Path, write_movielens: Write) -> None:
    first = read_tables(write_movielens("grouplens", tmp_path / "g"))
    second = read_tables(write_movielens("recbole", tmp_path / "r"))
    pd.testing.assert_frame_equal(first.users, second.users)
    pd.testing.assert_frame_equal(first.items[list(GENRES)], second.items[list(GENRES)])
    assert first.items.loc["1", GENRES[3]] == 1
    assert first.items[list(GENRES)].to_numpy().sum() == 5
    assert first.ratings.to_numpy().tolist() == second.ratings.to_numpy().tolist()
    assert first.users.loc["7", "zip_code"] == "02139"


def test_carriage_returns_and_a_missing_last_newline_are_fine(tmp_path: Path, write_movielens: Write) -> None:
    folder = write_movielens("grouplens", tmp_path)
    expected = read_tables(folder)
    for name in ("u.data", "u.user", "u.item"):
        path = folder / name
        path.write_bytes(path.read_bytes().strip().replace(b"\n", b"\r\n"))
    for table, again in zip(expected, read_tables(folder), strict=True):
        pd.testing.assert_frame_equal(table, again)


def test_missing_files_are_named(tmp_path: Path, write_movielens: Write) -> None:
    (write_movielens("grouplens", tmp_path) / "u.item").unlink()
    with pytest.raises(DataError, match=r"u\.data, u\.user, u\.item .*ml-100k\.inter, ml-100k\.user, ml-100k\.item"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("kind", "file", "old", "new", "message"),
    [
        (
            "grouplens",
            "u.data",
            "9\t1\t3\t0",
            "9\t1\t3",
            r"u\.data, line 2: expected 4 fields .* found 3",
        ),
        (
            "grouplens",
            "u.data",
            "\t3\t0",
            "\tfive\t0",
            r"u\.data, line 2: rating must be .* 1 to 5, but is 'five'",
        ),
        ("grouplens", "u.data", "\t3\t0", "\t6\t0", r"u\.data, line 2: rating must be"),
        ("grouplens", "u.data", "9\t1", "9\t44", r"u\.data, line 2: item_id '44' is not in u\.item"),
        ("grouplens", "u.user", "9|53", "7|53", r"u\.user, line 2: user_id '7' has a line already"),
        (
            "grouplens",
            "u.user",
            "|24|",
            "||",
            r"u\.user, line 1: age must be a whole number from 0 to 150",
        ),
        ("grouplens", "u.item", "|1|", "|2|", r"u\.item, line 1: \S+ must be a whole number from 0 to 1"),
        ("grouplens", "u.item", "\n3|", "\n\n3|", r"u\.item, line 3: expected 24 fields"),
        ("recbole", "ml-100k.inter", "\t3\t0", "\t3.5\t0", r"ml-100k\.inter, line 3: rating must be"),
        (
            "recbole",
            "ml-100k.inter",
            "rating:",
            "score:",
            r"line 1: expected a header .* rating is missing",
        ),
        (
            "recbole",
            "ml-100k.inter",
            "rating:float\t",
            "rating:float\trating:float\t",
            r"ml-100k\.inter, line 1: the column 'rating' is there twice",
        ),
        ("recbole", "ml-100k.item", "Sci-Fi", "SciFi", r"ml-100k\.item, line 4: 'SciFi' is no genre"),
    ],
)
def test_a_malformed_line_is_named(
    tmp_path: Path, write_movielens: Write, kind: str, file: str, old: str, new: str, message: str
) -> None:
    replace(write_movielens(kind, tmp_path) / file, old, new)
    with pytest.raises(DataError, match=message):
        read_tables(tmp_path)
