import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.ops.narrow_attention import NarrowAttention, use_narrow


def torchs(qkv: Tensor, heads: int) -> Tensor:
    rows, n, width = qkv.shape
    q, k, v = (x.reshape(rows, n, heads, -1).transpose(1, 2) for x in qkv.split(width // 3, 2))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, n, width // 3)


def draw(*sizes: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*sizes, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize(("heads", "embedding_dim"), [(8, 16), (8, 8), (8, 32), (2, 6), (1, 5)])
@pytest.mark.parametrize(("rows", "n"), [(1, 1), (2, 16), (7, 33), (3, 64)])
def test_it_is_torchs_attention(rows: int, n: int, heads: int, embedding_dim: int, scale: float) -> None:
    qkv, gradient = draw(rows, n, 3 * embedding_dim, scale=scale).requires_grad_(), draw(rows, n, embedding_dim)
    mine, theirs = NarrowAttention.apply(qkv, heads), torchs(qkv.double(), heads)
    torch.testing.assert_close(mine.double(), theirs, rtol=1e-4, atol=1e-5 * scale)
    torch.testing.assert_close(
        *(torch.autograd.grad(out, qkv, gradient.to(out))[0] for out in (mine, theirs)), rtol=1e-3, atol=2e-4 * scale
    )


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    qkv = torch.zeros(1, 3, 6)
    qkv[0, :, :2] = 100.0  # queries
    qkv[0, :, 2:4] = torch.tensor([[-100.0], [0.0], [100.0]])  # keys
    qkv[0, :, 4:] = torch.tensor([[1.0], [2.0], [3.0]])  # values
    assert torch.equal(NarrowAttention.apply(qkv, 1), torch.full((1, 3, 2), 3.0))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int) -> None:
    qkv, before = draw(5, 16, 48), torch.get_num_threads()
    alone = torch.cat([NarrowAttention.apply(row, 8) for row in qkv.split(1)])
    torch.set_num_threads(threads)
    try:
        assert torch.equal(NarrowAttention.apply(qkv, 8), alone)
    finally:
        torch.set_num_threads(before)


def test_an_empty_batch_gives_an_empty_one() -> None:
    assert NarrowAttention.apply(torch.zeros(0, 4, 48), 8).shape == (0, 4, 16)


def test_what_is_not_a_number_comes_through() -> None:
    qkv = draw(2, 4, 48)
    qkv[1, 2, 0] = torch.nan
    out = NarrowAttention.apply(qkv, 8)
    assert torch.isfinite(out[0]).all()
    assert out[1].isnan().any()


def test_it_is_for_narrow_heads_in_float32_on_the_cpu() -> None:
    qkv = draw(2, 4, 48)
    assert use_narrow(qkv, 2)
    assert use_narrow(qkv.bfloat16(), 2)  # in float32 between two casts: still the faster one
    assert not use_narrow(qkv.double(), 2)
    assert not use_narrow(qkv.to("meta"), 2)
    assert not use_narrow(qkv, 64)


def test_a_forked_process_has_threads_of_its_own() -> None:
    code = """
import os, torch
from nasrec_automl.ops.narrow_attention import NarrowAttention
torch.set_num_threads(2)
qkv = torch.randn(4, 8, 48)
expected = NarrowAttention.apply(qkv, 8)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(NarrowAttention.apply(qkv, 8), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
