import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nni
import nni.nas.strategy
import numpy as np
import pytest
import torch
import yaml
from nni.nas.nn.pytorch import LayerChoice

from nasrec_automl.errors import ArchitectureError, CheckpointError, DataError, ExtraError, NasRecError, SpaceError
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin import NasRecENAS, NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import (
    FlopsProfiler,
    ModelSpace,
    NumParamsProfiler,
    RawFormatModelSpace,
    SampleValidationError,
    model_context,
)
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_architecture, load_search_space, shipped_files
from nasrec_automl.testing.examples import fill_head, make_batch, tiny_schema, tiny_space

HAS_RL = find_spec("tianshou") is not None


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


def dry_run(**options: object) -> dict[str, torch.Tensor]:
    """Weights of the network that a space runs before it is frozen."""
    space = make(**options).eval()
    dense, ids = make_batch(tiny_schema(), 4)
    assert space(dense.float(), ids).shape == (4,)
    assert not any(module.training for module in space.modules())
    return space.network.dry_run.state_dict()


def test_the_dry_runs_weights_are_of_the_seed_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (dry_run(seed=seed) for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_the_dry_run_is_the_architecture_of_first_choices() -> None:
    first = {label: choices[0] for label, choices in tiny_space().labels.items()}
    expected, found = make().freeze(first).network.state_dict(), dry_run()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_there_are_no_tables_before_they_are_used() -> None:
    assert not list(make().parameters())


def test_a_dry_run_that_inference_made_can_be_trained() -> None:
    space, (dense, ids) = make(), make_batch(tiny_schema(), 4)
    with torch.inference_mode():
        space(dense.float(), ids)
    space(dense.float(), ids).sum().backward()
    assert any(parameter.grad is not None for parameter in space.parameters())


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


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Parameter]:
    """The parameters that were copied."""
    found: list[torch.nn.Parameter] = []
    copy = torch.nn.Parameter.__deepcopy__

    def watch(parameter: torch.nn.Parameter, memo: dict[int, Any]) -> Any:
        found.append(parameter)
        return copy(parameter, memo)

    monkeypatch.setattr(torch.nn.Parameter, "__deepcopy__", watch)
    return found


def test_freezing_copies_nothing_that_is_thrown_away(copied: list[torch.nn.Parameter]) -> None:
    space, sample = make(), dict(tiny_space().random(np.random.default_rng(0)).params)
    space.freeze(sample)
    assert not copied
    supernet = NasRecOneShot().mutate_model(space)
    frozen = supernet.freeze(sample)
    (table,) = copied
    assert table is supernet.network.supernet.embedding.weight
    assert frozen.network.embedding.weight is not table
    assert isinstance(supernet.network, SharedNetwork), "the supernet is as it was"


def test_a_space_with_further_choices_is_frozen_whole() -> None:
    class More(NasRecSpace):
        def __init__(self) -> None:
            super().__init__(tiny_space(), tiny_schema())
            self.last = LayerChoice([torch.nn.Identity(), torch.nn.Tanh()], label="last")

    space, sample = More(), dict(tiny_space().random(np.random.default_rng(0)).params)
    frozen = space.freeze({**sample, "last": 1})
    assert isinstance(frozen.last, torch.nn.Tanh)
    assert frozen.network.architecture.params == sample
    assert isinstance(space.last, LayerChoice), "the space is as it was"


def test_a_new_models_head_starts_from_0(tmp_path: Path) -> None:
    sample = dict(tiny_space().random(np.random.default_rng(0)).params)
    with model_context(sample):
        made = make()
    (tmp_path / "mine.json").write_text(tiny_space().from_params(sample).to_json())
    loaded = NasRecSpace.load_searched_model(tmp_path / "mine.json", schema=tiny_schema(), space=tiny_space())
    for model in (make().freeze(sample), made, loaded):
        assert not any(parameter.any() for parameter in model.network.head.parameters())


def test_a_supernets_model_has_its_head() -> None:
    supernet = NasRecOneShot().mutate_model(make())
    fill_head(supernet.network.supernet.head)
    model = supernet.freeze(dict(tiny_space().random(np.random.default_rng(0)).params))
    assert model.network.head.bias == supernet.network.supernet.head.bias != 0


