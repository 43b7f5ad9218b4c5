"""The job's precision: weights are always float32; what is multiplied may be bfloat16."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

LIGHTNING: dict[Precision, Literal["32-true", "bf16-mixed"]] = {"float32": "32-true", "bfloat16": "bf16-mixed"}
"""Lightning's names."""


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The mixed precision that Lightning puts around a training step, for scores, which run without Lightning."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
