import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.ops.mergers import DenseToSparse, FactorizationMachine
from nasrec_automl.testing.examples import move_vectors


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("width", [6, 4])
def test_dense_to_sparse_makes_eight_tokens(layer_norm: bool, width: int) -> None:
    merger, dense = DenseToSparse(6, 5, layer_norm=layer_norm), torch.rand(3, width)
    move_vectors(merger)
    flat = F.linear(dense, merger.linear.weight[:, :width], merger.linear.bias)
    if layer_norm:
        flat = F.layer_norm(flat, (40,), merger.norm.weight, merger.norm.bias)
    out = merger(dense)
    assert out.shape == (3, 5, 8)
    torch.testing.assert_close(out.flatten(1), flat)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("dim", [6, 4])
def test_fm_is_twice_the_sum_of_pairwise_products(layer_norm: bool, dim: int) -> None:
    merger, tokens = FactorizationMachine(5, 6, layer_norm=layer_norm), torch.rand(3, 5, 4)
    move_vectors(merger)
    pairs = sum(tokens[..., i] * tokens[..., j] for i in range(4) for j in range(4) if i != j)
    out = F.linear(pairs, merger.linear.weight[:dim], None if layer_norm else merger.linear.bias[:dim])
    if layer_norm:
        out = F.layer_norm(out, (dim,), merger.norm.weight[:dim], merger.norm.bias[:dim])
    torch.testing.assert_close(merger(tokens, dim), out)


def test_fm_of_bfloat16_tokens_keeps_what_is_left_of_two_large_sums() -> None:
    merger, one = FactorizationMachine(5, 6, layer_norm=False), torch.full((3, 5, 2), 100.0)
    one[..., 1] = 0.125  # their squares' sum is 10,000 and what is wanted 25
    torch.testing.assert_close(merger(one.bfloat16(), 6), merger(one, 6), rtol=1e-5, atol=1e-5)
