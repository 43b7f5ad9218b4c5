import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasrec_automl.ops.linear import ElasticLayerNorm, ElasticLinear, SourceLinear, closing_norm
from nasrec_automl.testing.examples import move_vectors


def assert_uniform(weight: torch.Tensor, bound: float) -> None:
    assert weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_a_leading_slice(bias: bool) -> None:
    linear, x = ElasticLinear(6, 5, bias=bias), torch.rand(2, 3, 4)
    move_vectors(linear)
    expected = F.linear(x, linear.weight[:2, :4], linear.bias[:2] if bias else None)
    torch.testing.assert_close(linear(x, 2), expected)


def test_linear_starts_xavier_uniform_with_zero_bias() -> None:
    linear = ElasticLinear(300, 100, bias=True)
    assert_uniform(linear.weight, math.sqrt(6 / 400))
    assert not linear.bias.any()


@pytest.mark.parametrize("bias", [True, False])
def test_source_linear_is_the_linear_over_the_concatenation(bias: bool) -> None:
    linear = SourceLinear({"a": 3, "b": 4, "c": 2}, 5, fan_in=7, bias=bias)
    move_vectors(linear)
    a, c = torch.rand(6, 2), torch.rand(6, 2)
    weight = torch.cat([linear.weights["a"][:4, :2], linear.weights["c"][:4, :2]], dim=1)
    expected = F.linear(torch.cat([a, c], dim=1), weight, linear.bias[:4] if bias else None)
    torch.testing.assert_close(linear([("a", a), ("c", c)], 4), expected)
    torch.testing.assert_close(linear([("c", c), ("a", a)], 4), expected)


def test_source_linear_starts_as_one_matrix_over_the_inputs_of_a_path() -> None:
    linear = SourceLinear({"a": 100, "b": 200, "c": 300}, 50, fan_in=450, bias=True)
    for weight in linear.weights.values():
        assert_uniform(weight, math.sqrt(6 / 500))
    assert not linear.bias.any()


def test_source_linear_without_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one input"):
        SourceLinear({"a": 3}, 5, fan_in=3, bias=True)([], 5)


def test_layer_norm_sees_the_active_slice_alone() -> None:
    norm, x = ElasticLayerNorm(6, scale=0.17), torch.rand(3, 4)
    assert (norm.weight == 0.17).all()
    assert not norm.bias.any()
    move_vectors(norm)
    torch.testing.assert_close(norm(x), F.layer_norm(x, (4,), norm.weight[:4], norm.bias[:4]))


def test_closing_norm() -> None:
    assert isinstance(closing_norm(4, layer_norm=False), nn.Identity)
    norm = closing_norm(4, layer_norm=True)
    assert isinstance(norm, ElasticLayerNorm)
    assert (norm.weight == 1).all()
