import gzip
from pathlib import Path

import pytest

from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.errors import DataError
from tests.data.readers.rows import CRITEO, criteo_lines, read_all, write


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    read = read_all(criteo([write(tmp_path / "train.txt", ["\t".join(CRITEO), "\t".join(["1", *CRITEO[1:]])])]))
    assert read.label == [0, 1]
    assert read.table.column_names == [*(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    row = read.table.to_pylist()[0]
    assert (row["I1"], row["I2"], row["I3"]) == (1, -2, None)
    assert (row["C1"], row["C26"]) == ("0a1b2c3d", None)


def test_days_are_read_in_order_and_again_alike(tmp_path: Path) -> None:
    lines = criteo_lines(300)
    write(tmp_path / "day_2", lines[100:200])
    write(tmp_path / "day_10", lines[200:])
    (tmp_path / "day_0.gz").write_bytes(gzip.compress("".join(f"{line}\n" for line in lines[:100]).encode()))
    source = criteo([tmp_path])
    first, second = read_all(source), read_all(source)
    assert first.label == [int(line[0]) for line in lines]
    assert first.row == list(range(300))
    assert first.table == second.table


def test_a_file_of_the_test_set_says_what_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "test.txt", [line.partition("\t")[2] for line in criteo_lines(20)])
    with pytest.raises(DataError, match=r"20 of the 20 rows.*39 fields instead of 40.*test.txt, line 1"):
        read_all(criteo([path]), limit=0.001)
