from pathlib import Path

import pytest

from nasrec_automl.data.readers.avazu import avazu
from nasrec_automl.errors import DataError
from tests.data.learned import fit
from tests.data.readers.rows import AVAZU, AVAZU_HEADER, read_all, write


def file(folder: Path) -> Path:
    later = [*AVAZU[:1], "0", "14102200", *AVAZU[3:]]
    return write(folder / "train.csv", [AVAZU_HEADER, ",".join(AVAZU), ",".join(later)])


def test_the_hour_gives_the_time_and_two_fields_and_the_id_is_none(tmp_path: Path) -> None:
    source = avazu([file(tmp_path)], protocol="default")
    read = read_all(source)
    assert (read.label, read.time) == ([1, 0], [1413932400.0, 1413936000.0])
    assert "id" not in read.table.column_names
    assert source.dense == {}
    assert len(source.categorical) == 23
    frame = read.table.to_pandas()
    made = fit(frame, dense={}, categorical=source.categorical, derived=source.derived)
    hours = next(column for column in made.categorical if column.name == "hour_of_day")
    assert made.derived[0].apply(frame["hour"]).tolist() == [23, 0]
    assert made.derived[1].apply(frame["hour"]).tolist() == [1, 2]  # 2014-10-21 was a Tuesday
    assert hours.kind == "vocabulary"


def test_the_published_protocol_has_id_and_hour_as_they_stand(tmp_path: Path) -> None:
    source = avazu([file(tmp_path)], protocol="published")
    assert source.name == "avazu-published"
    assert len(source.categorical) == 23
    rows = read_all(source).table
    assert source.categorical["id"].keys(rows["id"], "id").texts == ["18446744073709551615"]
    assert source.categorical["hour"].keys(rows["hour"], "hour").texts == ["14102123", "14102200"]


def test_another_protocol_or_a_file_without_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="default and published, but not 'mine'"):
        avazu([file(tmp_path)], protocol="mine")
    unlabelled = write(tmp_path / "test", [AVAZU_HEADER.replace("click,", ""), ",".join(AVAZU)])
    with pytest.raises(DataError, match="lacks the columns click"):
        read_all(avazu([unlabelled], protocol="default"))


def test_what_is_wrong_with_a_header_is_said_with_what_avazu_has(tmp_path: Path) -> None:
    headless = write(tmp_path / "train", [",".join(AVAZU)])
    with pytest.raises(DataError, match=r"expected a header that names the columns id, click, .*: add the header$"):
        read_all(avazu([headless], protocol="default"))
    further = write(tmp_path / "train.csv", [f"{AVAZU_HEADER},more", ",".join([*AVAZU, "1"])])
    with pytest.raises(DataError, match=r"the columns more are: leave them out$"):
        read_all(avazu([further], protocol="default"))
