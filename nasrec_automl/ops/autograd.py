"""Autograd functions of our own, called with types."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Tensor:
    """Call `function.apply`, which torch leaves without types."""
    out: Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return out
