"""Track 2 of KDD Cup 2012: training.txt, joined with gender and age of userid_profile.txt.

A line counts how often one advertisement was shown to one user in one way, and how often it was clicked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.published_sizes import PUBLISHED_SIZES
from nasrec_automl.data.raw import Chunk
from nasrec_automl.data.readers.inputs import COMPRESSED, find_files
from nasrec_automl.data.readers.kinds import COUNT, SMALL, UNSIGNED, Column
from nasrec_automl.data.readers.source import PUBLISHED_TABLE, FileSource, MakeExamples
from nasrec_automl.data.readers.text import Layout, RowCheck, read_text, schema_of
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError

Protocol = Literal["published", "expanded"]

_PROFILE = "userid_profile.txt"
_IDS = ("display_url", "ad_id", "advertiser_id")
_MORE_IDS = ("query_id", "keyword_id", "title_id", "description_id", "user_id")
_FIELDS = (*_IDS, *_MORE_IDS, "gender", "age")


def _clicks_exceed(table: pa.Table) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = table["click"].to_numpy() > table["impression"].to_numpy()
    return wrong


def _never_shown(table: pa.Table) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = table["impression"].to_numpy() < 1
    return wrong


LAYOUT = Layout(
    columns=(
        Column("click", COUNT, required=True),
        Column("impression", COUNT, required=True),
        *(Column(name, UNSIGNED) for name in _IDS),
        Column("depth", COUNT),
        Column("position", COUNT),
        *(Column(name, UNSIGNED) for name in _MORE_IDS),
    ),
    separator="\t",
    checks=(RowCheck("no impression", _never_shown), RowCheck("more clicks than impressions", _clicks_exceed)),
)
PROFILE_LAYOUT = Layout(
    columns=(Column("user_id", UNSIGNED, required=True), Column("gender", SMALL), Column("age", SMALL)),
    separator="\t",
)


def kdd12(paths: Sequence[Path], *, protocol: str = "published") -> FileSource:
    """Open tab-separated files of 12 fields without a header, and userid_profile.txt beside the first of them.

    Args:
        paths: files, folders with `training.txt`, or globs; `.gz`, `.bz2`, `.xz` and `.zst` too.
        protocol: `published` makes an example of each row, clicked if there was any click, with the impressions as a
            feature. `expanded` makes two, clicked and not, that weigh as many as there were impressions of the kind.

    Raises:
        DataError: there are no such files, or no such protocol.
    """
    if protocol not in get_args(Protocol):
        raise DataError(f"kdd12 has the protocols {' and '.join(get_args(Protocol))}, but not {protocol!r}")
    files = find_files(paths, ("training.txt",), "KDD12's data")
    profile = _profile_beside(files[0])
    published = protocol == "published"
    dense: dict[str, DenseOptions] = dict.fromkeys(
        ("impression", "depth", "position") if published else ("depth", "position"), DenseOptions(transform="log")
    )

    def start(rejections: Rejections) -> MakeExamples:
        users = _Users.read(profile, rejections.apart(profile))
        return lambda table: (_published if published else _expanded)(users.join(table))

    return FileSource(
        name=f"kdd12-{protocol}",
        label_description="clicked at least once" if published else "clicked",
        dense=dense,
        categorical=dict.fromkeys(_FIELDS, PUBLISHED_TABLE),
        files=files,
        beside=(profile,),
        tables=partial(read_text, layout=LAYOUT),
        start=start,
        published=PUBLISHED_SIZES["kdd12"],
    )


@dataclass(frozen=True)
class _Users:
    """Gender and age by user.

    Attributes:
        ids: ascending.
        profile: `gender` and `age` of each, and one row of nothing for who is not among them.
    """

    ids: NDArray[np.uint64]
    profile: pa.Table

    @classmethod
    def read(cls, path: Path, rejections: Rejections) -> _Users:
        tables = list(read_text(path, rejections, layout=PROFILE_LAYOUT))
        table = pa.concat_tables([schema_of(PROFILE_LAYOUT).empty_table(), *tables])
        ids = table["user_id"].to_numpy()
        kinds = table.select(["gender", "age"])
        if not (ids[1:] > ids[:-1]).all():
            order = np.argsort(ids, kind="stable")
            ids, kinds = ids[order], kinds.take(pa.array(order))
            if (again := np.flatnonzero(ids[1:] == ids[:-1])).size:
                raise DataError(f"{path}: user {ids[again[0]]} has several lines: leave one")
        nobody = pa.table({name: pa.array([None], pa.uint8()) for name in kinds.column_names})
        return cls(ids, pa.concat_tables([kinds, nobody]).combine_chunks())

    def join(self, table: pa.Table) -> pa.Table:
        """Add the columns `gender` and `age`."""
        users = table["user_id"].fill_null(0).to_numpy()
        # Sorted distinct users: a search for each row would miss the processor's cache each time.
        distinct, positions = np.unique(users, return_inverse=True)
        places = np.searchsorted(self.ids, distinct)
        known = places < len(self.ids)
        known[known] = self.ids[places[known]] == distinct[known]
        rows = np.where(known, places, len(self.ids))[positions]
        rows[table["user_id"].is_null().to_numpy()] = len(self.ids)  # there may be a user 0
        profile = self.profile.take(pa.array(rows))
        for name in ("gender", "age"):
            table = table.append_column(name, profile[name])
        return table


def _published(table: pa.Table) -> Chunk:
    label = (table["click"].to_numpy() > 0).astype(np.uint8)
    return Chunk(table=table.drop_columns(["click"]), label=label, row=np.arange(len(label)))


def _expanded(table: pa.Table) -> Chunk:
    click = table["click"].to_numpy()
    both = np.column_stack([click, table["impression"].to_numpy() - click])  # (rows, 2): clicked, not clicked
    row, kind = np.nonzero(both)
    return Chunk(
        table=table.drop_columns(["click", "impression"]).take(pa.array(row)),
        label=(kind == 0).astype(np.uint8),
        row=row.astype(np.int64),
        weight=both[row, kind].astype(np.float32),
    )


def _profile_beside(training: Path) -> Path:
    names = [_PROFILE, *(_PROFILE + ending for ending in COMPRESSED)]
    for name in names:
        if (path := training.with_name(name)).is_file():
            return path
    raise DataError(f"{training.with_name(_PROFILE)}: no such file; KDD12's gender and age are in it: put it there")
