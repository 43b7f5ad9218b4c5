from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nasrec_automl.errors import BudgetError
from nasrec_automl.network import Subnet
from nasrec_automl.network.latency import SubnetLatency, measure_latency, synthetic_batch
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_architecture
from nasrec_automl.testing.examples import composed_schema, pooled_schema, tiny_schema

SCHEMA = FeatureSchema.from_sizes(dense=13, table_sizes=[50_000_000] * 26)


class Recorder(nn.Module):
    """Takes so many milliseconds for each pass, on a clock of its own, and notes how it was called."""

    def __init__(self, *milliseconds: float) -> None:
        super().__init__()
        self.milliseconds = milliseconds
        self.now = 100.0
        self.calls: list[tuple[bool, bool, int]] = []

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        self.now += self.milliseconds[len(self.calls)] / 1000
        self.calls.append((self.training, torch.is_inference_mode_enabled(), len(ids)))
        return dense


def recorded(monkeypatch: pytest.MonkeyPatch, *milliseconds: float) -> Recorder:
    network = Recorder(*milliseconds)
    monkeypatch.setattr("nasrec_automl.network.latency.time.perf_counter", lambda: network.now)
    return network


def test_the_median_of_the_passes_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network = recorded(monkeypatch, 40, 50, 60, 70, 20, 300, 10)
    found = measure_latency(network, synthetic_batch(tiny_schema(), 6), repeats=3, warm_up=4)
    assert found.median_ms == pytest.approx(20)
    assert found.low_ms == pytest.approx(12)  # a fifth of the way from 10 to 20
    assert found.high_ms == pytest.approx(244)
    assert (found.repeats, found.rows, found.device, found.threads) == (3, 6, "cpu", torch.get_num_threads())


def test_passes_are_inference_and_the_network_is_left_as_it_was() -> None:
    network = Recorder(*[1.0] * 5)
    measure_latency(network, synthetic_batch(tiny_schema(), 6), repeats=3, warm_up=2)
    assert network.calls == [(False, True, 6)] * 5
    assert network.training


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema(), composed_schema()])
def test_the_batch_is_one_that_the_schema_allows_and_the_same_each_time(schema: FeatureSchema) -> None:
    dense, ids = synthetic_batch(schema, 40)
    assert dense.shape == (40, schema.num_dense)
    assert dense.dtype == torch.float32
    assert ids.shape == (40, schema.num_columns)
    again = synthetic_batch(schema, 40)
    assert torch.equal(dense, again[0])
    assert torch.equal(ids, again[1])


@pytest.mark.parametrize("cap", [None, 500_000])
def test_large_tables_are_not_built(cap: int | None) -> None:
    schema = SCHEMA.model_copy(update={"fields": tuple(f.model_copy(update={"cap": cap}) for f in SCHEMA.fields)})
    measure = SubnetLatency(schema, batch_size=8, repeats=1, warm_up=0)
    assert measure.schema.table_rows == 26 * 10_000
    assert measure(load_architecture("criteo-full")).rows == 8


def test_measuring_moves_no_generator_and_leaves_no_gradient() -> None:
    state = torch.get_rng_state()
    measure = SubnetLatency(tiny_schema(), batch_size=8, repeats=2, warm_up=1)
    measure(load_architecture("criteo-full"))
    assert torch.equal(state, torch.get_rng_state())
    subnet = Subnet(load_architecture("criteo-full"), tiny_schema())
    outputs: list[Tensor] = []
    subnet.register_forward_hook(lambda *parts: outputs.append(parts[-1]))
    measure_latency(subnet, synthetic_batch(tiny_schema(), 8), repeats=2, warm_up=1)
    assert [output.requires_grad for output in outputs] == [False] * 3
    assert all(parameter.grad is None for parameter in subnet.parameters())


def test_the_subnet_is_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    init = Subnet.__init__

    def note(self: Subnet, *args: object, **kwargs: object) -> None:
        init(self, *args, **kwargs)
        built.append((self.architecture.key, self.layer_norm))

    monkeypatch.setattr(Subnet, "__init__", note)
    architecture = load_architecture("criteo-small")
    SubnetLatency(tiny_schema(), batch_size=8, layer_norm=False, repeats=1, warm_up=0)(architecture)
    assert built == [(architecture.key, False)]


def test_something_must_be_timed() -> None:
    with pytest.raises(BudgetError, match="repeats must be at least 1"):
        measure_latency(Recorder(0.0), synthetic_batch(tiny_schema(), 2), repeats=0)
