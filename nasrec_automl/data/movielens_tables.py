"""The three tables of MovieLens-100k in the two forms in which they are passed around.

Both come out alike: users and items indexed by id, titles with the year in parentheses, a flag per genre.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from nasrec_automl.errors import DataError

GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *(
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ),
)
GROUPLENS_FILES = ("u.data", "u.user", "u.item")
RECBOLE_FILES = ("ml-100k.inter", "ml-100k.user", "ml-100k.item")
_RATINGS = ("user_id", "item_id", "rating", "timestamp")
_USERS = ("user_id", "age", "gender", "occupation", "zip_code")


class Tables(NamedTuple):
    """Ratings in file order; users and items by id."""

    ratings: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


def has_files(folder: Path, names: Sequence[str]) -> bool:
    """Say whether all of these files are in the folder."""
    return all((folder / name).is_file() for name in names)


def read_tables(folder: Path) -> Tables:
    """Read whichever distribution the folder holds.

    Raises:
        DataError: neither is complete, or a line is malformed.
    """
    if has_files(folder, GROUPLENS_FILES):
        return _grouplens(folder)
    if has_files(folder, RECBOLE_FILES):
        return _recbole(folder)
    raise DataError(
        f"{folder}: expected MovieLens-100k as the files {', '.join(GROUPLENS_FILES)} (GroupLens) or "
        f"{', '.join(RECBOLE_FILES)} (RecBole), but neither three are there: give the folder that holds them"
    )


def _grouplens(folder: Path) -> Tables:
    ratings, users, items = (folder / name for name in GROUPLENS_FILES)
    columns = ("item_id", "title", "release_date", "video_release_date", "url", *GENRES)
    films = _read(items, "|", columns)
    flags = {genre: _whole(films, genre, items, 0, 1).astype(np.int8) for genre in GENRES}
    films = pd.DataFrame({"item_id": films["item_id"], "title": films["title"], **flags})
    return _tables(_read(ratings, "\t", _RATINGS), _read(users, "|", _USERS), films, (ratings, users, items))


def _recbole(folder: Path) -> Tables:
    ratings, users, items = (folder / name for name in RECBOLE_FILES)
    films = _read_typed(items, ("item_id", "movie_title", "release_year", "class"))
    words = films["class"].str.split(" ")
    for line, names in words.items():
        if strange := [name for name in names if name not in GENRES]:
            raise DataError(f"{items}, line {line}: {strange[0]!r} is no genre of MovieLens-100k")
    films = pd.DataFrame(
        {
            "item_id": films["item_id"],
            # This distribution cut the last parentheses off; putting them back gives the original title.
            "title": films["movie_title"] + " (" + films["release_year"] + ")",
            **{genre: words.map(lambda names, genre=genre: genre in names).astype(np.int8) for genre in GENRES},
        }
    )
    return _tables(_read_typed(ratings, _RATINGS), _read_typed(users, _USERS), films, (ratings, users, items))


def _tables(ratings: pd.DataFrame, users: pd.DataFrame, films: pd.DataFrame, paths: tuple[Path, Path, Path]) -> Tables:
    ratings = ratings.assign(
        rating=_whole(ratings, "rating", paths[0], 1, 5),
        timestamp=_whole(ratings, "timestamp", paths[0], 0, 2**40),
    )
    users = users.assign(age=_whole(users, "age", paths[1], 0, 150))
    by_id = []
    for table, key, path in ((users, "user_id", paths[1]), (films, "item_id", paths[2])):
        again = table[key].duplicated()
        if again.any():
            line = table.index[int(again.argmax())]
            raise DataError(f"{path}, line {line}: {key} {table[key][line]!r} has a line already")
        unknown = ~ratings[key].isin(table[key])
        if unknown.any():
            line = ratings.index[int(unknown.argmax())]
            raise DataError(f"{paths[0]}, line {line}: {key} {ratings[key][line]!r} is not in {path.name}")
        by_id.append(table.set_index(key))
    return Tables(ratings, *by_id)


def _read(path: Path, separator: str, columns: Sequence[str], first_line: int = 1) -> pd.DataFrame:
    """Read text columns, indexed by line number, with the lines before `first_line` left out."""
    # Latin-1, as GroupLens writes it, reads any byte. Unlike str.splitlines, only `\n` may end a line.
    lines = path.read_text(encoding="latin-1").removesuffix("\n").split("\n")[first_line - 1 :]
    records = [line.rstrip("\r").split(separator) for line in lines]
    for number, record in enumerate(records, start=first_line):
        if len(record) != len(columns):
            raise DataError(
                f"{path}, line {number}: expected {len(columns)} fields ({', '.join(columns[:5])}"
                f"{', ...' if len(columns) > 5 else ''}) separated by {separator!r}, but found {len(record)}"
            )
    index = pd.RangeIndex(first_line, first_line + len(records))
    return pd.DataFrame(records, columns=list(columns), index=index, dtype="str")


def _read_typed(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table whose first line names its columns as `name:type`; other columns are left out."""
    with path.open(encoding="latin-1", newline="\n") as file:
        header = file.readline().rstrip("\r\n").split("\t")
    names = [name.split(":")[0] for name in header]
    if missing := [column for column in columns if column not in names]:
        raise DataError(
            f"{path}, line 1: expected a header with the columns {', '.join(columns)}, but "
            f"{', '.join(missing)} is missing from {header!r}"
        )
    if twice := [column for column in columns if names.count(column) > 1]:
        raise DataError(f"{path}, line 1: the column {twice[0]!r} is there twice: rename or remove one")
    return _read(path, "\t", names, first_line=2)[list(columns)]


def _whole(table: pd.DataFrame, column: str, path: Path, low: int, high: int) -> pd.Series[int]:
    """Convert a text column to whole numbers within bounds."""
    values = pd.to_numeric(table[column].astype(object), errors="coerce").astype(np.float64)
    wrong = ~(values.between(low, high) & (values % 1 == 0))
    if wrong.any():
        line = table.index[int(wrong.argmax())]
        raise DataError(
            f"{path}, line {line}: {column} must be a whole number from {low} to {high}, but is {table[column][line]!r}"
        )
    return values.astype(np.int64)
