import re

import pytest

from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.columns import DenseColumn
from nasrec_automl.data.parts import Part
from nasrec_automl.report.data_content import RejectedReason
from nasrec_automl.report.data_tables import (
    dense_table,
    fields_table,
    memory,
    memory_table,
    part_error,
    parts_table,
    rejected_table,
    top_values,
    vocabulary_table,
)
from tests.report.data_contents import data_content, field

EVIL = "<script>alert(1)</script>"


def rows(html: str) -> list[list[str]]:
    """Texts of the cells of each row but the head."""
    body = html.partition("<tbody>")[2]
    return [
        [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
        for row in body.split("<tr>")[1:]
    ]


def test_parts_have_rows_rates_and_errors():
    content = data_content()
    assert part_error(content, Part.TEST) == pytest.approx((0.25 * 0.75 / 10_000) ** 0.5)
    assert rows(parts_table(content))[5] == ["test", "read once, at the end", "10,000", "10.0%", "25.000%", "0.433%"]


def test_a_row_is_one_observation_whatever_its_weight():
    content = data_content(weight=4.0)
    assert part_error(content, Part.TEST) == pytest.approx((0.25 * 0.75 / 10_000) ** 0.5)
    assert "40,000" in rows(parts_table(content))[5]


def test_unknown_values_by_part():
    unknown = {Part.TRAIN: {"site": 720}, Part.HEAD: {"site": 800}, Part.HPO: {"site": 2500}}
    line = rows(fields_table(data_content(unknown=unknown)))[0]
    assert line == ["site", "hash", "100", "1,000", "0", "1.0%", "10.0%", "25.0%"]


def test_multi_valued_and_compositional_tables_say_so():
    content = data_content(fields=(field(),))
    column = CategoricalColumn(name="site", kind="hash", table_size=101, compositional=10, max_values=3, pooling="sum")
    object.__setattr__(content, "preprocessing", content.preprocessing.model_copy(update={"categorical": (column,)}))
    line = rows(fields_table(content))[0]
    assert line[1] == "hash, compositional, sum of up to 3 values"
    assert line[2] == str(11 + 11)


def test_memory_at_each_count_and_cap():
    # 50,000 categories: 25,000 at least twice, 12,500 at least four times; each table has a row more.
    once, twice, *_ = rows(memory_table([field("a", 50_000), field("b", 50)]))
    assert once == ["1", "50,052", "1.29 MB", "6.41 MB", "6.41 MB", "6.41 MB"]
    assert twice == ["2", "25,027", "1.28 MB", "3.2 MB", "3.2 MB", "3.2 MB"]
    assert 128 * (50_001 + 51) == 6_406_656


def test_memory_rounds_to_less_than_a_thousand_of_its_unit():
    sizes = (999, 999_499, 999_500, 999_499_999, 999_500_000, 999_999_999, 999_600_000_000, 1_234_000_000_000)
    assert [memory(size) for size in sizes] == [
        "999 B",
        "999 kB",
        "1 MB",
        "999 MB",
        "1 GB",
        "1 GB",
        "1,000 GB",
        "1,234 GB",
    ]


def test_vocabularies_at_each_count():
    assert rows(vocabulary_table([field("a", 100)]))[0][:4] == ["a", "101", "51", "26"]


def test_top_values_have_bars_and_the_rest():
    html = top_values([field("a<b", 10, top=((EVIL, 0.5), ("b", 0.25)))])
    assert "alert" in html
    assert "<script" not in html
    assert "a&lt;b" in html
    assert [float(share) for share in re.findall(r"--share:([\d.]+)%", html)] == [100.0, 50.0]
    assert "8 others: 25.0%" in html
    assert "no others" in top_values([field(categories=2)])
    assert "no value at all" in top_values([field(categories=0, top=(), values=0)])


def test_dense_columns_and_their_transforms():
    columns = (DenseColumn(name="price", transform="standardise", mean=2.0, std=0.5, flag_missing=True),)
    assert rows(dense_table(data_content(columns=columns)))[0] == [
        "price",
        "standardise, (x - 2) / 0.5, and a column that says whether it is missing",
        "10.0%",
        "3.5",
        "0",
        "90",
    ]


def test_rejected_rows_are_escaped():
    rejected = (RejectedReason(reason=EVIL, rows=3, first="f, line 1", text=EVIL * 9),)
    html = rejected_table(data_content(rejected=rejected))
    assert "<script" not in html
    assert rows(html)[0][1:3] == ["3", "f, line 1"]


def test_weights_and_rates_that_are_small_are_not_0():
    content = data_content(weight=0.0000125, rates={Part.TEST: 0.000004})
    assert rows(parts_table(content))[5][2:] == ["10,000", "10.0%", "0.125", "0.0004%", "0.002%"]
