import numpy as np
import pytest
import torch

from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError


def make(n: int) -> Rows:
    return Rows(
        dense=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        ids=np.arange(3 * n, dtype=np.uint16).reshape(n, 3),
        label=(np.arange(n) % 2).astype(np.uint8),
    )


@pytest.mark.parametrize("index", [slice(1, 4), [1, 2, 3], np.array([1, 2, 3])])
def test_a_batch_is_tensors_of_the_types_a_network_reads(index: slice | list[int]) -> None:
    dense, ids, label = make(5).batch(index)
    assert (dense.dtype, ids.dtype, label.dtype) == (torch.float32, torch.int64, torch.float32)
    assert dense.tolist() == [[2, 3], [4, 5], [6, 7]]
    assert ids.tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert label.tolist() == [1, 0, 1]


def test_writing_into_a_batch_leaves_the_rows() -> None:
    rows = make(5)
    for index in (slice(0, 2), [0, 1]):
        rows.batch(index)[0].zero_()
    assert rows.dense[1].tolist() == [2, 3]


def test_concatenate_keeps_order_and_a_single_part() -> None:
    first, second = make(2), make(3)
    joined = Rows.concatenate([second, first])
    assert len(joined) == 5
    assert joined.dense[3:].tolist() == first.dense.tolist()
    assert Rows.concatenate([first]) is first


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="have 5, 4 and 5"):
        Rows(make(5).dense, make(4).ids, make(5).label)
