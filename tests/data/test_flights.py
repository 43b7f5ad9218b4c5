import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.flights import read_flights
from nasrec_automl.data.parts import Part, SplitKind
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.rejections import Rejections
from tests.data.flights_files import FLIGHTS, write_flights
from tests.data.learned import fit
from tests.data.spoiled import Spoil, read_or_refuse, spoils


def test_flights_that_arrived_become_rows_in_the_order_of_their_plan(tmp_path: Path) -> None:
    raw = read_flights(write_flights(tmp_path))
    assert raw.frame["flight"].tolist() == ["YY7", "YY12", "ZZ12"]
    assert raw.label.tolist() == [1, 0, 1]  # 90, 15 and 16 minutes
    assert raw.frame["route"].tolist() == ["AAA-DDD", "BBB-CCC", "AAA-CCC"]
    assert raw.frame["weekday"].tolist() == [1, 1, 2]  # 2013-01-01 was a Tuesday
    assert raw.frame["departure"].tolist() == [365, 1435, 420]
    assert raw.frame["arrival"].tolist() == [495, 125, 555]
    assert raw.frame["arrival_hour"].tolist() == [8, 2, 9]
    assert raw.time is not None
    assert raw.time.tolist() == [1357038300, 1357102500, 1357128000]


def test_weather_is_that_of_the_hour_before(tmp_path: Path) -> None:
    frame = read_flights(write_flights(tmp_path)).frame
    np.testing.assert_array_equal(frame["temp"], [np.nan, 31.5, 30.5])
    np.testing.assert_array_equal(frame["wind_gust"], [np.nan, 20, np.nan])
    np.testing.assert_array_equal(frame["wind_dir"], [np.nan, np.nan, 270])


def test_planes_are_joined_by_tail_number(tmp_path: Path) -> None:
    frame = read_flights(write_flights(tmp_path)).frame
    np.testing.assert_array_equal(frame["seats"], [np.nan, np.nan, 150])
    np.testing.assert_array_equal(frame["plane_year"], [np.nan, np.nan, 1999])
    assert frame["model"].isna().tolist() == [True, True, False]
    assert frame["tailnum"].isna().tolist() == [True, False, False]


def test_what_is_known_only_later_is_in_no_feature(tmp_path: Path) -> None:
    before = read_flights(write_flights(tmp_path / "a"))
    later = FLIGHTS[0].replace("710,700,10,930,915,16", "800,700,60,1010,915,55").replace(",100,800,", ",222,800,")
    after = read_flights(write_flights(tmp_path / "b", flights=(later, *FLIGHTS[1:])))
    assert later != FLIGHTS[0]
    pd.testing.assert_frame_equal(before.frame, after.frame)


def test_every_feature_is_in_the_frame(tmp_path: Path) -> None:
    raw = read_flights(write_flights(tmp_path))
    fitted = fit(raw.frame, dense=raw.dense, categorical=raw.categorical, derived=raw.derived)
    dense, ids = fitted.transform(raw.frame)
    assert dense.shape == (3, 16)
    assert ids.shape == (3, 17)
    assert set(raw.frame) == set(raw.dense) | set(raw.categorical)


def test_the_flights_of_a_day_are_one_group(tmp_path: Path) -> None:
    (chunk,) = read_flights(write_flights(tmp_path)).chunks(Rejections())
    assert chunk.row.tolist() == [0, 0, 1]


@pytest.mark.parametrize("split", ["random", "time"])
def test_no_day_is_divided(tmp_path: Path, split: SplitKind) -> None:
    rows = []
    for number, at in enumerate(pd.date_range("2013-01-01", periods=200)):  # the distance tells the day
        for hour in (8, 9, 10, 11):
            late = (number + hour) % 2 * 20
            planned = f"2013,{at.month},{at.day},NA,{hour}05,NA,NA,1215,{late},ZZ,12,N1,AAA,CCC,NA,{number}"
            rows.append(f"{planned},{hour},5,{at:%Y-%m-%d}T{hour + 5}:00:00Z")
    prepare(read_flights(write_flights(tmp_path / "f", flights=rows)), tmp_path / "p", split=split)
    days = days_of_parts(tmp_path / "p")
    assert sum(map(len, days.values())) == 200
    if split == "time":
        assert max(days[Part.TRAIN]) < min(days[Part.HEAD])
        assert max(days[Part.HEAD]) < min(days[Part.TEST])


def days_of_parts(folder: Path) -> dict[Part, set[float]]:
    data = PreparedData.open(folder, test=True)
    column = data.description.dense.index("distance")
    return {part: set(np.asarray(data.part(part).dense)[:, column].tolist()) for part in Part}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["flights.csv", "flights.csv", "weather.csv", "planes.csv"]), spoils(","))
def test_a_spoiled_file_is_read_or_refused(name: str, spoil: Spoil) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_flights(Path(folder), packed=False) / name
        path.write_bytes(spoil(path.read_bytes()))
        read_or_refuse(read_flights, path.parent)
