"""The cores of a machine, divided among the trials that it runs at once."""

from __future__ import annotations

import os

from nasrec_automl.config_experiment import ExperimentConfig


def share_cores(config: ExperimentConfig) -> None:
    """Let torch use this trial's part of the cores, in a stage whose trials run side by side.

    Without it each trial would take all of them, and they would hold one another up. `OMP_NUM_THREADS` has the last
    word.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // trials_of_a_machine(config)))


def trials_of_a_machine(config: ExperimentConfig) -> int:
    """How many trials a machine runs at once. In a stage that is one trial as many processes share its trainings."""
    return -(-config.concurrency // max(1, len(config.machines)))
