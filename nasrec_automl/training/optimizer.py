"""Adagrad over the live part of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nasrec_automl.ops.live import drop_live_gradient, keep_live_gradients, leading, live_gradient


class RowAdagrad(torch.optim.Optimizer):
    """Adagrad that pays for what a step used: slices of weights, and rows of embedding tables.

    A parameter without a gradient costs nothing. Of a shared weight that a path used in part, the gradient is kept as
    a slice (`nasrec_automl.ops.live`) and that slice alone is updated and decayed. Torch's own Adagrad works on whole
    weights, and refuses weight decay on sparse gradients. (Duchi et al. 2011; eps stands outside the root, as in
    torch.)

    Args:
        params: parameters or groups. From now on backward passes leave slices' gradients to optimisers of this class:
            others would not see them.
        lr: learning rate.
        weight_decay: L2 decay, added to the gradient; for a sparse gradient on its rows alone.
        eps: added to the root of the sum of squares.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "eps": eps})
        for group in self.param_groups:
            keep_live_gradients(group["params"])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        super().zero_grad(set_to_none)
        for group in self.param_groups:
            for parameter in group["params"]:
                drop_live_gradient(parameter)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            settings = {name: group[name] for name in ("lr", "weight_decay", "eps")}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    step = self._step_rows if parameter.grad.is_sparse else self._step_slice
                    step(parameter, parameter.grad, **settings)
                gradient = live_gradient(parameter)
                if gradient is not None:
                    self._step_slice(parameter, gradient, **settings)
        return loss

    def _sum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "sum" not in state:
            state["sum"] = torch.zeros_like(parameter)
        total: Tensor = state["sum"]
        return total

    def _step_slice(
        self, parameter: nn.Parameter, gradient: Tensor, lr: float, weight_decay: float, eps: float
    ) -> None:
        values, total = (leading(tensor, gradient.shape) for tensor in (parameter, self._sum(parameter)))
        if weight_decay:
            gradient = gradient.add(values, alpha=weight_decay)
        total.addcmul_(gradient, gradient)
        values.addcdiv_(gradient, total.sqrt().add_(eps), value=-lr)

    def _step_rows(self, parameter: nn.Parameter, gradient: Tensor, lr: float, weight_decay: float, eps: float) -> None:
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        # Rows are unique here, so that selecting and copying back does what `index_add_` does, several times faster.
        table, sums = parameter.index_select(0, rows), self._sum(parameter)
        if weight_decay:
            values = values.add(table, alpha=weight_decay)
        total = sums.index_select(0, rows).addcmul_(values, values)
        sums.index_copy_(0, rows, total)
        parameter.index_copy_(0, rows, table.addcdiv_(values, total.sqrt_().add_(eps), value=-lr))
