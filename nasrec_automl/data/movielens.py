"""MovieLens-100k as click data: did this user like this film?

Its licence forbids passing the data on, so no row of them is part of this project.
"""

from __future__ import annotations

from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.movielens_tables import GENRES, read_tables
from nasrec_automl.data.raw import RawData

_LIKED = 4
# Categories seen once share row 0 and so train it: a new user or film meets a row that has learned something.
_TABLE = CategoricalOptions(min_count=2)
_GENRES = CategoricalOptions(max_values=6)  # no film has more
_FIELDS = (
    *("user_id", "item_id", "gender", "occupation", "zip_code", "release_year"),
    *("age_decade", "hour", "weekday"),
)
_DERIVED = (
    DerivedColumn(name="age_decade", source="age", kind="decade"),
    DerivedColumn(name="hour", source="timestamp", kind="hour"),
    DerivedColumn(name="weekday", source="timestamp", kind="weekday"),
)


def read_movielens(folder: Path | str) -> RawData:
    """Read either distribution; both give the same frame, one row a rating in file order.

    The frame holds user_id, item_id, age, gender, occupation, zip_code, release_year, timestamp (UTC seconds)
    and the film's genres, joined by |. The rating is the label, at least 4 of 5, and nothing else.

    Raises:
        DataError: a table is missing or a line is malformed; names the file and the line.
    """
    ratings, users, items = read_tables(Path(folder))
    user = users.loc[ratings["user_id"]].reset_index()
    item = items.loc[ratings["item_id"]].reset_index()
    genres = item[list(GENRES)].to_numpy(dtype=bool)
    # The year stands in the title in both distributions, the full release date in one alone.
    year = item["title"].str.extract(r".*\((\d{4})\)", expand=False)
    frame = pd.DataFrame(
        {
            **user[["user_id", "age", "gender", "occupation", "zip_code"]],
            "item_id": item["item_id"],
            "release_year": pd.to_numeric(year).astype(np.float64),
            "timestamp": ratings["timestamp"].to_numpy(),
            "genres": ["|".join(compress(GENRES, flags)) for flags in genres],
        }
    )
    return RawData(
        name="movielens-100k",
        frame=frame,
        label=(ratings["rating"] >= _LIKED).astype(np.int64).reset_index(drop=True).rename("label"),
        label_description=f"rating >= {_LIKED}",
        dense={"age": DenseOptions(transform="standardise")},
        categorical={**dict.fromkeys(_FIELDS, _TABLE), "genres": _GENRES},
        derived=_DERIVED,
        time=frame["timestamp"],
    )
