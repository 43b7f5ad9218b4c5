from pathlib import Path

import pandas as pd
import pytest
import yaml

from nasrec_automl.data import first_rows
from nasrec_automl.data.declared import Declared
from nasrec_automl.data.infer import infer_schema
from nasrec_automl.data.sources import open_source
from tests.data.readers.rows import read_all

MOMENTS = pd.Series(pd.date_range("2024-03-01", periods=400, freq="h"))
SECONDS = (MOMENTS - pd.Timestamp(0)) // pd.Timedelta(seconds=1)


def draft(path: Path, texts: "pd.Series[str]", name: str = "at") -> str:
    clicked = [int(i % 3 == 0) for i in range(400)]
    pd.DataFrame({"clicked": clicked, "shop": ["a", "b"] * 200, name: texts}).to_csv(path, index=False)
    return infer_schema(path)


@pytest.mark.parametrize("form", ["%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M %p", "%d.%m.%Y", "%d-%m-%Y %H:%M:%S", "%d/%m/%y"])
def test_a_format_that_alone_reads_all_is_drafted(form: str, tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", MOMENTS.dt.strftime(form))
    assert yaml.safe_load(text)["timestamp"] == {"column": "at", "format": form}
    (tmp_path / "s.yaml").write_text(text)
    read = read_all(open_source("table", [tmp_path / "f.csv"], schema=tmp_path / "s.yaml"))
    assert read.time is not None
    assert read.time[-1] >= MOMENTS.iloc[-1].floor("D").timestamp()


@pytest.mark.parametrize("form", ["%d/%m/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%s", "type"])
def test_hour_and_weekday_are_derived_of_the_time(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"clicked": [0, 0, 1, 0] * 100, "at": MOMENTS})
    if form == "type":
        frame.to_parquet(path := tmp_path / "f.parquet")
    else:
        frame["at"] = SECONDS if form == "%s" else MOMENTS.dt.strftime(form)
        frame.to_csv(path := tmp_path / "f.csv", index=False)
    (schema := tmp_path / "s.yaml").write_text(infer_schema(path))
    read = read_all(open_source("table", [path], schema=schema))
    made = open_source("table", [path], schema=schema).derived
    declared = Declared(dense={}, categorical={}, derived=tuple(made))
    columns = declared.columns(read.table, checked=True)
    assert columns["at_hour"].tolist() == MOMENTS.dt.hour.tolist()
    assert columns["at_weekday"].tolist() == MOMENTS.dt.day_of_week.tolist()


@pytest.mark.parametrize(
    ("texts", "derived"),
    [
        (MOMENTS.dt.strftime("%Y-%m-%d"), ["at_weekday"]),
        (MOMENTS.dt.strftime("2024-03-01 %H:%M"), ["at_hour"]),
        (SECONDS * 1000, []),
        (MOMENTS.dt.strftime("%Y%m%d%H"), []),
    ],
)
def test_what_never_differs_or_needs_more_is_not_derived(
    texts: "pd.Series[str]", derived: list[str], tmp_path: Path
) -> None:
    drafted = yaml.safe_load(draft(tmp_path / "f.csv", texts))
    assert [column["name"] for column in drafted.get("derived", [])] == derived
    assert list(drafted["categorical"]) == ["shop", *derived]


def test_a_moment_far_off_ends_no_draft(tmp_path: Path) -> None:
    seconds = SECONDS.where(SECONDS.index != 7, 253402300799)
    drafted = yaml.safe_load(draft(tmp_path / "f.csv", seconds))
    assert [column["name"] for column in drafted["derived"]] == ["at_hour", "at_weekday"]


def test_later_rows_may_have_another_weekday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_rows, "MOST_ROWS", 20)
    drafted = yaml.safe_load(draft(tmp_path / "f.csv", MOMENTS.astype(str)))
    assert [column["name"] for column in drafted["derived"]] == ["at_hour", "at_weekday"]
    drafted = yaml.safe_load(draft(tmp_path / "f.csv", (MOMENTS.dt.floor("D") + pd.Timedelta(days=1)).astype(str)))
    assert "derived" not in drafted, "one day is no time yet"


