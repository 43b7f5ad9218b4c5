"""What an architecture's picture must show: the inputs that live parts read, and how much is unused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nasrec_automl.architecture import SIGMOID_GATING, TOKEN_OPS, TWO_INPUT_OPS, Architecture, Block, Live

Lane = Literal["dense", "sparse"]
LANES: tuple[Lane, Lane] = ("dense", "sparse")


@dataclass(frozen=True, slots=True)
class Edge:
    """One input of one block: an arrow of the picture.

    Attributes:
        lane: whether the dense or the sparse output of the source is read.
        source: number of the source; 0 is the raw input.
        block: number of the block that reads; one more than the last block stands for the logit.
        side: `left` or `right` of Sigmoid-Gating, else empty.
    """

    lane: Lane
    source: int
    block: int
    side: str = ""

    @property
    def name(self) -> str:
        """Such as `dense s0 -> block 2 left`."""
        return f"{self.lane} s{self.source} -> block {self.block} {self.side}".rstrip()


def live_edges(architecture: Architecture) -> list[Edge]:
    """Every input that the logit depends on, block by block.

    A block's sparse inputs count once, though its sparse and its dense operator may both read them.
    """
    edges: list[Edge] = []
    for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
        edges += _edges_into(number, block, live)
    last = len(architecture.blocks)
    return [*edges, Edge("dense", last, last + 1), Edge("sparse", last, last + 1)]


def reads_tokens_densely(block: Block, live: Live) -> bool:
    """Whether the block's dense operator reads its sparse inputs."""
    return live.dense and block.dense_op in TOKEN_OPS


def unused_parts(architecture: Architecture) -> tuple[int, int]:
    """Operators and mergers that were chosen, but that the logit does not depend on."""
    pairs = list(zip(architecture.blocks, architecture.live, strict=True))
    operators = sum(2 - live.dense - live.sparse for _, live in pairs)
    mergers = sum((b.dense_to_sparse and not live.dense_to_sparse) + (b.fm and not live.fm) for b, live in pairs)
    return operators, mergers


def _edges_into(number: int, block: Block, live: Live) -> Iterator[Edge]:
    if live.dense and block.dense_op in TWO_INPUT_OPS:
        sided = block.dense_op == SIGMOID_GATING  # Sum's two inputs have no order.
        yield Edge("dense", block.left, number, "left" if sided else "")
        yield Edge("dense", block.right, number, "right" if sided else "")
    elif live.dense:
        for source in block.dense_inputs:
            yield Edge("dense", source, number)
    if live.sparse or reads_tokens_densely(block, live):
        for source in block.sparse_inputs:
            yield Edge("sparse", source, number)
