"""Adagrad over dense and sparse gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowAdagrad(torch.optim.Optimizer):
    """Adagrad that works on the rows of the batch where a gradient is sparse, weight decay included.

    A parameter without a gradient costs nothing. Torch's own Adagrad refuses weight decay on sparse gradients.
    (Duchi et al. 2011; eps stands outside the root, as in torch.)

    Args:
        params: parameters or groups.
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

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            dense: list[Tensor] = [p for p in group["params"] if p.grad is not None and not p.grad.is_sparse]
            if dense:
                self._step_dense(dense, **_settings(group))
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, **_settings(group))
        return loss

    def _sum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "sum" not in state:
            state["sum"] = torch.zeros_like(parameter)
        total: Tensor = state["sum"]
        return total

    def _step_dense(self, parameters: list[Tensor], lr: float, weight_decay: float, eps: float) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        sums = [self._sum(p) for p in parameters]
        if weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=weight_decay))
        torch._foreach_addcmul_(sums, gradients, gradients)
        roots = torch._foreach_sqrt(sums)
        torch._foreach_add_(roots, eps)
        torch._foreach_addcdiv_(parameters, gradients, roots, value=-lr)

    def _step_rows(self, parameter: nn.Parameter, lr: float, weight_decay: float, eps: float) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        if weight_decay:
            values = values.add(parameter[rows], alpha=weight_decay)
        sums = self._sum(parameter)
        total = sums[rows].addcmul_(values, values)
        sums[rows] = total
        parameter.index_add_(0, rows, values / total.sqrt_().add_(eps), alpha=-lr)


def _settings(group: dict[str, Any]) -> dict[str, float]:
    return {name: group[name] for name in ("lr", "weight_decay", "eps")}
