"""Each loop alone, against torch; `test_narrow_layer.py` has them together."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from nasrec_automl.ops.narrow_kernels import attend, multiply, normalise, read, write

Array = NDArray[np.float32]
T, WIDTH = 48, 32  # columns of an array, and those that a group of rows fills


def draw(*sizes: int, scale: float = 1.0, seed: int = 0) -> Array:
    return (scale * np.random.default_rng(seed).normal(size=sizes)).astype(np.float32)


def empty(rows: int) -> Array:
    """Sevens: what is left alone can be told from what is written."""
    return np.full((rows, T), 7, np.float32)


def test_rows_lie_side_by_side_padded_with_zeros() -> None:
    rows, out, back = draw(4, 3, 5), empty(3), np.zeros((4, 3, 5), np.float32)
    read(rows, 1, 2, 16, out)
    for r in range(2):
        assert np.array_equal(out[:, 16 * r : 16 * r + 5], rows[1 + r])
        assert not out[:, 16 * r + 5 : 16 * r + 16].any()
    assert (out[:, 32:] == 7).all()
    write(out, 1, 2, 16, back)
    assert np.array_equal(back[1:3], rows[1:3])
    assert not back[[0, 3]].any()


@pytest.mark.parametrize("tile", [(0, 0, 0, 0), (0,)], ids=len)
@pytest.mark.parametrize("floor", [-np.inf, 0.0])
def test_a_product_with_a_floor(tile: tuple[int, ...], floor: float) -> None:
    weight, bias, x, out = draw(8, 6), draw(8, 1, seed=1), draw(6, T, seed=2), empty(8)
    multiply(tile, weight, bias, x, WIDTH, np.float32(floor), out)
    expected = np.maximum(weight @ x + bias, floor)
    np.testing.assert_allclose(out[:, :WIDTH], expected[:, :WIDTH], rtol=1e-5, atol=1e-5)
    assert (out[:, WIDTH:] == 7).all()


def test_a_norm_keeps_what_its_backward_pass_needs() -> None:
    x, residual, weight, bias = draw(6, T), draw(6, T, seed=1), draw(6, 1, seed=2), draw(6, 1, seed=3)
    whitened, scale, out = empty(6), empty(1), empty(6)
    normalise(x, residual, weight, bias, WIDTH, whitened, scale, out)
    both = torch.from_numpy(x + residual).T[:WIDTH]
    expected = F.layer_norm(both, (6,), torch.from_numpy(weight[:, 0]), torch.from_numpy(bias[:, 0]))
    torch.testing.assert_close(torch.from_numpy(out).T[:WIDTH], expected)
    torch.testing.assert_close(torch.from_numpy(whitened).T[:WIDTH], F.layer_norm(both, (6,)))
    inverse = (both.var(1, correction=0) + 1e-5).rsqrt()
    torch.testing.assert_close(torch.from_numpy(scale)[0, :WIDTH], inverse)
    assert all((array[:, WIDTH:] == 7).all() for array in (whitened, scale, out))


@pytest.mark.parametrize(("scale", "harmless"), [(1.0, True), (30.0, False)])
def test_attention_keeps_what_its_backward_pass_needs(scale: float, harmless: bool) -> None:
    e, heads, n, start = 2, 3, 20, 16
    width = e * heads
    qkv, out, shifts, inverses = draw(3 * width, T, scale=scale), empty(width), empty(heads), empty(heads)
    attend((0,) * e, qkv, start, n, out, shifts, inverses)
    row = torch.from_numpy(qkv)[:, start : start + n].double().view(3, heads, e, n)
    query, key, value = row.transpose(2, 3)
    expected = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(width, n)
    attended = torch.from_numpy(out)[:, start : start + n].double()
    torch.testing.assert_close(attended, expected, rtol=1e-4, atol=1e-4)
    shift, inverse = (torch.from_numpy(array)[:, start : start + n, None].double() for array in (shifts, inverses))
    scores = query @ key.transpose(1, 2) / math.sqrt(e)
    weights = torch.exp2(scores / math.log(2) + shift) * inverse
    torch.testing.assert_close(weights, scores.softmax(2), rtol=1e-3, atol=1e-6)
    assert (not shift.any()) == harmless
    assert (out[:, :start] == 7).all()
