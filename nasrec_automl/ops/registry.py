"""Operators by the names that spaces and architectures use."""

from __future__ import annotations

from nasrec_automl.architecture import ATTENTION, CROSS, DOT_PRODUCT, EFC, FC, SIGMOID_GATING, SUM
from nasrec_automl.ops.attention import Attention
from nasrec_automl.ops.base import DenseOp, SparseOp
from nasrec_automl.ops.cross import Cross
from nasrec_automl.ops.dot_product import DotProduct
from nasrec_automl.ops.efc import EmbeddingFullyConnected
from nasrec_automl.ops.fc import FullyConnected
from nasrec_automl.ops.sigmoid_gating import SigmoidGating
from nasrec_automl.ops.sum import Sum

DENSE_OP_CLASSES: dict[str, type[DenseOp]] = {
    FC: FullyConnected,
    DOT_PRODUCT: DotProduct,
    SIGMOID_GATING: SigmoidGating,
    SUM: Sum,
}

SPARSE_OP_CLASSES: dict[str, type[SparseOp]] = {EFC: EmbeddingFullyConnected, ATTENTION: Attention, CROSS: Cross}
