"""One process alone; `test_ranks.py` has two."""

import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.training.reduction import average_gradients, batch_mean, processes


def test_alone_the_mean_is_over_rows_each_by_its_weight() -> None:
    assert processes() == 1
    losses, weight = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 0.0, 3.0])
    assert batch_mean(losses, None) == 3
    assert batch_mean(losses, weight) == 19 / 3


def test_a_batch_of_weight_0_has_no_loss_and_no_gradient() -> None:
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = batch_mean(losses, torch.zeros(2))
    loss.backward()
    assert loss == 0
    assert losses.grad is not None
    assert losses.grad.tolist() == [0, 0]


def test_alone_gradients_stay_as_they_are() -> None:
    weight, table = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3, 2))
    (weight.sum() + F.embedding(torch.tensor([1, 1]), table, sparse=True).sum()).backward()
    before = weight.grad.clone(), table.grad.clone().to_dense()
    average_gradients([weight, table, nn.Parameter(torch.ones(1))])
    assert torch.equal(weight.grad, before[0])
    assert torch.equal(table.grad.to_dense(), before[1])
