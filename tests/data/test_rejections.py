from pathlib import Path

import pyarrow as pa
import pytest

from nasrec_automl.data.rejections import Rejected, Rejections, WrongValueError
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError

FILE = Path("train.txt")


def test_rows_are_kept_aside_with_file_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rejected.tsv"
    rejections = Rejections(0.5, path)
    rejections.add(FILE, 3, [Rejected(2, "no label", "\t1\t" + "x" * 300)])
    rejections.add(FILE, 5, [])
    assert (rejections.read, rejections.rejected, rejections.accepted) == (8, 1, 7)
    assert path.read_text().splitlines() == [
        "file\tline\treason\ttext",
        "train.txt\t2\tno label\t\\t1\\t" + "x" * 197,
    ]
    rejections.finish()
    later = Rejections(0.5, path)
    assert path.exists(), "nothing is lost before a row is read"
    later.add(FILE, 2, [])
    assert not path.exists(), "a new reading starts with nothing"
    later.add(FILE, 2, [Rejected(1, "bad", "")])
    later.add(FILE, 2, [Rejected(3, "bad", "")])
    assert len(path.read_text().splitlines()) == 3


def test_rows_in_memory_begin_a_reading_too(tmp_path: Path) -> None:
    path = tmp_path / "rejected.tsv"
    path.write_text("earlier")
    chunks = make_synthetic(100, seed=0).chunks(Rejections(0.5, path))
    assert path.exists()
    next(chunks)
    assert not path.exists()


def test_an_earlier_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"rejected\.tsv: bad rows cannot be written there"):
        Rejections(0.5, tmp_path / "file" / "rejected.tsv").begin()


def test_too_many_name_the_most_frequent_reason_and_its_first_line() -> None:
    rejections = Rejections(0.1)
    rejections.add(FILE, 10, [Rejected(1, "rare", "a"), Rejected(4, "often", "b"), Rejected(5, "often", "c")])
    with pytest.raises(DataError, match=r"3 of the 10 rows.*\(2\): often; the first is train.txt, line 4: 'b'"):
        rejections.finish()


def test_exactly_as_many_as_allowed_are_no_error() -> None:
    rejections = Rejections(0.1)
    rejections.add(FILE, 10, [Rejected(1, "bad", "")])
    rejections.finish()


def test_files_of_another_format_are_given_up_early() -> None:
    rejections = Rejections(0.001)
    half = [Rejected(line, "bad", "") for line in range(5000)]
    rejections.add(FILE, 10_000, half)
    with pytest.raises(DataError, match="bad"):
        rejections.add(FILE, 1, [Rejected(10_001, "bad", "")])


def test_one_file_of_another_format_is_given_up_early_however_many_good_rows_came_before() -> None:
    rejections = Rejections(0.1)
    rejections.add(Path("day_1"), 1_000_000, [])
    bad = [Rejected(line, "13 fields", "") for line in range(5000)]
    rejections.add(Path("day_2"), 5000, bad)
    with pytest.raises(
        DataError, match=r"day_2: 10,000 of its first 10,000 rows are bad, .* leave it out\. .*13 fields"
    ):
        rejections.add(Path("day_2"), 5000, bad)
    others = Rejections(0.1)
    for day in range(4):  # each of these is too short to tell
        others.add(Path(f"day_{day}"), 5000, bad if day % 2 else [])


def test_no_rows_at_all() -> None:
    with pytest.raises(DataError, match="no rows"):
        Rejections().finish()


def test_all_rows_bad_where_all_may_be_is_not_said_to_be_no_rows() -> None:
    rejections = Rejections(1.0)
    rejections.add(FILE, 2, [Rejected(line, "no number", "x") for line in (1, 2)])
    with pytest.raises(DataError, match=r"^all of the 2 rows read are bad\. Most frequent \(2\): no number; "):
        rejections.finish()


def test_constant_columns_are_found_over_all_chunks() -> None:
    rejections = Rejections()
    rejections.add(FILE, 4, [])
    for b, d in ((1, None), (2, 7)):
        rejections.look_at(
            pa.table({"a": ["x", "x"], "b": [1, b], "c": pa.array([None, None], pa.int64()), "d": [7, d]})
        )
    rejections.look_at(pa.table({"a": pa.array([], pa.string())}))
    assert rejections.constant_columns == ("a", "c")
    assert rejections.notes() == {"rows_read": 4, "rows_rejected": 0, "constant_columns": "a, c"}
    assert rejections.summary() == "Always the same, so of no use: a, c"


def test_the_summary_counts_by_reason() -> None:
    rejections = Rejections(1.0)
    rejections.add(FILE, 9, [Rejected(3, "bad", "x")])
    assert rejections.summary() == "1 of 9 rows rejected:\n  1 x bad; first: train.txt, line 3: 'x'"
    assert Rejections().summary() == ""


def test_a_wrong_value_is_shown_before_its_row() -> None:
    rejections = Rejections(0.1)
    wrong = Rejected.of(4, WrongValueError("y: no label", "click"), "a,click")
    plain = Rejected.of(5, ValueError("3 fields instead of 2"), "a,b,c")
    rejections.add(FILE, 9, [wrong, plain])
    with pytest.raises(DataError, match=r"y: no label; the first is train.txt, line 4: 'click' in 'a,click'"):
        rejections.finish()
    assert "3 fields instead of 2; first: train.txt, line 5: 'a,b,c'" in rejections.summary()
    assert Rejected.of(1, WrongValueError("not 8 hex digits", "x" * 99), "y").shown == f"'{'x' * 40}' in 'y'"


@pytest.mark.parametrize(("path", "start"), [(None, "Correct"), (Path("rejected.tsv"), "All are in .*tsv: correct")])
def test_the_limit_is_no_advice_where_every_row_is_bad(
    path: Path | None, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rejections = Rejections(0.1, path)
    rejections.add(FILE, 1, [Rejected(4, "bad", "x")])
    with pytest.raises(
        DataError, match=rf"\. {start} the files, or the schema that says what their columns are .source `table`.$"
    ):
        rejections.finish()
    rejections.add(FILE, 1, [])
    with pytest.raises(DataError, match=rf"\. {start} the files, or raise max_rejected$"):
        rejections.finish()
