from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pytest

from nasrec_automl.data.moments import moments_of, seconds
from nasrec_automl.data.values import RawColumn
from nasrec_automl.errors import DataError

NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "form"),
    [
        (pd.Series(["2024-05-31T14:00:00+02:00"]), "ISO8601"),
        (pd.Series([" 31.05.2024 12:00\t"]), "%d.%m.%Y %H:%M"),
        (pd.Series([2024053112]), "%Y%m%d%H"),
        (pd.Series([2024053112.0]), "%Y%m%d%H"),
        (pd.Series(["2024-05-31 12:00"], dtype="category"), "ISO8601"),
        (pd.Series([NOON], dtype=object), "%d.%m.%Y"),
        (pd.to_datetime(pd.Series(["2024-05-31 12:00"])), "%d.%m.%Y"),
        (pd.to_datetime(pd.Series(["2024-05-31 14:00+02:00"])), "ISO8601"),
        (pd.to_datetime(pd.Series(["2024-05-31 12:00"])).astype("timestamp[ns][pyarrow]"), "ISO8601"),
        (pa.chunked_array([pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms"))]), "ISO8601"),
        (pa.chunked_array([pa.array([NOON])]), "%Y"),
        (pa.chunked_array([pa.array(["2024-05-31 12:00"])]), "ISO8601"),
    ],
)
def test_a_moment_is_the_same_in_each_type(column: RawColumn, form: str) -> None:
    assert seconds(moments_of(column, form, "at")).tolist() == [NOON.timestamp()]


def test_days_begin_at_midnight() -> None:
    for column in (pd.Series([date(2024, 5, 31)]), pa.chunked_array([pa.array([date(2024, 5, 31)])])):
        assert seconds(moments_of(column, "ISO8601", "at")).tolist() == [NOON.timestamp() - 12 * 3600]


def test_missing_ones_have_no_seconds() -> None:
    made = seconds(moments_of(pd.Series(["2024-05-31", None, "", "NA", float("nan"), pd.NaT]), "ISO8601", "at"))
    assert pd.isna(made).tolist() == [False, *[True] * 5]
    assert pd.isna(seconds(moments_of(pd.Series([None, None]), "ISO8601", "at"))).all()


@pytest.mark.parametrize("wrong", ["soon", "now", 1717156800, "31.05.2024"])
def test_what_is_no_moment_of_the_format_is_named(wrong: object) -> None:
    column = pd.Series(["2024-05-31", None, wrong], dtype=object)
    with pytest.raises(DataError, match=f"'at' must hold times of the format ISO8601, but row 3 .* holds '{wrong}'"):
        moments_of(column, "ISO8601", "at")
