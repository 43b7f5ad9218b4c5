"""The weight-sharing evaluator: scores an architecture with the supernet's weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.config import HeadConfig, RidgeHead
from nasrec_automl.data.batches import EvaluationBatches
from nasrec_automl.data.rows import Rows
from nasrec_automl.evaluation.adagrad import adagrad_head
from nasrec_automl.evaluation.ridge import ridge_head
from nasrec_automl.network import Supernet
from nasrec_automl.training.metrics import measure

_BATCH = 8192


@dataclass(frozen=True, slots=True)
class Score:
    """What the evaluator found out about an architecture.

    Attributes:
        log_loss: in nats, on the scored rows. Smaller is better.
        auc: on the same rows.
        standard_error: of the log loss.
        rows: how many rows were scored.
    """

    log_loss: float
    auc: float
    standard_error: float
    rows: int


class WeightSharingEvaluator:
    """Scores architectures on the same rows: fit the head on rows that the supernet did not see, then validate.

    A score is a function of supernet, architecture and rows. With Adagrad it is one of the seed too: the order of the
    head's rows derives from it and the architecture's key.

    Args:
        supernet: trained.
        head_rows: rows for fitting the head.
        score_rows: rows to score, disjoint from the others.
        head: how to fit.
        seed: of the order in which Adagrad reads the head's rows.
    """

    def __init__(self, supernet: Supernet, *, head_rows: Rows, score_rows: Rows, head: HeadConfig, seed: int) -> None:
        self.supernet = supernet.eval()
        self.head = head
        self.seed = seed
        self._head_rows = head_rows
        self._score_rows = score_rows

    @torch.inference_mode()
    def evaluate(self, architecture: Architecture) -> Score:
        """Score one architecture."""
        weight, bias = self._fitted_head(architecture)
        features, label = self._features(architecture, self._score_rows)
        metrics = measure(torch.addmv(bias, features, weight), label)
        return Score(
            log_loss=metrics.log_loss,
            auc=metrics.auc,
            standard_error=metrics.standard_error,
            rows=metrics.rows,
        )

    def _fitted_head(self, architecture: Architecture) -> tuple[Tensor, Tensor]:
        weight, bias = self.supernet.head_weight(architecture), self.supernet.head.bias
        if self.head.rows == 0:
            return weight, bias
        features, label = self._features(architecture, self._head_rows)
        if isinstance(self.head, RidgeHead):
            return ridge_head(features, label, weight, bias, strength=self.head.strength)
        generator = torch.Generator().manual_seed((int(architecture.key, 16) ^ self.seed) % 2**63)
        return adagrad_head(features, label, weight, bias, self.head, generator)

    def _features(self, architecture: Architecture, rows: Rows) -> tuple[Tensor, Tensor]:
        parts, labels = [], []
        for dense, ids, label in EvaluationBatches(rows, _BATCH):
            weight = self.supernet.embedding.weight
            parts.append(self.supernet.features(dense.to(weight), ids.to(weight.device), architecture))
            labels.append(label.to(parts[-1].device))
        return torch.cat(parts), torch.cat(labels)
