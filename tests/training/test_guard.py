import numpy as np
import pytest
import torch
from torch import nn

from nasrec_automl.errors import DataError, DivergedError
from nasrec_automl.network import Subnet
from nasrec_automl.testing.examples import make_rows, tiny_schema, tiny_space
from nasrec_automl.training.guard import check_batch, check_weights
from tests.benchmarks.memory import growth

MODEL = nn.Sequential(Subnet(tiny_space().random(np.random.default_rng(0)), tiny_schema()))
BATCH = make_rows(tiny_schema(), 8).batch(slice(0, 8))


def test_good_batches_pass_with_and_without_weights() -> None:
    check_batch(MODEL, BATCH)
    check_batch(MODEL, [*BATCH, torch.ones(8)])


def test_the_schema_is_that_of_the_network_inside() -> None:
    dense, ids, label = BATCH
    with pytest.raises(DataError, match="field 'field1': row 0 holds 7"):
        check_batch(MODEL, (dense, ids.index_fill(1, torch.tensor(0), 7), label))
    check_batch(nn.Linear(1, 1), (dense, ids + 1000, label))  # nothing is known of its tables
    with pytest.raises(DataError, match="label: row 0"):
        check_batch(nn.Linear(1, 1), (dense, ids, label + 2))


def test_weights_are_the_fourth_part() -> None:
    with pytest.raises(DataError, match="weight: row 0 holds -1"):
        check_batch(MODEL, (*BATCH, -torch.ones(8)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"dense": 1}, r"must be a tuple of tensors \(dense, ids, label\[, weight\]\), but is a dict"),
        ((*BATCH[:2], [1, 0]), "but is one of Tensor, Tensor, list"),
        (BATCH[:2], "but holds 2 tensors"),
        ((*BATCH, *BATCH[:2]), "but holds 5 tensors"),
    ],
)
def test_what_is_no_batch_is_said(batch: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_batch(MODEL, batch)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    state = {"a": torch.ones(2), "steps": torch.ones(1, dtype=torch.long), "b": torch.tensor([1.0, value])}
    with pytest.raises(DivergedError, match="the weights b are no longer finite"):
        check_weights(state)
    check_weights({"a": torch.ones(2), "steps": torch.ones(1, dtype=torch.long)})


def test_looking_at_weights_copies_none() -> None:
    table = torch.ones(1 << 18)
    assert growth(lambda: check_weights({"table": table})) < table.nbytes / 8