def test_what_is_frozen_already_stays_so() -> None:
    frozen = make().freeze(dict(tiny_space().random(np.random.default_rng(0)).params))
    assert frozen.freeze({}).network.architecture == frozen.network.architecture


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


def install(folder: Path, package: str, version: str) -> None:
    """What pip leaves of a package, as far as it is looked at."""
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    metadata = folder / f"{package}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")


@pytest.mark.skipif(HAS_RL, reason="the extra is installed")
@pytest.mark.parametrize(
    ("packages", "unfit"),
    [
        ({"tianshou": "2.0.1", "gym": "0.26.2"}, r"tianshou 2\.0\.1 is installed"),
        ({"tianshou": "0.5.0", "gym": "0.26.2"}, r"tianshou 0\.5\.0 is installed"),
        ({"tianshou": "0.4.11"}, "gym is not installed"),
        ({"tianshou": "0.4.9.post1", "gym": "0.26.2"}, None),
    ],
)
def test_enas_without_the_packages_that_nni_was_written_for_is_refused(
    packages: dict[str, str], unfit: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, version in packages.items():
        install(tmp_path, package, version)
    monkeypatch.syspath_prepend(tmp_path)
    if unfit is None:
        NasRecENAS().mutate_model(make())
        return
    with pytest.raises(ExtraError, match=rf"tianshou below 0\.5 and gym, but {unfit}: .*'\.\[rl\]'"):
        NasRecENAS().mutate_model(make())


@pytest.mark.parametrize("name", ["DARTS", "GumbelDARTS", "Proxyless"])
@pytest.mark.parametrize("profiler", [FlopsProfiler, NumParamsProfiler])
def test_an_expectation_over_all_architectures_is_refused(name: str, profiler: Any) -> None:
    dense, ids = make_batch(tiny_schema(), 2)
    penalty = {"profiler": profiler(make(), (dense.float(), ids)), "baseline": 1e4}
    strategy = getattr(nni.nas.strategy, name)(penalty=penalty)
    with pytest.raises(NasRecError, match=rf"{profiler.__name__} .* would not end: leave `penalty` out of {name}, and"):
        strategy.mutate_model(make())


@pytest.mark.parametrize("name", shipped_files("architectures", ".json"))
def test_published_architectures_by_name(name: str) -> None:
    schema = FeatureSchema.from_sizes(dense=2, table_sizes=[5] * 4)
    model = NasRecSpace.load_searched_model(name, schema=schema, layer_norm=False, seed=3)
    assert isinstance(model, NasRecSpace)
    assert isinstance(model.network, Subnet)
    assert model.network.architecture == load_architecture(name)
    assert model.network.layer_norm is False
    dense, ids = make_batch(schema, 4)
    assert model(dense.float(), ids).shape == (4,)
    again = NasRecSpace.load_searched_model(name, schema=schema, layer_norm=False, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_an_architecture_from_a_file_and_what_there_is_not(tmp_path: Path) -> None:
    schema, path = FeatureSchema.from_sizes(dense=2, table_sizes=[5] * 4), tmp_path / "mine.json"
    path.write_text(load_architecture("avazu-small").to_json())
    assert NasRecSpace.load_searched_model(str(path), schema=schema).network.architecture.key == (
        load_architecture("avazu-small").key
    )
    with pytest.raises(ArchitectureError, match="criteo-full"):
        NasRecSpace.load_searched_model("criteo", schema=schema)
    with pytest.raises(CheckpointError, match="no weights were published"):
        NasRecSpace.load_searched_model("criteo-full", pretrained=True, schema=schema)


def test_an_architecture_of_a_space_of_ones_own(tmp_path: Path) -> None:
    path, architecture = tmp_path / "mine.json", tiny_space().random(np.random.default_rng(0))
    path.write_text(architecture.to_json())
    with pytest.raises(ArchitectureError, match=rf"{path}: its space 'tiny' does not ship .*: pass space="):
        NasRecSpace.load_searched_model(str(path), schema=tiny_schema())
    for space in spaces(tmp_path).values():
        if space != "nasrec-small":
            model = NasRecSpace.load_searched_model(str(path), schema=tiny_schema(), space=space)
            assert model.network.architecture == architecture


def test_wrong_fields_are_one_sentence() -> None:
    schema = FeatureSchema.from_sizes(dense=3, table_sizes=[9])
    with pytest.raises(SpaceError, match=r"^the fields of the space: dense_ops: this field is required$"):
        NasRecSpace({"name": "x", "blocks": 2}, schema)
    with pytest.raises(DataError, match=r"^the fields of the schema: fields: this field is required$"):
        NasRecSpace("nasrec-small", {"dense": ["a"]})


def spaces(folder: Path) -> dict[str, Any]:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_space().model_dump(mode="json")))
    return {"name": "nasrec-small", "file": path, "value": tiny_space(), "fields": tiny_space().model_dump()}


