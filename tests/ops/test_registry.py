from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS
from nasrec_automl.ops import DENSE_OP_CLASSES, SPARSE_OP_CLASSES, DenseOp, SparseOp


def test_every_operator_of_an_architecture_has_a_class() -> None:
    assert tuple(DENSE_OP_CLASSES) == DENSE_OPS
    assert tuple(SPARSE_OP_CLASSES) == SPARSE_OPS
    assert all(issubclass(cls, DenseOp) for cls in DENSE_OP_CLASSES.values())
    assert all(issubclass(cls, SparseOp) for cls in SPARSE_OP_CLASSES.values())
    assert len({*DENSE_OP_CLASSES.values(), *SPARSE_OP_CLASSES.values()}) == len((*DENSE_OPS, *SPARSE_OPS))
