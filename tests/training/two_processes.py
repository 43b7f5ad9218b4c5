"""One of two processes that train a tiny supernet: `two_processes.py RANK COUNT PORT OUTPUT WEIGHTED DEVICE`."""

import sys

import torch

from nasrec_automl.data.batches import Batch, TrainingBatches
from nasrec_automl.network import Supernet
from nasrec_automl.sampling import WarmUp, path_sampler
from nasrec_automl.testing.examples import composed_schema, make_rows, tiny_space
from nasrec_automl.training.lightning import quiet, quiet_trainer
from nasrec_automl.training.module import ClickModule, TrainingOptions
from nasrec_automl.training.ranks import Rank

SPACE = tiny_space(sparse_ops=("efc", "attention", "cross"))
STEPS, BATCH = 12, 33  # two processes have 17 and 16 rows


class Exact(ClickModule):
    """Trains in float64, where no rounding hides an error or looks like one; notes the losses."""

    weighted = False

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        return self.model(dense, ids, self.warm_up.path(self.global_step))

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        dense, ids, label = (part.double() if part.is_floating_point() else part for part in batch)
        # Every row has a weight of its own, so that the two parts of a batch differ in weight.
        weight = (dense[:, 0].abs() + 0.1,) if self.weighted else ()
        loss = super().training_step((dense, ids, label, *weight), batch_idx)
        self.losses.append(loss.detach())
        return loss


def train(rank: Rank, *, weighted: bool, device: str) -> dict[str, torch.Tensor]:
    """Train, and return losses and weights."""
    schema = composed_schema()
    rows = make_rows(schema, 200)
    torch.manual_seed(0)
    supernet = Supernet(SPACE, schema)
    options = TrainingOptions(steps=STEPS, learning_rate=0.1, clip_norm=0.5, weight_decay=0.01, eps=1e-2)
    module = Exact(options, supernet.double())
    module.weighted, module.losses = weighted, []
    # Whole weights at first, then slices of them, which other gradients reach than whole ones.
    module.warm_up = WarmUp(path_sampler("single-operator", SPACE), steps=4, seed=0)
    trainer = quiet_trainer(max_steps=STEPS, device=device, callbacks=[], **rank.trainer_options())
    with quiet():
        trainer.fit(module, TrainingBatches(rows, BATCH, 0, STEPS, rank=rank.number, ranks=rank.count))
    return {"losses": torch.stack(module.losses).cpu(), **{name: t.cpu() for name, t in supernet.state_dict().items()}}


if __name__ == "__main__":
    number, count, port = (int(word) for word in sys.argv[1:4])
    rank = Rank(number, count, port)
    torch.save(train(rank, weighted=sys.argv[5] == "True", device=sys.argv[6]), sys.argv[4])
