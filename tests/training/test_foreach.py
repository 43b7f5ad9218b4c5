"""Lists of tensors at once, against one tensor after another."""

import torch

from nasrec_automl.training.foreach import copy_each, joint_norm, lerp_each, scale_each


def lists() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(0)
    shapes = [(3,), (2, 4), (0,), ()]
    return [torch.randn(shape) for shape in shapes], [torch.randn(shape) for shape in shapes]


def test_each_tensor_is_treated_as_by_itself() -> None:
    for change, alone in (
        (lambda a, b: copy_each(a, b), lambda a, b: b),
        (lambda a, b: lerp_each(a, b, 0.3), lambda a, b: a.lerp(b, 0.3)),
        (lambda a, b: scale_each(a, torch.tensor(0.3)), lambda a, b: a * 0.3),
    ):
        tensors, others = lists()
        expected = [alone(one, other).clone() for one, other in zip(tensors, others, strict=True)]
        change(tensors, others)
        torch.testing.assert_close(tensors, expected)


def test_the_norm_is_of_all_numbers_together() -> None:
    tensors, _ = lists()
    torch.testing.assert_close(joint_norm(tensors), torch.cat([one.flatten() for one in tensors]).norm())
