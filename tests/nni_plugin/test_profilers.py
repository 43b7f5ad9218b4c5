from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nni.nas.oneshot.pytorch.profiler import SampleProfilerPenalty

from nasrec_automl.architecture import Architecture
from nasrec_automl.cost import profile
from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import DARTS, FlopsProfiler, ModelSpace, NumParamsProfiler
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.testing.examples import make_batch, pooled_schema, tiny_schema, tiny_space
from nasrec_automl.testing.strategies import spaces_and_architectures

TERMS = {"count_bias": False, "count_normalization": False, "count_activation": False}


def profilers(space: SearchSpace | str, schema: FeatureSchema, *, layer_norm: bool = True, **terms: bool) -> Any:
    """NNI's two profilers of a space."""
    dense, ids = make_batch(schema, 2)
    model = NasRecSpace(space, schema, layer_norm=layer_norm)
    return [kind(model, (dense.float(), ids), **terms) for kind in (FlopsProfiler, NumParamsProfiler)]


@given(spaces_and_architectures(), st.sampled_from([tiny_schema(), pooled_schema()]), st.booleans())
def test_they_agree_with_profile(architecture: Architecture, schema: FeatureSchema, layer_norm: bool) -> None:
    flops, parameters = profilers(architecture.space, schema, layer_norm=layer_norm, **TERMS)
    cost = profile(architecture, schema, layer_norm=layer_norm)
    assert flops.profile(dict(architecture.params)) == cost.macs
    assert parameters.profile(dict(architecture.params)) == cost.parameters


@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-small"])
def test_they_agree_with_profile_in_nasrecs_spaces(name: str) -> None:
    space, schema = load_search_space(name), FeatureSchema.from_sizes(dense=13, table_sizes=[9] * 26)
    flops, parameters = profilers(name, schema, **TERMS)
    rng = np.random.default_rng(0)
    for architecture in [space.random(rng) for _ in range(50)]:
        cost = profile(architecture, schema)
        sample = dict(architecture.params)
        assert (flops.profile(sample), parameters.profile(sample)) == (cost.macs, cost.parameters)


def test_parameters_are_those_of_the_frozen_model() -> None:
    space = tiny_space()
    _, parameters = profilers(space, tiny_schema())
    model, rng = NasRecSpace(space, tiny_schema()), np.random.default_rng(0)
    for sample in [dict(space.random(rng).params) for _ in range(10)]:
        assert parameters.profile(sample) == sum(p.numel() for p in model.freeze(sample).parameters())


def test_their_terms_change_nothing() -> None:
    sample = dict(tiny_space().random(np.random.default_rng(0)).params)
    with_terms, without = profilers(tiny_space(), tiny_schema()), profilers(tiny_space(), tiny_schema(), **TERMS)
    assert [p.profile(sample) for p in with_terms] == [p.profile(sample) for p in without]


@pytest.mark.parametrize("made", ["NasRecOneShot", "DARTS", "frozen", "frozen of a supernet"])
def test_a_supernet_and_a_frozen_model_cost_what_the_space_does(made: str, caplog: pytest.LogCaptureFixture) -> None:
    architecture = tiny_space().random(np.random.default_rng(0))
    sample, model = dict(architecture.params), NasRecSpace(tiny_space(), tiny_schema(), layer_norm=False)
    if made != "frozen":
        model = (DARTS() if made == "DARTS" else NasRecOneShot()).mutate_model(model)
    if made.startswith("frozen"):
        model = model.freeze(sample)
    dense, ids = make_batch(tiny_schema(), 2)
    cost = profile(architecture, tiny_schema(), layer_norm=False)
    assert FlopsProfiler(model, (dense.float(), ids)).profile(sample) == cost.macs
    assert NumParamsProfiler(model, (dense.float(), ids)).profile(sample) == cost.parameters
    assert caplog.records == []


def test_they_say_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """NNI warns where it lost a shape or found a module that it cannot count."""
    space = tiny_space(sparse_ops=("attention",), dense_ops=("dot_product",), fm=(True,), dense_to_sparse=(True,))
    profilers(space, pooled_schema())
    assert caplog.records == []


def test_nnis_penalty_of_a_sample_takes_them() -> None:
    architecture = tiny_space().random(np.random.default_rng(0))
    flops, _ = profilers(tiny_space(), tiny_schema())
    half = profile(architecture, tiny_schema()).macs / 2
    loss, _ = SampleProfilerPenalty(flops, half, scale=0.5)(torch.tensor(1.0), dict(architecture.params))
    assert loss == pytest.approx(1.5)


def test_the_space_may_be_a_part_of_another_model() -> None:
    class Ensemble(ModelSpace):
        def __init__(self) -> None:
            super().__init__()
            self.first = NasRecSpace(tiny_space(), tiny_schema(), seed=0)
            self.second = NasRecSpace(tiny_space(), tiny_schema(), seed=1)

        def forward(self, dense: Any, ids: Any) -> Any:
            return self.first(dense, ids) + self.second(dense, ids)

    dense, ids = make_batch(tiny_schema(), 2)
    architecture = tiny_space().random(np.random.default_rng(0))
    flops = FlopsProfiler(Ensemble(), (dense.float(), ids), **TERMS)
    assert flops.profile(dict(architecture.params)) == 2 * profile(architecture, tiny_schema()).macs
