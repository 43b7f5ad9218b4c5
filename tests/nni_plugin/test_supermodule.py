import numpy as np
import torch
from torch import nn

from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.testing.examples import fill_head, make_batch, tiny_schema, tiny_space

SPACE = tiny_space()


def make(seed: int = 0, *, dropout: float = 0.0) -> SharedNetwork:
    return SharedNetwork(SPACE, tiny_schema(), NetworkOptions(dropout=dropout, seed=seed))


def trained(shared: SharedNetwork) -> SharedNetwork:
    """With a head that is not 0, for logits to differ."""
    fill_head(shared.supernet.head)
    return shared


def test_it_starts_from_logits_of_zero() -> None:
    dense, ids = make_batch(tiny_schema(), 4)
    assert not make()(dense.float(), ids).any()


def test_it_runs_the_path_that_it_was_given_last() -> None:
    shared, (dense, ids) = trained(make()), make_batch(tiny_schema(), 4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = SPACE.random(rng)
        shared.path = architecture.path
        torch.testing.assert_close(shared(dense.float(), ids), shared.supernet(dense.float(), ids, architecture))


def test_it_stands_for_every_mutable() -> None:
    assert set(make().simplify()) == set(SPACE.labels)


def test_resampling_draws_an_architecture_and_keeps_what_is_known() -> None:
    shared = make()
    seen = set()
    for _ in range(20):
        sample = shared.resample({"block3/dense_op": "sum", "other": 3})
        architecture = SPACE.from_params(sample)
        assert sample["block3/dense_op"] == "sum"
        assert shared.path == architecture.path
        seen.add(architecture.key)
    assert len(seen) > 15


def test_draws_and_start_values_are_those_of_the_seed() -> None:
    torch.manual_seed(1)
    first = make(3)
    torch.manual_seed(2)
    second = make(3)
    assert [first.resample({}) for _ in range(3)] == [second.resample({}) for _ in range(3)]
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert make(4).resample({}) != make(3).resample({})


def test_frozen_it_is_the_extracted_subnet() -> None:
    shared, (dense, ids) = trained(make()), make_batch(tiny_schema(), 4)
    sample = shared.export({})
    subnet = shared.freeze(sample)
    assert isinstance(subnet, Subnet)
    assert subnet.architecture.params == sample
    torch.testing.assert_close(
        subnet(dense.float(), ids), shared.supernet(dense.float(), ids, subnet.architecture), rtol=1e-5, atol=1e-5
    )


def test_frozen_it_keeps_the_dropout() -> None:
    shared = make(dropout=0.2)
    subnet = shared.freeze(shared.export({}))
    assert {module.p for module in subnet.modules() if isinstance(module, nn.Dropout)} == {0.2}
