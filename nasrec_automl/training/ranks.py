"""Lightning's DDP for a supernet: processes of one machine, which reduce what a step trained and no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from nasrec_automl.training.reduction import average_gradients

_PATIENCE = timedelta(hours=1)
"""How long a process waits for the others, at the start and at each step: process 0 may write a large checkpoint."""


@dataclass(frozen=True, slots=True)
class Rank:
    """This process's place among those that train together.

    Attributes:
        number: from 0; process 0 alone writes and reports.
        count: processes in all.
        port: of process 0, where the others join; unused if it is alone.
    """

    number: int = 0
    count: int = 1
    port: int = 0

    def trainer_options(self) -> dict[str, Any]:
        """What a Lightning trainer needs to be this process; nothing if it is alone."""
        if self.count == 1:
            return {}
        return {"devices": self.count, "strategy": SparseDDP(timeout=_PATIENCE), "plugins": [_OneMachine(self)]}


class SparseDDP(DDPStrategy):
    """DDP that averages the gradients that a step made, sparse ones as rows.

    Every process must start from the same weights and train the same path at a step.
    """

    def configure_ddp(self) -> None:
        """Leave the module without torch's wrapper."""

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average before clipping, which is by the whole batch's norm."""
        assert self.lightning_module is not None
        average_gradients(self.lightning_module.parameters())


class _OneMachine(ClusterEnvironment):
    """Tells Lightning which process this is; we start the others ourselves."""

    def __init__(self, rank: Rank) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        return self._rank.port

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._rank.count

    def set_world_size(self, size: int) -> None:
        """It is set already."""

    def global_rank(self) -> int:
        return self._rank.number

    def set_global_rank(self, rank: int) -> None:
        """It is set already."""

    def local_rank(self) -> int:
        return self._rank.number

    def node_rank(self) -> int:
        return 0