def test_a_column_of_the_name_stays(tmp_path: Path) -> None:
    frame = pd.DataFrame({"clicked": [0, 0, 1, 0, 0] * 80, "at": MOMENTS, "at_hour": MOMENTS.dt.hour})
    frame.to_csv(tmp_path / "f.csv", index=False)
    drafted = yaml.safe_load(infer_schema(tmp_path / "f.csv"))
    assert [column["name"] for column in drafted["derived"]] == ["at_weekday"]
    assert list(drafted["categorical"]) == ["at_hour", "at_weekday"]


def test_where_day_and_month_may_be_swapped_both_are_named(tmp_path: Path) -> None:
    text = draft(
        tmp_path / "f.csv", MOMENTS.head(200).dt.strftime("%d/%m/%Y").reindex(range(400), fill_value="02/01/2024")
    )
    assert yaml.safe_load(text)["ignored"] == ["at"]
    assert "day or month may come first, such as '01/03/2024'; for the time, write timestamp: {column: at" in text
    assert 'format: "%d/%m/%Y" or "%m/%d/%Y"}' in text


@pytest.mark.parametrize("form", ["%d %B %Y", "%a, %d %b %Y %H:%M", "%b %d, %Y", "%d/%b/%Y:%H:%M:%S"])
def test_of_other_dates_the_comment_says_how_to_write_the_time(form: str, tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", MOMENTS.dt.strftime(form))
    assert yaml.safe_load(text)["ignored"] == ["at"]
    assert "named like a time, but neither numbers nor ISO8601, such as" in text
    assert "write timestamp: {column: at, format: ...} with its format of strptime, such as" in text


def test_a_column_with_one_date_and_nothing_else_is_a_category(tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", pd.Series(["2024-05-01", None] * 200), "returned_at")
    assert list(yaml.safe_load(text)["categorical"]) == ["shop", "returned_at"]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%d %B %Y"])
def test_a_time_of_which_some_are_no_dates_says_which(form: str, tmp_path: Path) -> None:
    texts = MOMENTS.dt.strftime(form).where(MOMENTS.index % 10 > 0, "not yet")
    text = draft(tmp_path / "f.csv", texts)
    assert yaml.safe_load(text)["ignored"] == ["at"]
    assert "named like a time, but some are no dates, such as 'not yet': correct the file" in text


def test_of_several_dates_one_is_the_time_and_none_a_category(tmp_path: Path) -> None:
    days = MOMENTS.dt.strftime("%Y-%m-%d")
    frame = pd.DataFrame({"clicked": [0, 0, 1, 0] * 100, "shop": ["a", "b"] * 200, "created_at": days, "sold_at": days})
    frame.to_csv(tmp_path / "f.csv", index=False)
    text = infer_schema(tmp_path / "f.csv")
    assert (yaml.safe_load(text)["timestamp"]["column"], yaml.safe_load(text)["ignored"]) == ("created_at", ["sold_at"])
    assert "- sold_at  # named like a time, and dates, which are no feature; another column is taken for" in text


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("form", ["dates", "seconds", "mixed", "durations"])
def test_of_several_times_the_one_is_taken_that_the_fewest_rows_lack(form: str, ending: str, tmp_path: Path) -> None:
    seconds = (MOMENTS - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    click = {"dates": MOMENTS, "mixed": MOMENTS}.get(form, seconds)
    event = {"dates": MOMENTS, "durations": seconds - seconds.min()}.get(form, seconds)
    frame = pd.DataFrame(
        {
            "clicked": [0, 0, 1, 0] * 100,
            "shop": ["a", "b"] * 200,
            "click_time": click.where(MOMENTS.index < 40),
            "event_time": event.where(MOMENTS.index > 0),
            "later_time": event,
            "last_time": event,
        }
    )
    path = tmp_path / f"f.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    chosen = yaml.safe_load(infer_schema(path))["timestamp"]["column"]
    assert chosen == ("click_time" if form == "durations" else "later_time")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("missing", [0, 7])
def test_further_dates_that_are_not_named_like_a_time_are_no_category(
    missing: int, ending: str, tmp_path: Path
) -> None:
    days = MOMENTS.dt.date
    made = pd.DataFrame({"clicked": [0, 0, 1, 0] * 100, "at": days, "signup": days.where(MOMENTS.index >= missing)})
    made["cohort"] = MOMENTS.dt.strftime("%Y-%m").where(MOMENTS.index % 9 > 0, "2023-01")
    path = tmp_path / f"f.{ending}"
    made.to_csv(path, index=False) if ending == "csv" else made.to_parquet(path)
    text = infer_schema(path)
    drafted = yaml.safe_load(text)
    assert (drafted["timestamp"]["column"], drafted["ignored"]) == ("at", ["signup"])
    assert list(drafted["categorical"]) == ["cohort", "at_weekday"], "2023-01 may be a code"
    assert "- signup  # dates, which are no feature, and not taken for the time" in text


def test_texts_of_a_time_that_are_no_dates_stay_categories(tmp_path: Path) -> None:
    for texts in (["morning", "noon"] * 200, ["12-14", "14-16"] * 200):
        text = draft(tmp_path / "f.csv", pd.Series(texts), "time_of_day")
        assert list(yaml.safe_load(text)["categorical"]) == ["shop", "time_of_day"]


@pytest.mark.parametrize("stamp", [1.7e9, 1.7e12, 24010112, 20240101, 2024010112, 240101])
def test_a_duration_is_not_taken_for_the_time_where_another_column_can_be(stamp: float, tmp_path: Path) -> None:
    at = [int(stamp) + 97 * row for row in range(400)]
    frame = {"clicked": [0, 0, 1, 0] * 100, "shop": ["a", "b"] * 200, "dwell_time": range(400), "ts": at}
    pd.DataFrame(frame).to_csv(tmp_path / "f.csv", index=False)
    text = infer_schema(tmp_path / "f.csv")
    assert yaml.safe_load(text)["timestamp"] == {"column": "ts", "format": "number"}
    assert "GUESSED: named like a time" not in text
    pd.DataFrame(frame).drop(columns="ts").to_csv(tmp_path / "g.csv", index=False)
    text = infer_schema(tmp_path / "g.csv")
    assert yaml.safe_load(text)["timestamp"]["column"] == "dwell_time"
    assert "GUESSED: named like a time, and numbers, if they are no durations" in text


@pytest.mark.parametrize("name", ["eventTime", "event-time", "event time", "createdAt", "clickDate", "Event Time"])
def test_words_of_a_name_may_be_joined_in_any_way(name: str, tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", SECONDS, name)
    assert yaml.safe_load(text)["timestamp"] == {"column": name, "format": "number"}


def test_a_birthday_is_no_time_where_another_column_is(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    born = MOMENTS.dt.strftime("%Y-%m-%d")
    clicked = [int(i % 3 == 0) for i in range(400)]
    shops = ["a", "b"] * 200
    pd.DataFrame({"clicked": clicked, "birthDate": born, "shop": shops, "timestamp": SECONDS}).to_csv(path, index=False)
    assert yaml.safe_load(infer_schema(path))["timestamp"] == {"column": "timestamp", "format": "number"}


def test_words_for_the_moment_of_reading_are_no_time(tmp_path: Path) -> None:
    text = draft(tmp_path / "f.csv", pd.Series(["now", "today"] * 200), "when")
    assert list(yaml.safe_load(text)["categorical"]) == ["shop", "when"]
