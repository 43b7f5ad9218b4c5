"""The network that NNI's differentiable strategies train: every choice at once, weighted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.network.block import Block, Source
from nasrec_automl.network.plan import merged_name, source_name
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.relaxation import Relaxation, block_weights
from nasrec_automl.nni_plugin.supermodule import SupernetModule
from nasrec_automl.ops import BlockInputs
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace


class DifferentiableNetwork(SupernetModule):
    """A supernet that runs all its choices and adds them with the weights of a `Relaxation`.

    For NNI's DARTS, GumbelDARTS and Proxyless. If all weights are 0 or 1, its logits are the supernet's for that
    architecture: an operator runs once per width, and each output is padded with zeros. It is slow: a step runs every
    operator at every width on every source, where a sampled path runs one.

    Args:
        space: the space.
        schema: the features.
        options: how the supernet begins.
        softmax: maps the logits of a label to the weights of a step.
    """

    def __init__(
        self,
        space: SearchSpace,
        schema: FeatureSchema,
        options: NetworkOptions,
        softmax: nn.Module,
    ) -> None:
        super().__init__(space, schema, options)
        self.relaxation = Relaxation(space, softmax, options.seed)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits `(B,)` of the weighted sum of all choices.

        Raises:
            DataError: as a `Network` does.
        """
        self.supernet.check(dense, ids)
        supernet, drawn = self.supernet, self.relaxation.draw()
        raw = supernet.dropout(supernet.embedding(ids))
        sources = [Source(dense, ((source_name(0), raw),))]
        for number in range(1, supernet.space.blocks + 1):
            weights = block_weights(drawn, supernet.space, number)
            block = cast(Block, supernet.blocks[str(number)])
            sources.append(_mixed_block(block, sources, supernet.space, weights))
        logits: Tensor = supernet.head(sources[-1])
        return logits

    def arch_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that NNI's architecture optimiser trains, and the optimiser of the weights does not."""
        return self.relaxation.parameters()

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Do nothing: each forward pass draws its own weights."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """The likeliest choice of every label."""
        return {label: value for label, value in self.relaxation.likeliest().items() if label not in memo}

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """The probability of every choice, for NNI's logs."""
        return {label: found for label, found in self.relaxation.probabilities().items() if label not in memo}


def _mixed_block(block: Block, sources: Sequence[Source], space: SearchSpace, weights: Mapping[str, Tensor]) -> Source:
    """Run every choice of a block; `weights` are by key."""
    denses = [source.dense for source in sources if source.dense is not None]  # every one is there
    tokens_read = [
        (name, weight * x)
        for source, weight in zip(sources, weights["sparse_inputs"], strict=True)
        for name, x in source.tokens
    ]
    inputs = BlockInputs(
        dense=[
            (source_name(s), weight * x)
            for s, (x, weight) in enumerate(zip(denses, weights["dense_inputs"], strict=True))
        ],
        tokens=tokens_read,
        left=[_mix(denses[: len(weights["left"])], weights["left"])],  # `s0` alone where no operator reads them
        right=[_mix(denses[: len(weights["right"])], weights["right"])],
    )

    def over_widths(run: Callable[[int], Tensor]) -> Tensor:
        return _mix([run(d) for d in space.dense_dims], weights["dense_dim"])

    def over_counts(run: Callable[[int], Tensor]) -> Tensor:
        return _mix([run(n) for n in space.sparse_dims], weights["sparse_dim"])

    dense = _mix(
        [over_widths(partial(block.dense_ops[op], inputs)) for op in space.dense_ops],
        weights["dense_op"],
    )
    own = _mix(
        [over_counts(partial(block.sparse_ops[op], tokens_read)) for op in space.sparse_ops],
        weights["sparse_op"],
    )
    tokens = [(source_name(block.number), own)]
    if block.dense_to_sparse is not None:
        on = weights["dense_to_sparse"][space.dense_to_sparse.index(True)]
        tokens.append((merged_name(block.number), on * block.dense_to_sparse(dense)))
    if block.fm is not None:
        on = weights["fm"][space.fm.index(True)]
        dense = dense + on * over_widths(partial(block.fm, own))
    return Source(block.dropout(dense), tuple(tokens))


def _mix(tensors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """The weighted sum of `(..., w)` tensors, padded with zeros to the widest."""
    width = max(tensor.shape[-1] for tensor in tensors)
    total = tensors[0].new_zeros(*tensors[0].shape[:-1], width)
    for tensor, weight in zip(tensors, weights, strict=True):
        total = total + F.pad(weight * tensor, (0, width - tensor.shape[-1]))
    return total
