"""Scoring architectures: with the supernet's weights, and by training from scratch."""

from nasrec_automl.evaluation.evaluator import Score, WeightSharingEvaluator

__all__ = ["Score", "WeightSharingEvaluator"]
