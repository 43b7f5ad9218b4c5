"""Scoring in bfloat16 against float32: what it saves, and what it does to the AUC."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import cycle
from pathlib import Path

import torch
from torch import Tensor

from nasrec_automl import Architecture, load_search_space
from nasrec_automl.data.batches import TrainingBatches
from nasrec_automl.data.parts import VALIDATION, Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.network import Supernet
from nasrec_automl.training.metrics import measure
from nasrec_automl.training.seed import seeded
from tests.benchmarks import criteo
from tests.benchmarks.measure import Figure, interleaved

_SPACE, _ROWS = "nasrec-small", 10_000
_SCORES, _TARGET = 8, 1.7
_DATA_ROWS, _STEPS, _JUDGED, _AUC_LIMIT = 160_000, 400, 4, 1e-4
_LR, _EPS = 0.05, 1e-8


def _speed() -> list[Figure]:
    name = f"{_SPACE}: scoring a batch of 8192 in bfloat16"
    if not _supported():
        return [Figure(name, None, "ms", "skipped: this processor has neither avx512_bf16 nor amx_bf16")]
    data, network = criteo.batch(8192, _ROWS), criteo.supernet(_SPACE, _ROWS).eval()
    architectures = criteo.architectures(load_search_space(_SPACE), _SCORES)
    runs = [_scorer(network, data.dense, data.ids, half=half) for half in (True, False)]
    half, single = map(sum, interleaved(runs, architectures))
    compared = f"float32: mean {1000 * single / _SCORES:,.0f} ms over {_SCORES} paths"
    return [Figure(name, 1000 * half / _SCORES, "ms", compared, single / half, _TARGET)]


def _auc() -> list[Figure]:
    """The largest difference over some architectures, on validation rows of synthetic data."""
    raw = make_synthetic(_DATA_ROWS, 0)
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(raw, Path(folder) / "data")
        with seeded(0):
            network = Supernet(load_search_space(_SPACE), data.schema())
        judged = criteo.architectures(network.space, _JUDGED)
        _train(network, judged, data.part(Part.TRAIN))
        rows = data.part(*VALIDATION)
        dense, ids, label = rows.batch(slice(0, len(rows)))
    network.eval()
    differences, aucs = [], []
    for architecture in judged:
        single, half = (
            measure(_scorer(network, dense, ids, half=half)(architecture), label).auc for half in (False, True)
        )
        differences.append(abs(single - half))
        aucs.append(single)
    compared = (
        f"at most {_AUC_LIMIT:g}; largest of {_JUDGED} architectures, {len(label):,} rows, "
        f"float32 AUC {min(aucs):.4f} to {max(aucs):.4f} after {_STEPS} steps"
    )
    worst = max(differences)
    ratio = _AUC_LIMIT / max(worst, 1e-9)  # none at all is no number for JSON
    return [Figure(f"{_SPACE}: difference in AUC, bfloat16", worst, "AUC", compared, ratio, 1.0)]


def _train(network: Supernet, architectures: Sequence[Architecture], rows: Rows) -> None:
    """Train the architectures that are judged, in turn: an AUC of 0.5 would say nothing of a difference."""
    training, batches = criteo.training(network, lr=_LR, eps=_EPS), TrainingBatches(rows, 512, 0, _STEPS)
    for architecture, batch in zip(cycle(architectures), batches, strict=False):
        training.step(criteo.Batch(*batch), architecture.path)


def _scorer(network: Supernet, dense: Tensor, ids: Tensor, *, half: bool) -> Callable[[Architecture], Tensor]:
    @torch.inference_mode()
    def score(architecture: Architecture) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            logits: Tensor = network(dense, ids, architecture)
        return logits.float()

    return score


def _supported() -> bool:
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


MEASUREMENTS = {"speed": _speed, "auc": _auc}
