"""NNI's NAS side: NASRec's space as an NNI model space, its supernet training as a one-shot strategy."""

from nasrec_automl.nni_plugin.enas import NasRecENAS
from nasrec_automl.nni_plugin.evaluator import ClickEvaluatorModule
from nasrec_automl.nni_plugin.evolution import OptunaEvolution
from nasrec_automl.nni_plugin.filters import budget_filter
from nasrec_automl.nni_plugin.oneshot import NasRecOneShot
from nasrec_automl.nni_plugin.space import NasRecSpace

__all__ = ["ClickEvaluatorModule", "NasRecENAS", "NasRecOneShot", "NasRecSpace", "OptunaEvolution", "budget_filter"]
