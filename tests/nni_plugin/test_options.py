from functools import partial

import numpy as np
import torch

from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.testing.examples import fill_head, make_batch, tiny_schema, tiny_space

ARCHITECTURE = tiny_space().random(np.random.default_rng(0))
make_subnet = partial(Subnet, ARCHITECTURE, tiny_schema())


def test_a_network_begins_as_it_says_and_by_its_seed_alone() -> None:
    options = NetworkOptions(layer_norm=False, dropout=0.3, seed=4)
    torch.manual_seed(1)
    network = options.begin(make_subnet)
    assert (network.layer_norm, network.dropout.p) == (False, 0.3)
    assert not any(parameter.any() for parameter in network.head.parameters())
    torch.manual_seed(2)
    again, other = options.begin(make_subnet), NetworkOptions(layer_norm=False, seed=5).begin(make_subnet)
    assert torch.equal(network.embedding.weight, again.embedding.weight)
    assert not torch.equal(network.embedding.weight, other.embedding.weight)


def test_the_embeddings_gradients_are_sparse_or_not_and_are_the_same() -> None:
    dense, ids = make_batch(tiny_schema(), 16)
    gradients = []
    for wanted in (True, False):
        options = NetworkOptions(sparse_gradients=wanted)
        supernet = options.begin(partial(Supernet, tiny_space(), tiny_schema()))
        torch.manual_seed(3)
        with torch.no_grad():
            fill_head(supernet.head)
        for network in (supernet.extract(ARCHITECTURE), supernet):
            paths = (ARCHITECTURE,) if network is supernet else ()
            network(dense.float(), ids, *paths).sum().backward()
            gradient = network.embedding.weight.grad
            assert gradient is not None
            assert gradient.is_sparse is wanted
            gradients.append(gradient.to_dense())
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0])
