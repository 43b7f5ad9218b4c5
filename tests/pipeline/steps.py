"""Which steps of trainings are taken."""

from __future__ import annotations

from typing import Any

import pytest

from nasrec_automl.training.module import ClickModule


def watch_steps(monkeypatch: pytest.MonkeyPatch, module: type[Any] = ClickModule) -> list[int]:
    """Step numbers of all trainings of this process from here on; each training that begins anew begins with 0."""
    steps, step = [], module.training_step

    def counted(self: Any, *arguments: object) -> object:
        steps.append(self.global_step)
        return step(self, *arguments)

    monkeypatch.setattr(module, "training_step", counted)
    return steps
