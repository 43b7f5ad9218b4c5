from pathlib import Path

import pandas as pd
import pytest

from nasrec_automl.data.flights_tables import missing_files, read_tables
from nasrec_automl.errors import DataError
from tests.data.flights_files import FLIGHTS, PLANES, WEATHER, write_flights


@pytest.mark.parametrize("packed", [True, False])
def test_flights_may_be_unpacked(tmp_path: Path, packed: bool) -> None:
    folder = write_flights(tmp_path / "f", packed=packed)
    assert missing_files(folder) == []
    tables = read_tables(folder)
    assert [len(table) for table in tables] == [4, 3, 1]
    assert tables.flights["time_hour"].iloc[0] == pd.Timestamp("2013-01-02 12:00", tz="UTC")
    assert tables.flights["tailnum"].isna().tolist() == [False, False, False, True]


def test_what_is_known_only_later_is_not_read(tmp_path: Path) -> None:
    assert not {"dep_time", "dep_delay", "arr_time", "air_time"} & set(read_tables(write_flights(tmp_path)).flights)


def test_missing_tables_are_named(tmp_path: Path) -> None:
    (write_flights(tmp_path) / "planes.csv").unlink()
    with pytest.raises(DataError, match=r"must hold flights\.csv\.zip, weather\.csv.*lacks planes\.csv$"):
        read_tables(tmp_path)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"weather": (*WEATHER, WEATHER[0])}, r"weather\.csv: expected one row for each origin and time_hour"),
        ({"planes": (*PLANES, PLANES[0])}, r"planes\.csv: expected one row for each tailnum, but \['N1'\]"),
        ({"flights": (FLIGHTS[0].replace(",800,", f",{10**20},"),)}, r"flights\.csv\.zip cannot be read.*Overflow"),
        ({"flights": (FLIGHTS[0].replace(",800,", ",far,"),)}, r"flights\.csv\.zip cannot be read.*far"),
        (
            {"flights": (*FLIGHTS, FLIGHTS[0].replace("2013-01-02T12", "some"))},
            r"\.zip, row 5 .*'some:00:00Z' came: corr",
        ),
        ({"flights": (FLIGHTS[0].replace("2013-01-02T12:00:00Z", "now"),)}, r"row 1 .* time_hour 'now' came"),
        ({"flights": (FLIGHTS[0].replace("2013,1,2", "2013,13,2"),)}, r"row 1 .*year 2013, month 13, day 2 came"),
        ({"flights": (FLIGHTS[0].replace("2013,1,2", "2013,2,30"),)}, r"row 1 .*year 2013, month 2, day 30 came"),
        ({"flights": (FLIGHTS[0].replace("2013,1,2", "99999,2,3"),)}, r"row 1 .*year 99999, month 2, day 3 came"),
        (
            {"weather": (*WEATHER, WEATHER[0].replace("2013-01-02T11", "0001-01-02T11"))},
            r"weather\.csv, row 4 .*'0001-",
        ),
        (
            {"weather": (WEATHER[0].replace("2013-01-02T11:00:00Z", "NA"),)},
            r"weather\.csv, row 1 .* time_hour nan came",
        ),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, tables: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_tables(write_flights(tmp_path, **tables))  # type: ignore[arg-type]


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (write_flights(tmp_path) / "flights.csv.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"flights\.csv\.zip cannot be read"):
        read_tables(tmp_path)
    write_flights(tmp_path)
    (tmp_path / "weather.csv").write_text("origin,temp\nAAA,1\n")
    with pytest.raises(DataError, match=r"weather\.csv cannot be read.*dewp"):
        read_tables(tmp_path)
