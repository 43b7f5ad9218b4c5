from pathlib import Path

import pytest

from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.errors import DataError
from tests.data.readers.rows import criteo_lines, write


def test_chunks_are_bounded_and_rows_count_on(tmp_path: Path) -> None:
    line = "\t".join(["1", *[""] * 39])
    path = write(tmp_path / "train.txt", [line] * 400_000)
    chunks = list(criteo([path]).chunks(Rejections()))
    assert len(chunks) > 1
    assert all(chunk.table.num_rows <= 200_000 for chunk in chunks)
    rows = [row for chunk in chunks for row in (chunk.row[0], chunk.row[-1] + 1)]
    assert rows[0] == 0
    assert rows[1:-1:2] == rows[2::2]
    assert rows[-1] == 400_000


def test_the_account_is_closed_after_the_last_chunk(tmp_path: Path) -> None:
    source = criteo([write(tmp_path / "train.txt", [*criteo_lines(50), "bad"])])
    rejections = Rejections()
    chunks = source.chunks(rejections)
    assert next(chunks).table.num_rows == 50
    with pytest.raises(DataError, match="1 of the 51 rows"):
        next(chunks)
    rejections = Rejections(0.1)
    assert len(list(source.chunks(rejections))) == 1
    assert (rejections.read, rejections.accepted, rejections.rejected) == (51, 50, 1)
    assert "I1" not in rejections.constant_columns
