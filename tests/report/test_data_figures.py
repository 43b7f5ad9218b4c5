import pytest

from nasrec_automl.data.parts import PARTS, Part
from nasrec_automl.report.data_figures import at_least, positive_rate_over_time, sizes_of_fields
from tests.report.data_contents import ROWS, field, period


def lines(figure):
    return {trace.name: trace for trace in figure.data if trace.type == "scatter"}


def test_every_part_has_a_line_of_rates_with_errors():
    figure = positive_rate_over_time([period()])
    assert list(lines(figure)) == list(PARTS)
    train = lines(figure)["train"]
    assert train.y[0] == pytest.approx(0.25)
    assert train.error_y.array[0] == pytest.approx((0.25 * 0.75 / 1440) ** 0.5)
    assert train.x[0].startswith("2023-11-14")
    assert len([y for y in train.y if y is not None]) == 50


def test_bins_are_joined_until_a_part_has_rows_enough():
    points = [y for y in lines(positive_rate_over_time([period()]))["hpo"].y if y is not None]
    assert len(points) == 5  # 50 rows a bin; 500 of ten


def test_rows_are_all_there_in_the_bars():
    bars = [trace for trace in positive_rate_over_time([period()]).data if trace.type == "bar"]
    assert {bar.name: sum(bar.y) for bar in bars} == dict(ROWS)
    assert bars[0].width[0] == pytest.approx(86_400_000 / 50)


def test_lines_break_between_periods():
    figure = positive_rate_over_time([period(), period(1.8e9, parts=(Part.TRAIN,))])
    train, test = lines(figure)["train"], lines(figure)["test"]
    assert [i for i, y in enumerate(train.y) if y is None] == [50, 101]
    assert len([y for y in test.y if y is not None]) == 25


def test_an_early_row_leaves_the_others_their_dates():
    figure = positive_rate_over_time([period(0.0), period(1.7e9)])
    assert str(lines(figure)["train"].x[0]).startswith("1970-01-01")
    beyond = positive_rate_over_time([period(-9.2e18), period(1.7e9)])
    assert lines(beyond)["train"].x[0] < 0, "no date at all"


@pytest.mark.parametrize("start", [0.0, 2024010100.0])
def test_times_that_are_no_seconds_stay_numbers(start):
    figure = positive_rate_over_time([period(start)])
    assert lines(figure)["train"].x[0] == pytest.approx(start + 864.0)
    assert figure.layout.xaxis2.title.text == "time"


def test_few_rows_have_no_line_and_no_time_is_a_note():
    few = period().model_copy(
        update={"rows": dict.fromkeys(PARTS, (1,) * 50), "positives": dict.fromkeys(PARTS, (0,) * 50)}
    )
    assert not lines(positive_rate_over_time([few]))
    assert not positive_rate_over_time([]).data


def test_sizes_are_those_of_the_largest_fields():
    fields = [field(f"f{i}", 10 + i) for i in range(70)]
    figure = sizes_of_fields(fields, range(70))
    assert figure.data[0].y[-1] == "f69"
    assert figure.data[0].x[-1] == 79
    assert figure.data[1].x[-1] == 39
    assert figure.data[2].x[-1] == 69
    assert len(figure.data[0].y) == 60


def test_counts_beyond_the_most_frequent_have_no_category():
    assert [at_least(field(categories=4), count) for count in (1, 2, 4, 8)] == [4, 2, 1, 0]
