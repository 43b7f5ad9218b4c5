"""Operators of a block, one a file. Each is elastic: a leading slice of its weights is the smaller operator.

Inside a network, dense tensors are `(B, d)` and sparse tensors are `(B, E, N)`, token axis last: most operators mix
tokens, and so read them without a transposition.
"""

from nasrec_automl.ops.base import BlockInputs, DenseOp, OpShape, SparseOp
from nasrec_automl.ops.registry import DENSE_OP_CLASSES, SPARSE_OP_CLASSES

__all__ = ["DENSE_OP_CLASSES", "SPARSE_OP_CLASSES", "BlockInputs", "DenseOp", "OpShape", "SparseOp"]
