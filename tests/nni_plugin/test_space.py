from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from nasrec_automl.errors import SpaceError
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import ModelSpace, model_context
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_architecture, load_search_space
from nasrec_automl.testing.examples import make_batch, tiny_schema, tiny_space


def make(**options: object) -> NasRecSpace:
    return NasRecSpace(tiny_space(), tiny_schema(), **options)


def test_labels_are_the_spaces() -> None:
    space = make()
    assert isinstance(space, ModelSpace)
    assert set(space.simplify()) == set(tiny_space().labels)
    assert {label: tuple(m.values) for label, m in space.simplify().items()} == tiny_space().labels


def test_a_space_by_name_by_file_and_by_value(tmp_path: Path) -> None:
    schema = FeatureSchema.from_sizes(dense=1, table_sizes=[3])
    assert NasRecSpace("nasrec-small", schema).search_space == load_search_space("nasrec-small")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_space().model_dump(mode="json")))
    assert NasRecSpace(path, schema).search_space == tiny_space()
    assert NasRecSpace(space="nasrec-full", schema=schema).search_space == load_search_space("nasrec-full")
    with pytest.raises(SpaceError, match="no search space 'none'"):
        NasRecSpace("none", schema)


def test_the_dry_run_is_the_architecture_of_first_choices() -> None:
    dense, ids = make_batch(tiny_schema(), 4)
    assert make()(dense.float(), ids).shape == (4,)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_frozen_it_is_the_subnet(layer_norm: bool) -> None:
    rng = np.random.default_rng(0)
    dense, ids = make_batch(tiny_schema(), 4)
    for _ in range(5):
        architecture = tiny_space().random(rng)
        space = make(layer_norm=layer_norm, dropout=0.3, seed=7)
        model = space.freeze(dict(architecture.params))
        assert isinstance(model.network, Subnet)
        assert model.network.architecture == architecture
        assert model.network.layer_norm is layer_norm
        assert model(dense.float(), ids).shape == (4,)
        assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
        with model_context(dict(architecture.params)):
            again = make(layer_norm=layer_norm, dropout=0.3, seed=7)
        assert isinstance(again.network, Subnet)
        for name, tensor in again.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name]), "start values are those of the seed"


def test_random_of_nni_is_an_architecture() -> None:
    space = make()
    for _ in range(5):
        model = space.random()
        assert isinstance(model.network, Subnet)


def test_published_architectures_as_samples() -> None:
    architecture = load_architecture("kdd12-small")
    space = NasRecSpace("nasrec-small", FeatureSchema.from_sizes(dense=3, table_sizes=[5] * 10))
    assert space.freeze(dict(architecture.params)).network.architecture == architecture


def test_one_shot_strategies_get_the_weight_sharing_network() -> None:
    space = NasRecOneShot().mutate_model(make(layer_norm=False, dropout=0.2, seed=4))
    assert isinstance(space.network, SharedNetwork)
    assert space.network.supernet.layer_norm is False
    assert space.network.supernet.dropout.p == 0.2
    assert set(space.simplify()) == set(tiny_space().labels)
