"""NNI's ENAS on Lightning 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nasrec_automl.nni_plugin.nas import ENAS


class TaggedBatches:
    """The batches of training and then those of validation, each beside the name of its loader.

    Args:
        train: batches that train the shared weights.
        val: batches whose log loss, with its sign turned, is the controller's reward.
    """

    def __init__(self, train: Any, val: Any) -> None:
        self.loaders = {"train": train, "val": val}

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders.values())

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        for name, loader in self.loaders.items():
            for batch in loader:
                yield batch, name


class NasRecENAS(ENAS):
    """NNI's ENAS, with batches that tell it whether they are for training or for validation.

    NNI expects `(batch, number, loader)`, but Lightning 2 passes only the batch to a training step. Everything else,
    the arguments included, is NNI's. Needs the extra `rl`.
    """

    def train_dataloader(
        self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]
    ) -> TaggedBatches:
        """Join the two loaders; NNI calls it once."""
        return TaggedBatches(train_dataloader_fn(), val_dataloader_fn())
