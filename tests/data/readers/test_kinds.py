"""The quick way may refuse what the exact one takes, and never the other way round. The rest is fuzzed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest

from nasrec_automl.data.categorical import CategoryFormat
from nasrec_automl.data.columns import DerivedColumn
from nasrec_automl.data.readers import kinds
from nasrec_automl.data.readers.kinds import (
    COUNT,
    HEX,
    HOUR,
    LABEL,
    NUMBER,
    TEXT,
    UNSIGNED,
    WEIGHT,
    Column,
    Kind,
    hour_seconds,
    instant,
    kind_of,
    number_kind,
)

SECONDS = number_kind("at", [DerivedColumn(name="hour", source="at", kind="hour")])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (LABEL, "1", "2"),
        (COUNT, 5, -1),
        (COUNT, 5, 2**31 + 1),
        (NUMBER, 1.5, float("inf")),
        (NUMBER, 1.5, 1e39),
        (SECONDS, 1704067200.5, 1e12),
        (SECONDS, -1e11, -1.1e11),
        (SECONDS, 1e11, float("inf")),
        (WEIGHT, 0.0, -0.5),
        (HEX, "00ff00ff", "00FF00FF"),
        (HEX, "00ff00ff", "0ff00ff"),
        (HEX, "00ff00ff", "000ff00ff"),
        (HOUR, 14102123, 14102124),
        (instant("%Y-%m-%d"), "2024-02-29", "2023-02-29"),
    ],
)
def test_a_bad_value_among_good_ones_is_noticed(kind: Kind, good: Any, bad: Any) -> None:
    fine = kind.convert(pa.array([good, None, good], kind.reads))
    assert fine is not None
    assert fine.type == kind.makes
    assert fine.null_count == 1
    assert kind.convert(pa.array([good, None, bad, good], kind.reads)) is None
    assert kind.convert(pa.array([None], kind.reads)) is not None
    assert kind.convert(pa.array([bad, good, good], kind.reads).slice(1)) is not None
    with pytest.raises(ValueError):  # noqa: PT011 each kind says it in its own words
        kind.value(str(bad))


def test_values() -> None:
    assert UNSIGNED.value(str(2**64 - 1)) == 2**64 - 1
    assert UNSIGNED.value("0" * 5000 + "7") == 7
    with pytest.raises(ValueError, match="outside"):
        UNSIGNED.value(str(2**64))
    with pytest.raises(ValueError, match="whole number"):
        UNSIGNED.value("0x10")
    assert hour_seconds(14102100) == 1413849600
    assert instant("ISO8601").value("2014-10-21T02:00:00+02:00") == datetime(2014, 10, 21, tzinfo=UTC)
    assert instant("%d.%m.%Y").value("21.10.2014") == datetime(2014, 10, 21, tzinfo=UTC)


def test_digits_of_a_date_may_be_those_of_a_float() -> None:
    made = instant("%Y%m%d").convert(pa.array(["20240531.0", None, "20240531"]))
    assert made is not None
    day = datetime(2024, 5, 31, tzinfo=UTC)
    assert made.to_pylist() == [day, None, day]
    assert instant("%Y%m%d").value("20240531.0") == day
    assert instant("%d.%m.%Y").value("31.05.2024") == day


def test_moments_lie_in_the_years_1_to_9999() -> None:
    texts = ["0001-01-01", "1500-01-01", None, "2024-01-01", "9999-12-31"]
    made = instant("ISO8601").convert(pa.array(texts))
    assert made is not None
    seconds = [-62135596800, -14831769600, None, 1704067200, 253402214400]
    assert made.cast(pa.int64()).to_pylist() == [None if moment is None else moment * 10**6 for moment in seconds]
    assert instant("%Y-%m-%d").value("9999-12-31") == datetime(9999, 12, 31, tzinfo=UTC)
    with pytest.raises(ValueError, match="a time that is not ISO8601"):
        instant("ISO8601").value("10000-01-01")


@pytest.mark.parametrize("form", ["ISO8601", "%Y-%m-%d"])
@pytest.mark.parametrize("word", ["now", "today", "NaT", "noon"])
def test_the_moment_of_reading_is_no_time(form: str, word: str) -> None:
    assert instant(form).convert(pa.array(["2024-01-01", word])) is None
    with pytest.raises(ValueError, match=f"a time that is not {form}"):
        instant(form).value(word)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("ISO8601", "2024-05-31T12:00:00.1234567Z"),
        ("ISO8601", "2024-05-31T14:00:00.123456789+02:00"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-05-31 12:00:00.123456999"),
    ],
)
def test_what_is_below_a_microsecond_is_cut_off(form: str, text: str) -> None:
    expected = datetime(2024, 5, 31, 12, 0, 0, 123456, tzinfo=UTC)
    kind = instant(form)
    assert kind.value(text) == expected
    converted = kind.convert(pa.array([text, text]))
    assert converted is not None
    assert converted.to_pylist() == [expected, expected]


def test_moments_of_many_texts_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["2024-02-29", " 2024-03-01\t", None, "", "soon", "2024-02-29"]
    column = Column("at", instant("%Y-%m-%d")).knowing(texts)
    expected = instant("%Y-%m-%d").value("2024-03-01")
    spy = Mock(wraps=kinds._instant)
    monkeypatch.setattr(kinds, "_instant", spy)
    assert column.kind is not None
    assert column.kind.value("2024-03-01") == expected
    spy.assert_not_called()
    with pytest.raises(ValueError, match="a time that is not"):
        column.kind.value("soon")
    assert column.kind.value("2024-03-02") == expected + timedelta(days=1), "not among those that were known"
    other = Column("n", NUMBER)
    assert other.knowing(texts) is other


def test_hex_lengths_do_not_make_up_for_each_other() -> None:
    assert HEX.convert(pa.array(["0000000", "000000000"])) is None
    assert HEX.convert(pa.array(["", "00000000"])) is None


def test_numbers_are_seconds_where_hours_or_weekdays_are_made_of_them() -> None:
    derived = [
        DerivedColumn(name="hour", source="at", kind="hour"),
        DerivedColumn(name="day", source="at", kind="weekday"),
        DerivedColumn(name="age", source="born", kind="decade"),
    ]
    assert number_kind("born", derived) is NUMBER
    assert number_kind("price", derived) is NUMBER
    naming = r"beyond 100,000,000,000, .* seconds since 1970 make 'hour' and 'day': divide the column by 1000"
    with pytest.raises(ValueError, match=naming):
        number_kind("at", derived).value("1e15")


def test_the_kind_of_a_categorical_column_is_its_formats() -> None:
    assert kind_of(CategoryFormat()) is TEXT
    assert kind_of(CategoryFormat(format="hex")) is HEX
    several = kind_of(CategoryFormat(max_values=2, separator=", "))
    texts = pa.array(["a, b", "c", None, ""])
    assert several.convert(texts).to_pylist() == [["a", "b"], ["c"], None, [""]]
    assert [several.value(text) for text in ("a, b", "c", "")] == [["a", "b"], ["c"], [""]]
