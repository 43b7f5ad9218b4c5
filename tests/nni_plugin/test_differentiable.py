from collections.abc import Callable
from typing import Any

import nni.nas.strategy
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from nni.mutable import frozen_context
from torch import nn

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import DataError
from nasrec_automl.nni_plugin import NasRecSpace
from nasrec_automl.nni_plugin.differentiable import DifferentiableNetwork
from nasrec_automl.nni_plugin.nas import DARTS
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.relaxation import SampledOneHot
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import (
    fill_head,
    make_batch,
    move_vectors,
    pooled_schema,
    tiny_schema,
    tiny_space,
    with_choice,
)
from nasrec_automl.testing.strategies import spaces_and_architectures

SOFTMAX = nn.Softmax(dim=-1)


def make(
    architecture: Architecture, schema: FeatureSchema, *, layer_norm: bool = True, softmax: nn.Module = SOFTMAX
) -> DifferentiableNetwork:
    """A network whose weights are all but 0 and 1, those of an architecture."""
    with frozen_context():  # NNI makes supermodules in one
        network = DifferentiableNetwork(architecture.space, schema, NetworkOptions(layer_norm), softmax)
    move_vectors(network.supernet)
    fill_head(network.supernet.head)
    for label, choices in architecture.space.labels.items():
        part = network.relaxation.parts[label]
        value = architecture.params[label]
        chosen = value.split("+") if len(part) != len(choices) or "inputs" in label else None
        on = [f"s{s}" in chosen for s in range(len(part))] if chosen is not None else [c == value for c in choices]
        nn.init.constant_(part, -100.0)
        part.data[torch.tensor(on)] = 100.0
    return network


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("softmax", [SOFTMAX, SampledOneHot()])
@settings(max_examples=10)
@given(architecture=spaces_and_architectures())
def test_with_certain_choices_it_is_the_supernet(
    architecture: Architecture, layer_norm: bool, softmax: nn.Module
) -> None:
    for schema in (tiny_schema(), pooled_schema()):
        network = make(architecture, schema, layer_norm=layer_norm, softmax=softmax)
        assert network.export({}) == architecture.params
        dense, ids = make_batch(schema, 4)
        network.double()
        torch.testing.assert_close(
            network(dense, ids), network.supernet(dense, ids, architecture), rtol=1e-5, atol=1e-5
        )


def test_every_choice_and_every_weight_of_the_supernet_gets_a_gradient() -> None:
    network = DARTS().mutate_model(NasRecSpace(tiny_space(), tiny_schema())).network
    dense, ids = make_batch(tiny_schema(), 16)
    assert not network(dense.float(), ids).any(), "as every supernet it starts from logits of 0"
    fill_head(network.supernet.head)
    network(dense.float(), ids).square().mean().backward()
    for name, parameter in network.relaxation.parts.items():
        assert (parameter.grad != 0).all(), name
    for name, parameter in network.supernet.named_parameters():
        assert parameter.grad is not None, name


def test_an_open_choice_is_the_mean_over_architectures() -> None:
    """Where one label alone is open and enters linearly: the last block's tokens, which the head alone reads."""
    architecture = with_choice(tiny_space().random(np.random.default_rng(3)), "block3/fm", False)
    network = make(architecture, tiny_schema())
    label, logits = "block3/sparse_dim", torch.tensor([0.3, -0.4])
    network.relaxation.parts[label].data.copy_(logits)
    dense, ids = make_batch(tiny_schema(), 4)
    expected = sum(
        weight * network.supernet(dense.float(), ids, with_choice(architecture, label, value))
        for weight, value in zip(logits.softmax(-1), tiny_space().labels[label], strict=True)
    )
    torch.testing.assert_close(network(dense.float(), ids), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "softmax"), [("DARTS", nn.Softmax), ("GumbelDARTS", nn.Softmax), ("Proxyless", SampledOneHot)]
)
def test_nnis_strategies_get_it_with_their_own_softmax(name: str, softmax: Callable[..., Any]) -> None:
    strategy = getattr(nni.nas.strategy, name)()
    space = NasRecSpace(tiny_space(), tiny_schema(), layer_norm=False, dropout=0.2, seed=4)
    network = strategy.mutate_model(space).network
    assert isinstance(network, DifferentiableNetwork)
    assert isinstance(network.relaxation.softmax, softmax)
    assert type(network.relaxation.softmax) is type(strategy.configure_softmax()) or name == "Proxyless"
    assert network.supernet.layer_norm is False
    assert network.supernet.dropout.p == 0.2
    frozen = space.freeze(network.export({}))
    assert {module.p for module in frozen.modules() if isinstance(module, nn.Dropout)} == {0.2}
    assert set(space.simplify()) == set(tiny_space().labels)


@pytest.mark.parametrize("name", ["DARTS", "GumbelDARTS", "Proxyless"])
def test_inputs_are_checked_as_the_supernets(name: str) -> None:
    space, schema = tiny_space(), tiny_schema()
    network = getattr(nni.nas.strategy, name)().mutate_model(NasRecSpace(space, schema)).network
    dense, ids = make_batch(schema, 4)
    dense = dense.float()
    assert network(dense, ids).shape == (4,)
    ids[2, 0] = schema.fields[0].table_size  # a row of the next field
    with pytest.raises(DataError, match=f"row 2 holds {schema.fields[0].table_size}") as expected:
        network.supernet(dense, ids, space.random(np.random.default_rng(0)))
    with pytest.raises(DataError) as found:
        network(dense, ids)
    assert str(found.value) == str(expected.value)


def test_what_the_memo_holds_is_not_exported_again() -> None:
    network = make(tiny_space().random(np.random.default_rng(0)), tiny_schema())
    memo = {"block1/fm": True}
    assert "block1/fm" not in network.export(memo)
    assert set(network.export_probs(memo)) == set(tiny_space().labels) - set(memo)
