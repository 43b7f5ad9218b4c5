from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from nasrec_automl.data.raw import Chunk
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.readers.table import table
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.table_schema import TableSchema
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


def test_rows_of_many_values_come_in_smaller_chunks(tmp_path: Path) -> None:
    rows = 20_000
    columns = {"label": pa.array([0, 1] * (rows // 2)), "price": pa.array(range(rows))}
    schema = TableSchema.model_validate(
        {"label": "label", "dense": {"price": {}}, "categorical": {"tags": {"max_values": 9}}}
    )

    def read(values: int) -> list[Chunk]:
        tags = pa.FixedSizeListArray.from_arrays(pa.array(range(rows * values)), values)
        path = tmp_path / f"{values}.parquet"
        parquet.write_table(pa.table(columns | {"tags": tags.cast(pa.list_(pa.int64()))}), path)
        return list(table([path], schema=schema).chunks(Rejections()))

    narrow, wide = read(2), read(300)
    assert [chunk.table.num_rows for chunk in narrow] == [rows]
    assert all(chunk.table["tags"].nbytes < 2 * 2**23 for chunk in wide)
    assert [price for chunk in wide for price in chunk.table["price"].to_pylist()] == list(range(rows))
    assert [row for chunk in wide for row in chunk.row] == list(range(rows))


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
