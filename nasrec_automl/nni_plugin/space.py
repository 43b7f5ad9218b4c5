"""NASRec's space as an NNI model space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin.mutables import from_sample, mutables
from nasrec_automl.nni_plugin.nas import FlopsResult, ModelSpace, MutableModule, MutableShape, profiler_leaf_module
from nasrec_automl.nni_plugin.profilers import cost_expressions
from nasrec_automl.nni_plugin.supermodule import SharedNetwork
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_search_space
from nasrec_automl.training.seed import seeded


@profiler_leaf_module
class ChoiceNetwork(MutableModule):
    """Holds every mutable of the space; frozen, it is the subnet of the sample.

    Until then its forward runs the architecture of all first choices, which NNI calls a dry run.
    """

    def __init__(self, space: SearchSpace, schema: FeatureSchema, layer_norm: bool, dropout: float, seed: int) -> None:
        super().__init__()
        self.space = space
        self.schema = schema
        self.layer_norm = layer_norm
        self.dropout = dropout
        self.seed = seed
        first = {}
        for mutable in mutables(space):
            self.add_mutable(mutable)
            first[mutable.label] = mutable.values[0]
        self.dry_run = Subnet(space.from_params(first), schema, layer_norm=layer_norm, dropout=dropout)

    @classmethod
    def create_fixed_module(
        cls,
        sample: dict[str, Any],
        space: SearchSpace,
        schema: FeatureSchema,
        layer_norm: bool,
        dropout: float,
        seed: int,
    ) -> nn.Module:
        """Make the subnet of a sample; NNI calls it inside `model_context`."""
        with seeded(seed):
            return Subnet(from_sample(space, sample), schema, layer_norm=layer_norm, dropout=dropout)

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Make the subnet of a sample, with new weights."""
        return self.create_fixed_module(sample, self.space, self.schema, self.layer_norm, self.dropout, self.seed)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits `(B,)` of the architecture of all first choices."""
        logits: Tensor = self.dry_run(dense, ids)
        return logits

    # NNI's profilers call these two.

    def _shape_forward(self, dense: Any, ids: Any) -> MutableShape:
        return MutableShape(dense.real_shape[0])

    def _count_flops(self, inputs: Any, outputs: Any) -> FlopsResult:
        return cost_expressions(self.space, self.schema, list(self.mutables), layer_norm=self.layer_norm)


class NasRecSpace(ModelSpace):
    """The block-wise space as an NNI `ModelSpace`.

    Args:
        space: name of a space, path of its YAML file, or the space.
        schema: the features.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        seed: of the start values.
    """

    def __init__(
        self,
        space: str | Path | SearchSpace,
        schema: FeatureSchema,
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.search_space = space if isinstance(space, SearchSpace) else load_search_space(space)
        self.network = ChoiceNetwork(self.search_space, schema, layer_norm, dropout, seed)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)` int64.

        Returns:
            `(B,)`.
        """
        logits: Tensor = self.network(dense, ids)
        return logits

    def extra_oneshot_hooks(self, strategy: Any) -> list[Any]:
        """Tell NNI's one-shot strategies to replace the choices by the weight-sharing network."""
        return [_share]


def _share(module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
    if not isinstance(module, ChoiceNetwork):
        return False
    return SharedNetwork(module.space, module.schema, module.layer_norm, module.dropout, module.seed)
