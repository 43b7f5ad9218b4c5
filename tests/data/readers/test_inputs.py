import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from nasrec_automl.data.readers import inputs
from nasrec_automl.data.readers.inputs import find_files, read_blocks
from nasrec_automl.errors import DataError

TEXT = "".join(f"line {i}\n" for i in range(300_000)).encode()


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"x\n")


def test_a_folder_gives_the_sources_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "day_10.gz", "day_2", "day_1.zst", "readme.txt", "day_x")
    found = find_files([tmp_path], ["day_[0-9]*"], "days")
    assert [path.name for path in found] == ["day_1.zst", "day_2", "day_10.gz"]
    assert find_files([tmp_path / "day_1*"], ["-"], "days") == (tmp_path / "day_1.zst", tmp_path / "day_10.gz")
    assert find_files([tmp_path / "readme.txt"], ["-"], "days") == (tmp_path / "readme.txt",)


def test_equal_numbers_have_an_order_too(tmp_path: Path) -> None:
    touch(tmp_path, "day_01", "day_1", "day_001")
    for path in (tmp_path, tmp_path / "day_*"):
        assert [path.name for path in find_files([path], ["day_*"], "days")] == ["day_001", "day_01", "day_1"]


def test_two_stars_stand_for_folders_of_any_depth(tmp_path: Path) -> None:
    for folder in ("day=2/hour=1", "day=10", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    touch(tmp_path, "a.csv", "b.txt", "day=2/c.csv", "day=2/hour=1/d.csv", "day=10/e.csv", ".hidden/f.csv")
    expected = [tmp_path / name for name in ("a.csv", "day=2/c.csv", "day=2/hour=1/d.csv", "day=10/e.csv")]
    for pattern in ("**/*.csv", "**/**/*.csv"):
        assert list(find_files([tmp_path / pattern], ["-"], "tables")) == expected


def test_bad_rows_of_an_earlier_reading_are_read_by_name_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.tsv", "prepared.rejected.tsv", "rejected.tsv", "rejected.tsv.gz", "not_rejected.tsv")
    expected = (tmp_path / "a.tsv", tmp_path / "not_rejected.tsv")
    assert find_files([tmp_path], ["*.tsv"], "tables") == expected
    assert find_files([tmp_path / "*.tsv*"], ["-"], "tables") == expected
    assert find_files([tmp_path / "rejected.tsv"], ["-"], "tables") == (tmp_path / "rejected.tsv",)


def test_hidden_files_are_read_by_name_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", "._a.csv", ".b.csv.gz")
    for pattern in (tmp_path, tmp_path / "*.csv*", tmp_path / "*a.csv"):
        assert find_files([pattern], ["*.csv"], "tables") == (tmp_path / "a.csv",)
    with pytest.raises(DataError, match="there is none"):
        find_files([tmp_path / ".*.csv"], ["-"], "tables")
    assert find_files([tmp_path / "._a.csv"], ["-"], "tables") == (tmp_path / "._a.csv",)


def test_the_case_of_an_ending_does_not_matter_in_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "part1.csv", "PART2.CSV", "part3.Csv.GZ", "part4.doc")
    found = find_files([tmp_path], ["*.csv"], "tables")
    assert sorted(path.name for path in found) == ["PART2.CSV", "part1.csv", "part3.Csv.GZ"]


def test_what_is_not_there_or_there_twice_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "day_1", "day_1.gz")
    for paths, naming in (
        ([], "at least one"),
        ([tmp_path / "no"], "no: expected days as a file"),
        ([tmp_path / "no*"], r"no\*: expected"),
        ([tmp_path], r"day_1 and .*day_1\.gz: look like one table, whose rows would count twice"),
    ):
        with pytest.raises(DataError, match=naming):
            find_files(paths, ["day_*"], "days")
    with pytest.raises(DataError, match=r"folder with a or b"):
        find_files([tmp_path], ["a", "b"], "days")


@pytest.mark.parametrize(
    ("one", "other"), [("clicks.csv", "clicks.parquet"), ("train.gz", "train.csv"), ("a.TSV", "a.txt.zst")]
)
def test_one_table_in_two_forms_is_not_read_twice(one: str, other: str, tmp_path: Path) -> None:
    touch(tmp_path, one, other)
    with pytest.raises(DataError, match="look like one table, whose rows would count twice"):
        find_files([tmp_path], ["*"], "tables")
    with pytest.raises(DataError, match="would count twice"):
        find_files([tmp_path / one] * 2, ["*"], "tables")
    (tmp_path / "b").mkdir()
    touch(tmp_path / "b", "x.csv", "x.csv.csv", "x.data", "y.parquet")
    assert len(find_files([tmp_path / "b"], ["*"], "tables")) == 4


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_blocks_are_whole_lines_with_their_numbers(
    ending: str, pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_BLOCK", 1 << 20)
    path = tmp_path / f"file.txt{ending}"
    path.write_bytes(pack(b"\xef\xbb\xbf" + TEXT + b"last"))
    blocks = list(read_blocks(path))
    assert b"".join(block.content for block in blocks) == TEXT + b"last"
    assert len(blocks) > 3
    for block in blocks:
        assert block.content.partition(b"\n")[0] == b"line %d" % (block.first_line - 1) or block.content == b"last"


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]
)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_compressed_file_that_is_cut_off(
    ending: str, pack: Callable[[bytes], bytes], share: float, tmp_path: Path
) -> None:
    packed = pack(TEXT)
    path = tmp_path / f"file.txt{ending}"
    path.write_bytes(packed[: int(len(packed) * share)])
    with pytest.raises(DataError, match=r"file.txt.*(cut off|empty)") as refused:
        list(read_blocks(path))
    assert "line 0" not in str(refused.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(DataError, match="empty"):
        list(read_blocks(empty))
    wrong = tmp_path / "text.gz"
    wrong.write_bytes(b"label\n")
    with pytest.raises(DataError, match="damaged"):
        list(read_blocks(wrong))
    long = tmp_path / "long.txt"
    long.write_bytes(b"x" * (1 << 25))
    with pytest.raises(DataError, match="line 1: longer than"):
        list(read_blocks(long))
    with pytest.raises(DataError, match="cannot be opened"):
        list(read_blocks(tmp_path / "none"))
