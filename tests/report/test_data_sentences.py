import pytest

from nasrec_automl.data.columns import DenseColumn
from nasrec_automl.data.description import SplitDescription
from nasrec_automl.data.parts import VALIDATION, Part
from nasrec_automl.data.statistics import DenseStatistics
from nasrec_automl.report.data_content import RejectedReason
from nasrec_automl.report.data_sentences import data_headline, memory_formula, things_to_look_at
from tests.report.data_contents import ROWS, data_content, field


def dense(**changes) -> tuple[DenseStatistics, ...]:
    return (DenseStatistics(**{"name": "price", "missing": 0.0, "mean": 1.0, "low": 0.0, "high": 2.0} | changes),)


def test_the_headline_counts():
    text = data_headline(data_content())
    assert text == "100,000 rows, 25.00% of them positive (clicked), with 2 categorical fields and 1 number column."


def test_nothing_stands_out():
    [text] = things_to_look_at(data_content())
    assert text.startswith("Nothing stands out")


@pytest.mark.parametrize(
    ("changes", "naming"),
    [
        ({"rates": {Part.TEST: 0.3}}, "train (25.00%): test 30.00%. Rows that belong together"),
        ({"rates": {Part.TEST: 0.3}, "split": SplitDescription(kind="time", seed=1)}, "Parts of different times do"),
        ({"earlier": ("a", "b")}, "Rows were appended 2 times: tables and transforms are those of the first 80,000"),
        ({"notes": {"rows_read": 1000, "rows_rejected": 7}}, "7 of 1,000 rows read were bad"),
        ({"fields": (field("same", 1),)}, "with a single value or none: same."),
        ({"fields": (field("none", 0, values=0, missing=1.0, top=()),)}, "with a single value or none: none."),
        ({"fields": (field("rare", missing=0.6),)}, "more than half of the training rows: rare."),
        ({"fields": (field("row", 79_000),)}, "a category of its own: row."),
        ({"dense": dense(low=2.0, high=2.0)}, "a single value or none in training: price."),
        ({"dense": dense(low=None, high=None, mean=None, missing=1.0)}, "a single value or none in training: price."),
        ({"dense": dense(missing=0.6, low=1.0, high=1.0)}, "price. In the schema of a table, flag_missing would tell"),
        ({"dense": dense(missing=0.6)}, "price. In the schema of a table, flag_missing would tell"),
        ({"dense": dense(low=-3.0, high=-1.0)}, "log makes 0 of every value, since none is positive: price."),
    ],
)
def test_what_stands_out_is_said(changes, naming):
    [text] = things_to_look_at(data_content(**changes))
    assert naming in text


def test_a_flagged_column_needs_no_flag():
    columns = (DenseColumn(name="price", flag_missing=True),)
    [text] = things_to_look_at(data_content(dense=dense(missing=0.6), columns=columns))
    assert "flag_missing" not in text


def test_chance_is_not_said():
    [text] = things_to_look_at(data_content(rates={Part.TEST: 0.26}))
    assert text.startswith("Nothing stands out: parts have alike positive rates")


def test_heavy_rows_leave_chance_chance():
    [text] = things_to_look_at(data_content(rates={Part.TEST: 0.5}, weight=100.0))
    assert text == "Nothing stands out: no column is empty or always the same."


def test_reasons_are_promised_where_they_are_shown():
    notes = {"rows_read": 1000, "rows_rejected": 7}
    [text] = things_to_look_at(data_content(notes=notes))
    assert text == "7 of 1,000 rows read were bad and are left out."
    rejected = (RejectedReason(reason="bad", rows=7, first="f, line 1", text=""),)
    [text] = things_to_look_at(data_content(notes=notes, rejected=rejected))
    assert text == "7 of 1,000 rows read were bad and are left out; why is below."


def test_new_categories_are_said():
    unknown = {part: {"user": ROWS[part] // 5} for part in VALIDATION}
    [text] = things_to_look_at(data_content(unknown=unknown))
    assert "user (20.0% against 0)" in text


def test_the_formula_has_the_tables_as_prepared():
    text = memory_formula(data_content())
    assert "rows times 16 (embedding width) times 4 bytes times 2" in text
    assert "200 rows, 25.6 kB" in text
