"""Optimisers that pay for what a step used: rows of embedding tables and, all but Adam, used slices of shared weights.

Where a path uses a shared weight in part, RowAdagrad and RowSGD have the gradient kept as a slice
(`nasrec_automl.ops.slices`), and update and decay that slice alone. From the moment that they are made, backward passes
leave such gradients to the optimisers of this file; others would not see them before `end_slice_gradients`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import torch
from torch import Tensor, nn

from nasrec_automl.errors import JobError
from nasrec_automl.hyper_space import OptimizerName
from nasrec_automl.ops.slices import drop_slice_gradient, keep_slice_gradients, leading, only_gradient

Params = Iterable[nn.Parameter] | Iterable[dict[str, Any]]


def make_optimizer(
    name: OptimizerName,
    params: Params,
    *,
    lr: float,
    weight_decay: float,
    embedding_decay: float | None = None,
    eps: float,
) -> torch.optim.Optimizer:
    """Make the optimiser of that name; `eps` is Adagrad's.

    Raises:
        JobError: there is none of that name.
    """
    if name == "adagrad":
        return RowAdagrad(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay, eps=eps)
    if name == "adam":
        return RowAdam(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay)
    if name == "sgd":
        return RowSGD(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay)
    raise JobError(f"optimizer: no optimizer {name!r}; there are {', '.join(get_args(OptimizerName))}")


class RowOptimizer(torch.optim.Optimizer, ABC):
    """What the optimisers share: which values a step moves, and with which part of the state.

    A parameter without a gradient costs nothing. Of a sparse gradient, the rows of the batch alone are read, decayed
    and written, with their rows of the state: a row that is not in the batch stays as it is. Torch's own optimisers
    refuse weight decay on sparse gradients.

    `step` calls `_new_state` at a parameter's first gradient, then `_update` once a step.

    Args:
        params: parameters or groups.
        lr: learning rate.
        weight_decay: L2 decay, added to the gradient.
        embedding_decay: the same of a sparse gradient's rows; `weight_decay` where it is none.
        options: further settings of the optimiser, by name.
    """

    def __init__(
        self, params: Params, *, lr: float, weight_decay: float, embedding_decay: float | None, **options: Any
    ) -> None:
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "embedding_decay": embedding_decay, **options}
        )

    @abstractmethod
    def _new_state(self, parameter: nn.Parameter, *, rows: bool) -> dict[str, Tensor]:
        """State to start with; of a table (`rows`) every tensor has the table's rows."""

    @abstractmethod
    def _update(
        self, values: Tensor, gradient: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> None:
        """Move values, and write into their state; decay is already in the gradient."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = only_gradient(parameter)
                if gradient is not None:
                    step = self._step_rows if gradient.is_sparse else self._step_slice
                    step(parameter, gradient, group)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        super().zero_grad(set_to_none)
        for group in self.param_groups:
            for parameter in group["params"]:
                drop_slice_gradient(parameter)

    def _state_of(self, parameter: nn.Parameter, *, rows: bool) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state.update(self._new_state(parameter, rows=rows))
        return state

    def _step_slice(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(parameter, rows=False)
        values = leading(parameter, gradient.shape)
        if group["weight_decay"]:
            gradient = gradient.add(values, alpha=group["weight_decay"])
        used = {name: leading(t, gradient.shape) if t.dim() else t for name, t in state.items()}
        self._update(values, gradient, used, group)

    def _step_rows(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        gradient = gradient.coalesce()
        rows, values = gradient.indices()[0], gradient.values()
        # Rows are unique here, so that selecting and copying back does what `index_add_` does, several times faster.
        state = self._state_of(parameter, rows=True)
        table = parameter.index_select(0, rows)
        decay = group["embedding_decay"]
        if decay is None:
            decay = group["weight_decay"]
        if decay:
            values = values.add(table, alpha=decay)
        used = {name: tensor.index_select(0, rows) for name, tensor in state.items()}
        self._update(table, values, used, group)
        for name, tensor in used.items():
            state[name].index_copy_(0, rows, tensor)
        parameter.index_copy_(0, rows, table)


class RowAdagrad(RowOptimizer):
    """Adagrad (Duchi et al. 2011; eps stands outside the root, as in torch).

    Of a shared weight that a path used in part, that slice alone is updated and decayed. Torch's own Adagrad works on
    whole weights. In a loop of one's own call this optimiser's `zero_grad`: that of a module around the network would
    leave the gradients of slices, which would add up from step to step.

    Args:
        params: parameters or groups.
        lr: learning rate.
        weight_decay: as in `RowOptimizer`.
        embedding_decay: as in `RowOptimizer`.
        eps: added to the root of the sum of squares.
    """

    def __init__(
        self,
        params: Params,
        *,
        lr: float,
        weight_decay: float = 0.0,
        embedding_decay: float | None = None,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay, eps=eps)
        for group in self.param_groups:
            keep_slice_gradients(group["params"])

    def _new_state(self, parameter: nn.Parameter, *, rows: bool) -> dict[str, Tensor]:
        return {"sum": torch.zeros_like(parameter)}

    def _update(
        self, values: Tensor, gradient: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> None:
        total = state["sum"].addcmul_(gradient, gradient)
        values.addcdiv_(gradient, total.sqrt().add_(settings["eps"]), value=-settings["lr"])


_BETAS = (0.9, 0.999)
"""Decay of Adam's two moments, as everywhere."""


class RowAdam(RowOptimizer):
    """Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) that counts the steps of every table row by itself.

    A row's moments decay, and its bias is corrected, by the steps that had the row in their batch: to the row, the
    training consists of those. `torch.optim.SparseAdam` corrects by the number of all steps, which makes the first
    step of a row that comes late 3.2 times as long as the learning rate. For the rows of every batch, and for other
    weights, it is Adam.

    Of a shared weight that a path used in part, the whole is updated and decayed, as by torch's Adam: its moments move
    the rest too. Only a weight that the path did not use at all costs nothing and stays.

    Args:
        params: parameters or groups.
        lr: learning rate.
        weight_decay: as in `RowOptimizer`.
        embedding_decay: as in `RowOptimizer`.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        params: Params,
        *,
        lr: float,
        weight_decay: float = 0.0,
        embedding_decay: float | None = None,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay, eps=eps)

    def _new_state(self, parameter: nn.Parameter, *, rows: bool) -> dict[str, Tensor]:
        return {
            "mean": torch.zeros_like(parameter),
            "square": torch.zeros_like(parameter),
            "steps": parameter.new_zeros(len(parameter), 1) if rows else parameter.new_zeros(()),
        }

    def _update(
        self, values: Tensor, gradient: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> None:
        first, second = _BETAS
        steps = state["steps"].add_(1)
        mean = state["mean"].lerp_(gradient, 1 - first)
        square = state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (square / (1 - second**steps)).sqrt_().add_(settings["eps"])
        values.addcdiv_(mean / (1 - first**steps), root, value=-settings["lr"])


class RowSGD(RowOptimizer):
    """Stochastic gradient descent without momentum, which would have to move every row of a table at every step.

    Of a shared weight that a path used in part, that slice alone is updated and decayed. In a loop of one's own call
    this optimiser's `zero_grad`, as with `RowAdagrad`.

    Args:
        params: parameters or groups.
        lr: learning rate.
        weight_decay: as in `RowOptimizer`.
        embedding_decay: as in `RowOptimizer`.
    """

    def __init__(
        self, params: Params, *, lr: float, weight_decay: float = 0.0, embedding_decay: float | None = None
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, embedding_decay=embedding_decay)
        for group in self.param_groups:
            keep_slice_gradients(group["params"])

    def _new_state(self, parameter: nn.Parameter, *, rows: bool) -> dict[str, Tensor]:
        return {}

    def _update(
        self, values: Tensor, gradient: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Any]
    ) -> None:
        values.add_(gradient, alpha=-settings["lr"])
