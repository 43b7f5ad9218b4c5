from collections.abc import Callable
from pathlib import Path

import pytest

from nasrec_automl.data.movielens_tables import GENRES

# Made-up people and films. The titles hold what is special: no year, and parentheses after it.
RATINGS = [("7", "2", "5", "881250949"), ("9", "1", "3", "0"), ("7", "3", "4", "86400")]
USERS = [("7", "24", "M", "writer", "02139"), ("9", "53", "F", "other", "T8H1N")]
FILMS = [
    ("1", "Déjà Moo", "1995", ["Animation", "Children's"]),
    ("2", "unknown", None, ["unknown"]),
    ("3", "Calf, The (1971)", "V", ["Film-Noir", "Sci-Fi"]),
]


def write_grouplens(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    films = []
    for item, title, year, genres in FILMS:
        flags = "|".join(str(int(genre in genres)) for genre in GENRES)
        films.append(f"{item}|{title if year is None else f'{title} ({year})'}|01-Feb-1996||http://example.org|{flags}")
    (folder / "u.data").write_text("\n".join("\t".join(row) for row in RATINGS) + "\n", encoding="latin-1")
    (folder / "u.user").write_text("\n".join("|".join(row) for row in USERS) + "\n", encoding="latin-1")
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    return folder


def write_recbole(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    tables = {
        "inter": [
            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
            *("\t".join(row) for row in RATINGS),
        ],
        "user": [
            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
            *("\t".join(row) for row in USERS),
        ],
        "item": [
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
            *(f"{item}\t{title}\t{year or title}\t{' '.join(genres)}" for item, title, year, genres in FILMS),
        ],
    }
    for ending, lines in tables.items():
        (folder / f"ml-100k.{ending}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def write_movielens() -> Callable[[str, Path], Path]:
    """Write a few made-up rows in the form of either distribution, `grouplens` or `recbole`."""
    writers = {"grouplens": write_grouplens, "recbole": write_recbole}
    return lambda kind, folder: writers[kind](folder)
