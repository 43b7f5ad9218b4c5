"""What scores are compared with: the run's trainings from scratch, or others with the unbalanced operator."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.architecture import DOT_PRODUCT, Architecture
from nasrec_automl.pipeline.rank import MEASURED
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.truth import train_truth
from tests.benchmarks.ablations.supernets import derived, folder
from tests.benchmarks.ablations.unbalanced import unbalanced
from tests.benchmarks.ablations.variants import UNBALANCED


def unbalanced_truth(
    run: RunFolder,
    architectures: Sequence[Architecture],
    losses: NDArray[np.float64],
    *,
    on_training: Callable[[int], None],
) -> NDArray[np.float64]:
    """Log losses from scratch with the unbalanced operator, as far as a network has it.

    Args:
        run: whose `rank` is done.
        architectures: that it trained.
        losses: what it found, `(n, seeds)`; they stand for the architectures without a Dot-Product.
        on_training: told how many trainings have ended.

    Returns:
        `(n, seeds)`; NaN where a training diverged or failed too often.
    """
    with_it = [
        number
        for number, architecture in enumerate(architectures)
        if any(
            live.dense and block.dense_op == DOT_PRODUCT
            for block, live in zip(architecture.blocks, architecture.live, strict=True)
        )
    ]
    if not with_it:
        return losses
    own = derived(run, folder(run) / UNBALANCED / "truth")
    own.path.mkdir(parents=True, exist_ok=True)
    found = losses.copy()
    with unbalanced():
        found[with_it] = train_truth(
            own,
            "rank",
            [architectures[number] for number in with_it],
            losses.shape[1],
            MEASURED,
            folder=own.path / "checkpoints",
            on_progress=lambda ended, words: None if words else on_training(ended),
        )
    return found
