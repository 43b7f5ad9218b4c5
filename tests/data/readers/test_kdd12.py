from pathlib import Path

import pytest

from nasrec_automl.data.readers.kdd12 import kdd12
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError
from tests.data.readers.rows import KDD12, PROFILE, read_all, write

# click, impression, user
ROWS = [("0", "1", "42"), ("2", "5", "7"), ("3", "3", "8"), ("0", "2", "")]


def folder(path: Path, rows: list[tuple[str, str, str]] = ROWS, profile: str = PROFILE) -> Path:
    lines = ["\t".join([click, shown, *KDD12[2:-1], user]) for click, shown, user in rows]
    write(path / "training.txt", lines)
    (path / "userid_profile.txt").write_text(profile)
    return path


def test_published_has_an_example_a_row_and_impressions_as_a_feature(tmp_path: Path) -> None:
    source = kdd12([folder(tmp_path)], protocol="published")
    read = read_all(source)
    assert (read.label, read.weight, read.row) == ([0, 1, 1, 0], None, [0, 1, 2, 3])
    assert list(source.dense) == ["impression", "depth", "position"]
    assert len(source.categorical) == 10
    assert read.table["impression"].to_pylist() == [1, 5, 3, 2]
    assert read.table["gender"].to_pylist() == [1, 2, None, None]
    assert read.table["age"].to_pylist() == [5, 3, None, None]
    assert read.table["display_url"].to_pylist() == [2**64 - 1] * 4
    assert read.rejections.read == 4, "lines of the profile are no rows"


def test_who_is_missing_is_not_user_0(tmp_path: Path) -> None:
    rows = [("0", "1", ""), ("1", "1", "0"), ("0", "1", "42"), ("0", "1", "")]
    read = read_all(kdd12([folder(tmp_path, rows, PROFILE + "0\t2\t6\n")], protocol="published"))
    assert read.table["gender"].to_pylist() == [None, 2, 1, None]
    assert read.table["age"].to_pylist() == [None, 6, 5, None]


def test_expanded_has_both_outcomes_weighed_by_impressions(tmp_path: Path) -> None:
    source = kdd12([folder(tmp_path)], protocol="expanded")
    read = read_all(source)
    assert list(source.dense) == ["depth", "position"]
    assert "impression" not in read.table.column_names
    assert (read.label, read.weight) == ([0, 1, 0, 1, 0], [1.0, 2.0, 3.0, 3.0, 2.0])
    assert read.row == [0, 1, 1, 2, 3], "examples of one row share it"
    assert read.table["gender"].to_pylist() == [1, 2, 2, None, None]


def test_ids_of_64_bits_and_missing_ones_stay_exact(tmp_path: Path) -> None:
    source = kdd12([folder(tmp_path)], protocol="expanded")
    rows = read_all(source).table
    assert rows["display_url"].to_pylist() == [2**64 - 1] * 5
    assert rows["user_id"].to_pylist() == [42, 7, 7, 8, None]
    url, user = (source.categorical[name].keys(rows[name], name) for name in ("display_url", "user_id"))
    assert url.texts == ["18446744073709551615"]
    assert (user.keys[:, 0] == 0).tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("click", "impression", "reason"),
    [
        ("3", "2", "more clicks than impressions"),
        ("0", "0", "no impression"),
        ("-1", "2", "click: a number outside 0 to 2147483648"),
    ],
)
@pytest.mark.parametrize("protocol", ["published", "expanded"])
def test_counts_that_cannot_be_are_bad_rows(
    click: str, impression: str, reason: str, protocol: str, tmp_path: Path
) -> None:
    rows = [*ROWS[:2], (click, impression, "1"), *ROWS[2:]]
    read = read_all(kdd12([folder(tmp_path, rows)], protocol=protocol))
    assert dict(read.rejections.reasons) == {reason: 1}
    assert sorted(set(read.row)) == [0, 1, 2, 3]


def test_the_profile_need_not_be_sorted_but_each_user_is_there_once(tmp_path: Path) -> None:
    assert PROFILE.split() != sorted(PROFILE.split())
    with pytest.raises(DataError, match=r"userid_profile.txt: user 42 has several lines"):
        read_all(kdd12([folder(tmp_path, profile=PROFILE + "42\t1\t5\n")], protocol="published"))
    (tmp_path / "userid_profile.txt").unlink()
    with pytest.raises(DataError, match=r"userid_profile.txt: no such file"):
        kdd12([tmp_path], protocol="published")


def test_lines_of_the_profile_have_a_limit_of_their_own(tmp_path: Path) -> None:
    kept = tmp_path / "rejected.tsv"
    source = kdd12([folder(tmp_path, profile=PROFILE + "x\t1\t5\n")], protocol="published")
    rejections = Rejections(0.5, kept)
    list(source.chunks(rejections))
    assert (rejections.read, rejections.rejected) == (4, 0)
    assert "userid_profile.txt\t3\tuser_id" in (tmp_path / "userid_profile.txt.rejected.tsv").read_text()
    assert not kept.exists(), "it holds as many rows as were left out"
    assert "1 of 3 rows rejected" in rejections.summary()
    assert rejections.notes()["rows_read"] == 4
    rejections = Rejections(0.2)  # of all seven lines, one is fewer
    with pytest.raises(DataError, match=r"1 of the 3 rows read are bad.*userid_profile.txt, line 3"):
        list(source.chunks(rejections))
    many = "".join(f"{user}\t1\t5\n" for user in range(100, 200))
    source = kdd12([folder(tmp_path, [*ROWS, ("1", "0", "1")], PROFILE + many)], protocol="published")
    with pytest.raises(DataError, match="1 of the 5 rows read are bad"):
        list(source.chunks(Rejections(0.1)))


def test_an_unknown_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="published and expanded, but not 'best'"):
        kdd12([folder(tmp_path)], protocol="best")
