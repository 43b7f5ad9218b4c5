import pytest
import torch
from torch import nn

from nasrec_automl.ops.slices import (
    dense_gradients,
    drop_slice_gradient,
    keep_slice_gradients,
    leading,
    only_gradient,
    slice_gradient,
    used_slice,
)


def loss(weight: nn.Parameter, *sizes: int) -> torch.Tensor:
    cut = used_slice(weight, *sizes)
    return (cut * torch.arange(cut.numel(), dtype=torch.float64).view(cut.shape)).sum()


def make() -> nn.Parameter:
    return nn.Parameter(torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


def test_a_slice_is_a_view_of_the_weight() -> None:
    weight = make()
    with torch.no_grad():
        used_slice(weight, 2, 3).fill_(7)
    assert (weight[:2, :3] == 7).all()
    assert (weight == 7).sum() == 6
    assert used_slice(weight, 4, 5) is weight


def test_without_an_optimiser_that_asks_gradients_are_autograds() -> None:
    weight = make()
    loss(weight, 2, 3).backward()
    assert slice_gradient(weight) is None
    assert weight.grad is not None
    assert weight.grad.shape == weight.shape


@pytest.mark.parametrize("sizes", [[(2, 3)], [(2, 3), (2, 3)], [(2, 3), (3, 2)], [(1, 5), (4, 1), (2, 2)]])
def test_the_kept_gradient_is_the_leading_part_of_autograds(sizes: list[tuple[int, int]]) -> None:
    weight, plain = make(), make()
    keep_slice_gradients([weight])
    for size in sizes:
        loss(weight, *size).backward()
        loss(plain, *size).backward()
    gradient = slice_gradient(weight)
    assert weight.grad is None
    assert gradient is not None
    assert plain.grad is not None
    assert gradient.shape == (max(rows for rows, _ in sizes), max(columns for _, columns in sizes))
    filled = torch.zeros_like(weight)
    leading(filled, gradient.shape).copy_(gradient)
    assert torch.equal(filled, plain.grad)
    drop_slice_gradient(weight)
    assert slice_gradient(weight) is None


def test_the_whole_weight_and_a_slice_of_it_add_up_across_grad_and_slice_gradient() -> None:
    weight, plain = make(), make()
    keep_slice_gradients([weight])
    for w in (weight, plain):
        (loss(w, 4, 5) + loss(w, 2, 3)).backward()
    gradient = slice_gradient(weight)
    assert gradient is not None
    assert weight.grad is not None
    leading(weight.grad, gradient.shape).add_(gradient)
    assert torch.equal(weight.grad, plain.grad)


def test_of_the_whole_weight_and_a_slice_there_is_one_gradient() -> None:
    weight, plain, unused = make(), make(), make()
    keep_slice_gradients([weight])
    assert only_gradient(weight) is None
    loss(weight, 2, 3).backward()
    assert only_gradient(weight) is slice_gradient(weight)
    loss(plain, 2, 3).backward()
    for w in (weight, plain):
        loss(w, 4, 5).backward()
    for _ in range(2):
        (gradient,) = dense_gradients([weight, unused])
        assert gradient is weight.grad
        assert torch.equal(gradient, plain.grad)
    assert slice_gradient(weight) is None


def test_biases_that_share_a_gradient_keep_their_own() -> None:
    first, second = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3))
    keep_slice_gradients([first, second])
    (used_slice(first, 2) + used_slice(second, 2)).sum().backward()  # as in a batch of one row
    one, other = slice_gradient(first), slice_gradient(second)
    assert one is not None
    assert other is not None
    one.mul_(3)
    assert torch.equal(other, torch.ones(2))
