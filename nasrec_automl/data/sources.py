"""The data sources by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nasrec_automl.data.movielens import fetch_movielens, read_movielens
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError

DEFAULT_DOWNLOADS = Path("data")


def _movielens(paths: Sequence[Path], downloads: Path) -> RawData:
    if len(paths) > 1:
        raise DataError(f"movielens is one folder, but {len(paths)} inputs came: give the ml-100k folder alone")
    if paths:
        return read_movielens(paths[0])
    folder = downloads / "ml-100k"
    fetch_movielens(folder)
    return read_movielens(folder)


def _synthetic(
    paths: Sequence[Path],
    downloads: Path,
    *,
    rows: int = 100_000,
    seed: int = 0,
    fields: int = 8,
    dense: int = 4,
) -> RawData:
    if paths:
        raise DataError("synthetic data are generated and read no input: leave the input out")
    return make_synthetic(rows, seed, fields=fields, dense=dense)


# A reader takes input paths, a folder for downloads and, by keyword, its own options.
SOURCES: Mapping[str, Callable[..., RawData]] = {"movielens": _movielens, "synthetic": _synthetic}


def read_source(
    name: str, paths: Sequence[Path | str] = (), *, downloads: Path | str = DEFAULT_DOWNLOADS, **options: Any
) -> RawData:
    """Read raw data by the name of their source.

    Args:
        name: one of `SOURCES`.
        paths: input files or folders; a source that can be fetched does without.
        downloads: where fetched files are kept.
        options: of the source, such as `rows` and `seed` of `synthetic`.

    Raises:
        DataError: unknown source or option, an option of another type, or what the reader finds wrong.
    """
    if name not in SOURCES:
        raise DataError(f"there is no data source {name!r}; the sources are {', '.join(sorted(SOURCES))}")
    reader = SOURCES[name]
    known = {p.name: p for p in inspect.signature(reader).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for option, value in options.items():
        if option not in known:
            takes = f"its options are {', '.join(known)}" if known else "it has none"
            raise DataError(f"source {name!r} has no option {option!r}; {takes}")
        if type(value) is not type(known[option].default):
            expected = type(known[option].default).__name__
            raise DataError(f"option {option!r} of source {name!r} must be of type {expected}, but is {value!r}")
    return reader([Path(path) for path in paths], Path(downloads), **options)
