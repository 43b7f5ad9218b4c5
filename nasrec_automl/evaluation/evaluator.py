"""The weight-sharing evaluator: scores an architecture with the supernet's weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import HeadConfig, RidgeHead
from nasrec_automl.data.batches import Batch, EvaluationBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError, JobError
from nasrec_automl.evaluation.adagrad import adagrad_head
from nasrec_automl.evaluation.early_stop import estimate, looks, surely_worse
from nasrec_automl.evaluation.ridge import ridge_head
from nasrec_automl.network import Supernet
from nasrec_automl.randomness import rng_for
from nasrec_automl.score import Score
from nasrec_automl.training.metrics import log_losses, measure
from nasrec_automl.training.precision import LIGHTNING, Precision, autocast

_BATCH = 8192


class WeightSharingEvaluator:
    """Scores architectures on the same rows: fit the head on rows that the supernet did not see, then validate.

    A score is a function of supernet, architecture, rivals, rows and seed. All architectures read the score's rows in
    one order, drawn from the seed; the order decides where an architecture stops early. The order in which Adagrad
    reads the head's rows is drawn from the seed and the architecture's key.

    Args:
        supernet: the trained supernet. It is put into evaluation mode, and left there.
        head_rows: rows for fitting the head. If there are more than `head.rows`, that many are drawn by the seed.
        score_rows: n rows to score, disjoint from the others.
        head: how to fit.
        seed: seed of the orders of rows, and of the draw of head rows.
        precision: of the supernet's products; the head is float32 always.
        early_stop: an architecture that is surely worse than this many others reads no more rows; 0 for never.

    Raises:
        JobError: the precision is not known, or `early_stop` is negative.
        DataError: there are no rows to score.
    """

    def __init__(
        self,
        supernet: Supernet,
        *,
        head_rows: Rows,
        score_rows: Rows,
        head: HeadConfig,
        seed: int,
        precision: Precision = "float32",
        early_stop: int = 0,
    ) -> None:
        if precision not in LIGHTNING:
            raise JobError(f"precision must be one of {', '.join(LIGHTNING)}, but it is {precision!r}")
        if early_stop < 0:
            raise JobError(f"early_stop must be at least 0, but it is {early_stop}")
        if not len(score_rows):
            raise DataError("score_rows: expected rows to score, but there are none")
        self.supernet = supernet.eval()
        self.precision = precision
        self.head = head
        self.seed = seed
        self.early_stop = early_stop
        self._head_rows = head_rows.sample(head.rows, seed)
        self._score_rows = score_rows
        # Prepared rows may be sorted by time; the first ones that are read must stand for all.
        self._order = rng_for("order of scored rows", seed).permutation(len(score_rows))
        self._weight: Tensor | None = None  # (n,) in the order in which rows are read
        if score_rows.weight is not None:
            self._weight = torch.from_numpy(np.asarray(score_rows.weight)[self._order]).double()
        self._losses: dict[str, Tensor] = {}

    @torch.inference_mode()
    def evaluate(self, architecture: Architecture, rivals: Sequence[Architecture] = ()) -> Score:
        """Score one architecture.

        Args:
            architecture: of the supernet's space.
            rivals: the best that were scored on all rows, the best first; fewer than `early_stop` stop nothing.
        """
        rival = self._rival_losses(rivals)
        logits, label = self._read(architecture, rival)
        weight = None if self._weight is None else self._weight[: len(logits)]
        metrics, losses = measure(logits, label, weight), log_losses(logits, label)
        log_loss, error, stopped = metrics.log_loss, metrics.standard_error, False
        if metrics.rows < len(self._score_rows):
            assert rival is not None
            (log_loss, error), stopped = estimate(losses, rival, self._weight), True
        elif self.early_stop:
            self._losses[architecture.key] = losses
        return Score(log_loss=log_loss, auc=metrics.auc, standard_error=error, rows=metrics.rows, stopped=stopped)

    def _rival_losses(self, rivals: Sequence[Architecture]) -> Tensor | None:
        """Losses `(n,)` of the rival that sets the bar.

        The losses of the best are kept. A process that does not have them computes them again, with the same result; so
        does a thread if another thread, which shares the evaluator, has dropped them meanwhile.
        """
        rivals = rivals[: self.early_stop]
        best = {rival.key for rival in rivals}
        kept = self._losses = {key: losses for key, losses in [*self._losses.items()] if key in best}
        if not rivals or len(rivals) < self.early_stop:
            return None
        last = rivals[-1]
        if last.key not in kept:
            kept[last.key] = log_losses(*self._read(last, None))
        return kept[last.key]

    def _read(self, architecture: Architecture, rival: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits and labels of all rows, or of the first that show that the architecture is worse than the rival."""
        weight, bias = self._fitted_head(architecture)
        logits, label = torch.empty(0), torch.empty(0)
        # In the same pieces whether there is a rival or not: a product's rounding depends on the number of rows.
        for stop in looks(len(self._order)):
            pieces = [(logits, label)]
            for start in range(len(logits), stop, _BATCH):
                rows = self._score_rows.batch(self._order[start : min(start + _BATCH, stop)])
                features, labels, *_ = self._batch_features(architecture, rows)
                pieces.append((torch.addmv(bias, features, weight).cpu(), labels.cpu()))
            logits, label = (torch.cat(parts) for parts in zip(*pieces, strict=True))
            if rival is None or stop == len(rival):
                continue
            if surely_worse(log_losses(logits, label), label, rival, self._weight):
                break
        return logits, label

    def _fitted_head(self, architecture: Architecture) -> tuple[Tensor, Tensor]:
        weight, bias = self.supernet.head_weight(architecture), self.supernet.head.bias
        if self.head.rows == 0:
            return weight, bias
        features, label, *given = self._features(architecture, self._head_rows)
        row_weight = given[0] if given else None
        if isinstance(self.head, RidgeHead):
            return ridge_head(features, label, weight, bias, strength=self.head.strength, row_weight=row_weight)
        generator = torch.Generator().manual_seed((int(architecture.key, 16) ^ self.seed) % 2**63)
        return adagrad_head(features, label, weight, bias, self.head, generator, row_weight=row_weight)

    def _features(self, architecture: Architecture, rows: Rows) -> tuple[Tensor, ...]:
        """The `_batch_features` of all rows. Each batch is written to its place, so that there is no second copy."""
        whole: tuple[Tensor, ...] = ()
        start = 0
        for batch in EvaluationBatches(rows, _BATCH):
            parts = self._batch_features(architecture, batch)
            whole = whole or tuple(part.new_empty(len(rows), *part.shape[1:]) for part in parts)
            stop = start + len(parts[0])
            for tensor, part in zip(whole, parts, strict=True):
                tensor[start:stop] = part
            start = stop
        return whole

    def _batch_features(self, architecture: Architecture, batch: Batch) -> tuple[Tensor, ...]:
        """Features `(B, K)` and label, and weight if the rows have weights."""
        dense, ids, *targets = batch
        weight = self.supernet.embedding.weight
        with autocast(self.precision, weight.device):
            features = self.supernet.features(dense.to(weight), ids.to(weight.device), architecture)
        return features.to(weight.dtype), *(target.to(weight.device) for target in targets)
