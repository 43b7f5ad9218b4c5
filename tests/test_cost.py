import math
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS, Architecture
from nasrec_automl.cost import Profile, dot_product_tokens, profile
from nasrec_automl.network import Subnet
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_architecture, load_search_space
from nasrec_automl.testing.examples import composed_schema, make_batch, pooled_schema, tiny_schema, tiny_space
from nasrec_automl.testing.strategies import architectures, search_spaces, with_other_dead_parts

SCHEMAS = {"criteo": (13, 26), "avazu": (0, 23), "kdd12": (3, 10)}


@pytest.mark.parametrize(
    ("name", "live", "total"),
    [
        ("criteo-small", 2.2081, 2.4320),
        ("criteo-full", 1.4647, 3.1634),
        ("avazu-small", 3.1263, 3.2410),
        ("avazu-full", 1.8676, 3.5299),
        ("kdd12-small", 3.4992, 3.6303),
        ("kdd12-full", 1.0961, 1.1795),
    ],
)
@pytest.mark.parametrize("layer_norm", [True, False])
def test_published_architectures_cost_what_was_counted_by_hand(
    name: str, live: float, total: float, layer_norm: bool
) -> None:
    dense, fields = SCHEMAS[name.split("-")[0]]
    schema = FeatureSchema.from_sizes(dense=dense, table_sizes=[100] * fields)
    cost = profile(load_architecture(name), schema, layer_norm=layer_norm)
    assert (round(cost.macs / 1e6, 4), round(cost.total_macs / 1e6, 4)) == (live, total)


def added_product(total: torch.Size, left: torch.Size, right: torch.Size, **_: object) -> int:
    """Flops of a product that is added in place, which the counter does not know."""
    return 2 * left[0] * left[1] * right[1]


def counted_macs(subnet: Subnet, dense: Tensor, ids: Tensor) -> float:
    """Multiply-adds per example of every matrix product of a forward pass, by PyTorch's own counter."""
    # Attention in its plain form: fused kernels and compiled loops are unknown to the counter.
    plain = sdpa_kernel(SDPBackend.MATH)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added_product})
    with patch("nasrec_automl.ops.attention.use_narrow", return_value=False), plain, torch.no_grad(), counter:
        subnet(dense, ids)
    return counter.get_total_flops() / 2 / len(ids)


def assert_counted(architecture: Architecture, schema: FeatureSchema, layer_norm: bool) -> None:
    cost = profile(architecture, schema, layer_norm=layer_norm)
    subnet = Subnet(architecture, schema, layer_norm=layer_norm)
    dense, ids = make_batch(schema, 2)
    assert cost.macs == counted_macs(subnet, dense.float(), ids)
    tables = subnet.embedding.weight.numel()
    assert cost.embedding_parameters == tables
    assert cost.dense_parameters == sum(p.numel() for p in subnet.parameters()) - tables
    assert cost.parameters == sum(p.numel() for p in subnet.parameters())


@given(
    search_spaces().flatmap(architectures),
    st.sampled_from([tiny_schema(), pooled_schema(), composed_schema()]),
    st.booleans(),
)
def test_closed_form_is_what_a_forward_pass_does(
    architecture: Architecture, schema: FeatureSchema, layer_norm: bool
) -> None:
    assert_counted(architecture, schema, layer_norm)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("op", [*DENSE_OPS, *SPARSE_OPS])
def test_every_operator_costs_what_a_forward_pass_does(op: str, layer_norm: bool) -> None:
    one = {"dense_ops": (op,)} if op in DENSE_OPS else {"sparse_ops": (op,)}
    architecture = tiny_space(blocks=1, dense_to_sparse=(True,), fm=(True,), **one).random(np.random.default_rng(0))
    assert_counted(architecture, tiny_schema(), layer_norm)


@given(
    st.sampled_from(["nasrec-full", "nasrec-small", "nasrec-plus", "quickstart"])
    .map(load_search_space)
    .flatmap(architectures),
    st.booleans(),
)
@settings(max_examples=15)
def test_closed_form_in_the_spaces_that_ship(architecture: Architecture, layer_norm: bool) -> None:
    assert_counted(architecture, FeatureSchema.from_sizes(dense=0, table_sizes=[9] * 23), layer_norm)


@given(search_spaces().flatmap(architectures))
def test_dead_parts_are_the_difference_to_the_total(architecture: Architecture) -> None:
    cost = profile(architecture, tiny_schema())
    assert cost.macs <= cost.total_macs
    assert cost.dense_parameters <= cost.total_dense_parameters
    alive = all(
        live.dense and live.sparse and live.dense_to_sparse == b.dense_to_sparse and live.fm == b.fm
        for b, live in zip(architecture.blocks, architecture.live, strict=True)
    )
    assert (cost.macs == cost.total_macs) is alive
    assert (cost.dense_parameters == cost.total_dense_parameters) is alive


@given(search_spaces().flatmap(architectures).flatmap(lambda a: st.tuples(st.just(a), with_other_dead_parts(a))))
def test_equal_keys_cost_the_same(pair: tuple[Architecture, Architecture]) -> None:
    one, other = (profile(architecture, tiny_schema()) for architecture in pair)
    assert pair[0].key == pair[1].key
    assert (one.macs, one.parameters) == (other.macs, other.parameters)


@pytest.mark.parametrize(("dense_dim", "tokens"), [(1024, 45), (768, 39), (16, 6), (1, 1)])
def test_tokens_of_dot_product(dense_dim: int, tokens: int) -> None:
    assert dot_product_tokens(dense_dim) == tokens == round(math.sqrt(2 * dense_dim))


def test_profiles_are_values() -> None:
    same = Profile(macs=1, total_macs=2, dense_parameters=3, embedding_parameters=4, total_dense_parameters=5)
    assert Profile(1, 2, 3, 4, 5) == same
