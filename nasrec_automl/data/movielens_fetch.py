"""Fetching MovieLens-100k: its tables are text inside a wheel on PyPI."""

from __future__ import annotations

from pathlib import Path

from nasrec_automl.data.movielens_tables import GROUPLENS_FILES, RECBOLE_FILES, has_files
from nasrec_automl.data.package_files import PackageFiles

_PACKAGE = PackageFiles(
    name="MovieLens-100k",
    requirement="recbole==1.2.1",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    inside="recbole/dataset_example/ml-100k",
    files=RECBOLE_FILES,
)


def fetch_movielens(folder: Path | str) -> None:
    """Put the three tables into `folder`; does nothing where those of either distribution are there already.

    Raises:
        DataError: they cannot be downloaded, or what came is not the expected file.
    """
    folder = Path(folder)
    if has_files(folder, GROUPLENS_FILES) or has_files(folder, RECBOLE_FILES):
        return
    _PACKAGE.fetch(
        folder,
        f"put {', '.join(GROUPLENS_FILES)} of GroupLens' ml-100k, or {', '.join(RECBOLE_FILES)}, "
        f"into {folder} and run again",
    )
