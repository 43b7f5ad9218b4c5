"""Peak memory of a training step against what it cannot do without."""

import json
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from nasrec_automl import load_search_space
from tests.benchmarks import criteo
from tests.benchmarks.measure import Figure

_ROWS, _BATCH = 10_000, 512
_BEFORE, _PATHS = 12, 6
_LIMIT = 1.3


def _peak(name: str) -> list[Figure]:
    """The path with the worst ratio, after enough steps that most of the optimiser's state is there."""
    training, data = criteo.training(criteo.supernet(name, _ROWS)), criteo.batch(_BATCH, _ROWS)
    paths = [a.path for a in criteo.architectures(load_search_space(name), _BEFORE + _PATHS)]
    for path in paths:
        training.step(data, path)
    state = [x for values in training.optimizer.state.values() for x in values.values() if isinstance(x, Tensor)]
    kept = _storages([*training.network.parameters(), *training.network.buffers(), *state])
    given = _storages([data.dense, data.ids, data.label])
    found = []
    for path in paths[_BEFORE:]:
        training.optimizer.zero_grad()
        saved = _saved(partial(training.network, data.dense, data.ids, path))
        activations = {key: size for key, size in saved.items() if key not in kept | given}
        needed = sum(kept.values()) + sum(activations.values())
        found.append((sum(kept.values()) + growth(partial(training.step, data, path)), needed))
    peak, needed = max(found, key=lambda pair: pair[0] / pair[1])
    compared = f"weights, optimiser state, activations: {needed / 1e6:,.0f} MB; the worst of {_PATHS} paths"
    title = f"{name}: peak memory of a supernet step, batch {_BATCH}"
    return [Figure(title, peak / 1e6, "MB", compared, needed / peak, 1 / _LIMIT)]


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Address and bytes of each memory block that the tensors lie in."""
    return {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}


def _saved(forward: Callable[[], Tensor]) -> dict[int, int]:
    """The memory blocks that a forward pass keeps for the backward pass."""
    tensors: list[Tensor] = []

    def pack(x: Tensor) -> Tensor:
        tensors.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        logits = forward()
    blocks = _storages(tensors)
    del logits
    return blocks


def growth(run: Callable[[], object]) -> int:
    """Most bytes that torch's allocator has given out and not got back at any moment of a call."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run()
        profiler.export_chrome_trace(str(trace))
        events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "[memory]"]
    changes = [event["args"]["Bytes"] for event in sorted(events, key=lambda event: event["ts"])]
    return max(accumulate(changes, initial=0))


MEASUREMENTS = {name: partial(_peak, name) for name in ("nasrec-full", "nasrec-small")}
