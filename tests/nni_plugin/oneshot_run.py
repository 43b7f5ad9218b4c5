"""A one-shot experiment in a process of its own: `python oneshot_run.py FOLDER [STEP]`, resumed where it can be.

At the step it waits to be killed.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from nasrec_automl.nni_plugin import NasRecOneShot, NasRecSpace
from nasrec_automl.nni_plugin.nas import NasExperiment, NasExperimentConfig
from nasrec_automl.testing.examples import tiny_schema, tiny_space
from nasrec_automl.testing.pytest_oneshot import make_evaluator

STEPS = 24


class Steps(Callback):
    """Prints every step, and goes no further than one."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.first: int | None = None

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        self.first = trainer.global_step if self.first is None else self.first
        print("step", trainer.global_step, flush=True)
        if trainer.global_step == self.last:
            time.sleep(600)


def main(folder: str, last: str = "-1") -> None:
    steps = Steps(int(last))
    keeper = ModelCheckpoint(every_n_train_steps=2, save_top_k=-1)
    # Without `dirpath` the folder is the trainer's own.
    evaluator = make_evaluator(steps=STEPS, callbacks=[steps, keeper], default_root_dir=folder)
    space = NasRecSpace(tiny_space(), tiny_schema())
    strategy = NasRecOneShot(seed=3, warm_up_steps=6, export_candidates=6)
    config = NasExperimentConfig.default(space, evaluator, strategy)
    config.experiment_working_directory = Path(folder) / "nni"
    experiment = NasExperiment(space, evaluator, strategy, config, id="broken")
    experiment.run_or_resume()
    experiment.stop()
    digest = hashlib.sha256()
    for tensor in strategy.supernet.network.supernet.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    print("first", steps.first)
    print("weights", digest.hexdigest())
    print("top", experiment.export_top_models(2, formatter="dict"))


if __name__ == "__main__":
    main(*sys.argv[1:])
