"""A group of rows alone; `test_narrow_layer.py` has all of them, by threads."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.narrow_backward import backward
from nasrec_automl.ops.narrow_kernels import Layer, forward

ROWS, E, N, HEADS, TOGETHER = 8, 16, 5, 8, 3
HEAD, TILE = (0,) * (E // HEADS), (0, 0, 0, 0)


def draw(*sizes: int, seed: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def layer() -> Layer:
    sizes = [(3 * E, E), (3 * E, 1), (E, E), (E, 1), (E, 1), (E, 1), (E, E), (E, 1), (E, E), (E, 1), (E, 1), (E, 1)]
    return Layer(*((draw(*size, seed=seed) / E**0.5).numpy() for seed, size in enumerate(sizes)))


def torchs(x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The layer in torch's own operations."""
    flat = (p if p.shape[1] > 1 else p[:, 0] for p in parameters)
    qkv, qkv_bias, out, out_bias, weight, bias, feed_in, in_bias, feed_out, feed_bias, fed_weight, fed_bias = flat
    tokens = x.transpose(1, 2)
    heads = F.linear(tokens, qkv, qkv_bias).view(len(x), N, 3, HEADS, E // HEADS).permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(len(x), N, E)
    y = F.layer_norm(tokens + F.linear(attended, out, out_bias), (E,), weight, bias)
    z = y + F.linear(F.relu(F.linear(y, feed_in, in_bias)), feed_out, feed_bias)
    return F.layer_norm(z, (E,), fed_weight, fed_bias).transpose(1, 2)


@pytest.mark.parametrize(("group", "rows"), [(0, slice(0, 3)), (1, slice(3, 6)), (2, slice(6, 8))])
def test_a_group_has_the_gradients_of_its_own_rows(group: int, rows: slice) -> None:
    x, gradient, parameters = draw(ROWS, E, N, seed=20), draw(ROWS, E, N, seed=21), layer()
    kept = [np.empty((ROWS, size, N), np.float32) for size in (E, HEADS, HEADS)]
    forward(0, 3, HEAD, TILE, TOGETHER, parameters, x.numpy(), np.empty((ROWS, E, N), np.float32), *kept)
    transposed = Layer(*(np.ascontiguousarray(p.T) if p.shape[1] > 1 else np.zeros_like(p) for p in parameters))
    of_x = np.full((ROWS, E, N), 7, np.float32)
    of_layer = Layer(*(np.full((3, *p.shape), 7, np.float32) for p in parameters))
    arrays = [x.numpy(), *kept, gradient.numpy(), of_x]
    backward(group, group + 1, HEAD, TILE, TOGETHER, parameters, transposed, *arrays, of_layer)

    mine = x[rows].double().requires_grad_()
    wide = [torch.from_numpy(p).double().requires_grad_() for p in parameters]
    expected = torch.autograd.grad(torchs(mine, wide), [mine, *wide], gradient[rows].double())
    torch.testing.assert_close(torch.from_numpy(of_x[rows]).double(), expected[0], rtol=1e-4, atol=1e-5)
    for name, found, theirs in zip(Layer._fields, of_layer, expected[1:], strict=True):
        message = f"the gradient of {name}"
        np.testing.assert_allclose(found[group], theirs, rtol=1e-3, atol=1e-4, err_msg=message)
        assert (np.delete(found, group, 0) == 7).all(), message
    assert (np.delete(of_x, range(ROWS)[rows], 0) == 7).all()