@pytest.mark.parametrize("kind", ["name", "file", "value", "fields"])
def test_nni_dumps_it_as_plain_json_and_loads_it(kind: str, tmp_path: Path) -> None:
    # A hundred fields: NNI refuses to pickle so much.
    schema = FeatureSchema.from_sizes(dense=3, table_sizes=range(5, 105), embedding_dim=8)
    space = NasRecSpace(spaces(tmp_path)[kind], schema, dropout=0.25, seed=7)
    text = nni.dump(space)
    assert "pickle" not in text
    json.loads(text)
    again = nni.load(text)
    assert isinstance(again, NasRecSpace)
    assert (again.search_space, again.network.schema) == (space.search_space, schema)
    assert repr(again) == repr(space)
    assert nni.dump(again) == text
    assert {name: m.values for name, m in again.simplify().items()} == {
        name: m.values for name, m in space.simplify().items()
    }
    sample = dict(space.search_space.random(np.random.default_rng(0)).params)
    frozen = (model.freeze(sample).parameters() for model in (space, again))
    assert all(torch.equal(a, b) for a, b in zip(*frozen, strict=True))


def test_it_shows_itself_in_a_line() -> None:
    assert repr(make()) == repr(make())
    start = "NasRecSpace(space='tiny', dense=3, fields=4, layer_norm=False, dropout=0.1, seed=2, sparse_gradients=True"
    space = make(layer_norm=False, dropout=0.1, seed=2)
    assert repr(space) == f"{start})"
    architecture = tiny_space().random(np.random.default_rng(0))
    assert repr(space.freeze(dict(architecture.params))) == f"{start}, architecture={architecture.key!r})"
    for strategy in (NasRecOneShot(), nni.nas.strategy.DARTS()):
        assert repr(strategy.mutate_model(make(layer_norm=False, dropout=0.1, seed=2))) == f"{start})"


def test_a_space_of_ones_own_class() -> None:
    class Mine(NasRecSpace):
        def __init__(self, space: str, table_size: int) -> None:
            super().__init__(space, FeatureSchema.from_sizes(dense=1, table_sizes=[table_size] * 3))

    space = Mine("nasrec-small", 9)
    assert isinstance(space.search_space, SearchSpace)
    assert space.trace_kwargs == {"space": "nasrec-small", "table_size": 9}
    assert repr(space).startswith("Mine(space='nasrec-small', dense=1, fields=3")


def test_a_dict_that_is_filled_again_is_refused() -> None:
    space, rng = make(), np.random.default_rng(0)
    first, second = (dict(tiny_space().random(rng).params) for _ in range(2))
    assert space.check_contains(first) is None
    assert space.check_contains(first) is None
    assert space.check_contains(second) is None
    second.update(first)
    error = space.check_contains(second)
    assert isinstance(error, ArchitectureError)
    with pytest.raises(SampleValidationError, match=r"^this dict was checked before .* GridSearch .* TPE$"):
        space.validate(second)
    with pytest.raises(ArchitectureError, match=r"checked before .* \(path:model\)$"):
        RawFormatModelSpace(space, None).validate(second)


def test_a_dict_that_was_changed_may_be_asked_about_again() -> None:
    space, sample = make(), dict(tiny_space().random(np.random.default_rng(0)).params)
    for dim, expected in ((4, True), (5, False), (7, True)):
        sample["block1/dense_dim"] = dim
        assert space.contains(sample) is expected


def test_a_space_of_a_single_point() -> None:
    fixed = {"dense_ops": ("fc",), "sparse_ops": ("efc",), "dense_dims": (4,), "sparse_dims": (3,)}
    one = tiny_space(blocks=1, fm=(True,), dense_to_sparse=(False,), **fixed)
    assert isinstance(NasRecSpace(one, tiny_schema()).freeze({}).network, Subnet)
