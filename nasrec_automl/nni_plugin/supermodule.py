"""The supernet as one NNI supermodule that stands for all mutables of the space, and a subclass that samples paths."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from nasrec_automl.architecture import Path
from nasrec_automl.network import Supernet
from nasrec_automl.nni_plugin.mutables import from_sample, mutables
from nasrec_automl.nni_plugin.nas import BaseSuperNetModule
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.randomness import rng_for
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace


class SupernetModule(BaseSuperNetModule):
    """Holds the supernet and the mutables of its space. Frozen, it becomes a sample's subnet with the shared weights.

    Args:
        space: the space.
        schema: the features.
        options: how the supernet begins.
    """

    def __init__(self, space: SearchSpace, schema: FeatureSchema, options: NetworkOptions) -> None:
        super().__init__()
        for mutable in mutables(space):
            self.add_mutable(mutable)
        self.supernet = options.begin(partial(Supernet, space, schema))

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Copy the sample's slices into a stand-alone network of the same dropout."""
        supernet = self.supernet
        return supernet.extract(from_sample(supernet.space, sample), dropout=supernet.dropout.p)


class SharedNetwork(SupernetModule):
    """Runs the supernet on its present path.

    NNI's strategies call `resample` before a step; `NasRecOneShot` sets `path` itself.
    """

    def __init__(self, space: SearchSpace, schema: FeatureSchema, options: NetworkOptions) -> None:
        super().__init__(space, schema, options)
        self.rng = rng_for("resampled architectures", options.seed)
        self.path: Path = space.random(self.rng).path

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits `(B,)` of the present path."""
        logits: Tensor = self.supernet(dense, ids, self.path)
        return logits

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Draw an architecture by the method's own distribution and take it as the path."""
        space = self.supernet.space
        known = {label: memo[label] for label in space.labels if label in memo}
        architecture = space.from_params({**space.random(self.rng).params, **known})
        self.path = architecture.path
        return dict(architecture.params)

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Draw an architecture; the strategy decides which one is good."""
        return self.resample(memo)
