from typing import Any

import torch
from torch import Tensor

from nasrec_automl.ops.autograd import apply


class Scaled(torch.autograd.Function):
    """A product whose gradient is told from autograd's own by its sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float, names: tuple[str, ...]) -> Tensor:
        ctx.factor = factor * len(names)
        return x.mul(ctx.factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return -gradient * ctx.factor, None, None


def test_the_functions_own_backward_pass_runs() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    out = apply(Scaled, x, 3.0, ("a", "b"))
    assert torch.equal(out, torch.tensor([6.0, 12.0]))
    assert torch.equal(torch.autograd.grad(out.sum(), x)[0], torch.tensor([-6.0, -6.0]))
