"""The distribution over architectures that differentiable strategies learn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.architecture import ParameterValue
from nasrec_automl.space import INPUT_KEYS, SearchSpace, split_sources


class Relaxation(nn.Module):
    """One categorical distribution per label of a space, from learned logits.

    Operators, widths, mergers, left and right have a logit per choice. Inputs have a logit per connection: the logit of
    a set is the sum over its connections, and the probability of a connection is the sum over the sets that hold it. So
    the likeliest set holds the connections with positive logits: the `max_inputs` largest of them if there are more,
    the single largest if there is none.

    Args:
        space: what to choose from.
        softmax: maps logits `(C,)` to weights `(C,)` of a step; NNI's strategies differ in it.
        seed: of the start values, which are close to zero.
    """

    def __init__(self, space: SearchSpace, softmax: nn.Module, seed: int) -> None:
        super().__init__()
        self.space = space
        self.softmax = softmax
        self.parts = nn.ParameterDict()
        generator = torch.Generator().manual_seed(seed)
        for label, choices in space.labels.items():
            members = _members(label, choices)
            if members is not None:
                self.register_buffer(_buffer(label), members, persistent=False)
            size = len(choices) if members is None else members.shape[1]
            self.parts[label] = nn.Parameter(1e-3 * torch.randn(size, generator=generator))

    def logits(self, label: str) -> Tensor:
        """Logits of a label's choices, `(C,)`."""
        part: Tensor = self.parts[label]
        members = getattr(self, _buffer(label), None)
        return part if members is None else members @ part

    def draw(self) -> dict[str, Tensor]:
        """Draw the weights of a step: one for each choice of a label; for inputs, one for each connection."""
        drawn: dict[str, Tensor] = {}
        for label in self.space.labels:
            weights = self.softmax(self.logits(label))
            members = getattr(self, _buffer(label), None)
            drawn[label] = weights if members is None else weights @ members
        return drawn

    @torch.no_grad()
    def likeliest(self) -> dict[str, ParameterValue]:
        """The parameters of the architecture in which every label has its likeliest choice."""
        return {label: choices[int(self.logits(label).argmax())] for label, choices in self.space.labels.items()}

    @torch.no_grad()
    def probabilities(self) -> dict[str, dict[ParameterValue, float]]:
        """The probability of every choice by label."""
        return {
            label: dict(zip(choices, self.logits(label).softmax(-1).tolist(), strict=True))
            for label, choices in self.space.labels.items()
        }


class SampledOneHot(nn.Module):
    """One choice drawn from the softmax, with the gradients of ProxylessNAS (arXiv 1812.00332, eq. 4).

    Every choice has a gate, and every gate, not only the drawn one, gets the gradient of the loss with respect to it.
    The gates' gradients reach the logits through the softmax.
    """

    def forward(self, logits: Tensor) -> Tensor:
        """Draw a one-hot vector `(C,)` from logits `(C,)`."""
        weights = logits.softmax(-1)
        drawn = F.one_hot(torch.multinomial(weights, 1)[0], len(weights)).to(weights.dtype)
        return drawn + (weights - weights.detach())


def block_weights(drawn: Mapping[str, Tensor], space: SearchSpace, number: int) -> dict[str, Tensor]:
    """The weights that `draw` gave for one block, by key. A key with a single value has the weight 1."""
    made = {}
    for key, choices in space.choices(number).items():
        weights = drawn.get(f"block{number}/{key}")
        made[key] = torch.ones(len(choices)) if weights is None else weights
    return made


def _members(label: str, choices: tuple[ParameterValue, ...]) -> Tensor | None:
    """Which connections each set of inputs holds, `(C, sources)`; None for other labels."""
    if label.split("/")[1] not in INPUT_KEYS:
        return None
    sets = [split_sources(str(choice)) for choice in choices]
    members = torch.zeros(len(sets), 1 + max(max(sources) for sources in sets))
    for row, sources in enumerate(sets):
        members[row, list(sources)] = 1
    return members


def _buffer(label: str) -> str:
    return f"members_{label}"
