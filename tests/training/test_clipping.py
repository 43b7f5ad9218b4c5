import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.ops.linear import ElasticLinear
from nasrec_automl.ops.slices import keep_slice_gradients, slice_gradient, used_slice
from nasrec_automl.training.clipping import clip_gradients


def make(*, sparse: bool, scale: float) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    table, weight, unused = (nn.Parameter(torch.randn(7, 3, generator=generator)) for _ in range(3))
    ids = torch.tensor([1, 5, 1, 1, 0, 5])  # rows come several times: their parts add up before the norm
    signs = torch.randn(6, 3, generator=generator)
    loss = (F.embedding(ids, table, sparse=sparse) * signs).sum() + weight.square().sum()
    (loss * scale).backward()
    return [table, weight, unused]


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_it_is_torchs_clipping_of_the_dense_gradients(scale: float) -> None:
    mine, theirs = make(sparse=True, scale=scale), make(sparse=False, scale=scale)
    norm = clip_gradients(mine, 5.0)
    expected = nn.utils.clip_grad_norm_(theirs, 5.0)
    torch.testing.assert_close(norm, expected)
    assert mine[0].grad.is_sparse
    torch.testing.assert_close(mine[0].grad.to_dense(), theirs[0].grad)
    torch.testing.assert_close(mine[1].grad, theirs[1].grad)
    assert mine[2].grad is None
    after = torch.cat([mine[0].grad.to_dense().flatten(), mine[1].grad.flatten()]).norm()
    assert after <= 5.0 + 1e-4
    assert (norm > 5.0) == (scale > 0.1)


def test_small_gradients_are_left_as_they_are() -> None:
    mine, theirs = make(sparse=True, scale=0.01), make(sparse=False, scale=0.01)
    clip_gradients(mine, 5.0)
    assert torch.equal(mine[1].grad, theirs[1].grad)


def test_without_a_gradient_nothing_happens() -> None:
    assert clip_gradients([nn.Parameter(torch.ones(2))], 5.0) == 0
    assert clip_gradients([], 5.0) == 0


def test_parameters_may_come_from_a_generator() -> None:
    module = nn.Linear(3, 2)
    module(torch.ones(1, 3)).sum().mul(100).backward()
    clip_gradients(module.parameters(), 1.0)
    norm = torch.cat([p.grad.flatten() for p in module.parameters()]).norm()
    assert norm.item() == pytest.approx(1.0, rel=1e-4)


def test_slices_of_shared_weights_count() -> None:
    weight, plain = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    keep_slice_gradients([weight])
    for parameter in (weight, plain):
        used_slice(parameter, 2, 3).mul(7).sum().backward()
    expected = nn.utils.clip_grad_norm_([plain], 5.0)
    torch.testing.assert_close(clip_gradients([weight], 5.0), expected)
    torch.testing.assert_close(slice_gradient(weight), plain.grad[:2, :3])


def test_a_weight_used_whole_and_in_part_counts_once() -> None:
    mine, plain = ElasticLinear(3, 4, bias=True), ElasticLinear(3, 4, bias=True)
    plain.load_state_dict(mine.state_dict())
    keep_slice_gradients(mine.parameters())
    for layer in (mine, plain):
        sum(layer(torch.ones(2, 3), width).sum() for width in (4, 2)).backward()
    expected = nn.utils.clip_grad_norm_(plain.parameters(), 5.0)
    assert expected > 5.0
    torch.testing.assert_close(clip_gradients(mine.parameters(), 5.0), expected)
    for parameter, other in zip(mine.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad)
        assert slice_gradient(parameter) is None
