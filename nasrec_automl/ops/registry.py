"""Operators by the names that spaces and architectures use."""

from __future__ import annotations

from nasrec_automl.architecture import (
    ATTENTION,
    BI_INTERACTION,
    CROSS,
    DOT_PRODUCT,
    EFC,
    FC,
    FLAT_FC,
    PROJECTION,
    SIGMOID_GATING,
    SUM,
)
from nasrec_automl.ops.attention import Attention
from nasrec_automl.ops.base import DenseOp, SparseOp
from nasrec_automl.ops.bi_interaction import BiInteraction
from nasrec_automl.ops.cross import Cross
from nasrec_automl.ops.dot_product import DotProduct
from nasrec_automl.ops.efc import EmbeddingFullyConnected
from nasrec_automl.ops.fc import FullyConnected
from nasrec_automl.ops.flat_fc import FlatFullyConnected
from nasrec_automl.ops.projection import Projection
from nasrec_automl.ops.sigmoid_gating import SigmoidGating
from nasrec_automl.ops.sum import Sum

DENSE_OP_CLASSES: dict[str, type[DenseOp]] = {
    FC: FullyConnected,
    DOT_PRODUCT: DotProduct,
    SIGMOID_GATING: SigmoidGating,
    SUM: Sum,
    FLAT_FC: FlatFullyConnected,
    BI_INTERACTION: BiInteraction,
}

SPARSE_OP_CLASSES: dict[str, type[SparseOp]] = {
    EFC: EmbeddingFullyConnected,
    ATTENTION: Attention,
    CROSS: Cross,
    PROJECTION: Projection,
}
