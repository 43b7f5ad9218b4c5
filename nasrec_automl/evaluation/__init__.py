"""Scoring architectures: with the supernet's weights, and by training from scratch."""

from nasrec_automl.evaluation.evaluator import WeightSharingEvaluator
from nasrec_automl.score import Score

__all__ = ["Score", "WeightSharingEvaluator"]
