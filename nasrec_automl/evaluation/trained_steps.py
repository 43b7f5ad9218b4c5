"""How often the weights of an architecture were trained: the path of each step is known from seed and step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.architecture import (
    BI_INTERACTION,
    DOT_PRODUCT,
    SIGMOID_GATING,
    TOKEN_OPS,
    TWO_INPUT_OPS,
    Architecture,
    Path,
)
from nasrec_automl.sampling import WarmUp

_Piece = tuple[int, str, str, int]
"""Weights that are trained together: block, operator or merger, which of its weights, source that they read.

Where all sources share them, by position, the block's own number stands for the source."""


def trained_steps(architectures: Sequence[Architecture], schedule: WarmUp, steps: int) -> NDArray[np.float64]:
    """For each architecture `(n,)`, in how many steps a weight of it was trained, on average over its pieces.

    A piece is the weights with which an operator reads one source, a Linear of Sum or Sigmoid-Gating, which all sources
    share, or a merger. A step trains a piece if the step's path has it, live and with an output at least as wide: a
    narrower path trains only a part of it. How wide the source is on that path, and whether it has merged tokens, does
    not count: of the weights that read wide sources, some counted steps train only a part. Embeddings and the final
    Linear, which every step trains, do not count.

    Args:
        architectures: architectures of the supernet's space.
        schedule: the schedule that drew the paths.
        steps: how many were trained.
    """
    counts: Counter[tuple[_Piece, int]] = Counter()
    for step in range(steps):
        counts.update(_pieces(schedule.path(step)))
    widths: dict[_Piece, list[tuple[int, int]]] = {}
    for (piece, width), count in counts.items():
        widths.setdefault(piece, []).append((width, count))

    def mean(architecture: Architecture) -> float:
        own = list(_pieces(architecture.path))
        return float(
            np.mean([sum(count for other, count in widths.get(piece, []) if other >= width) for piece, width in own])
            if own
            else 0.0
        )

    return np.array([mean(architecture) for architecture in architectures])


def _pieces(path: Path) -> Iterator[tuple[_Piece, int]]:
    """Every piece that a path runs, with its width."""
    for number, (block, live) in enumerate(zip(path.blocks, path.live, strict=True), 1):
        for operator in block.dense_ops if live.dense else ():
            if operator in TWO_INPUT_OPS:
                yield (number, operator, "linear", number), block.dense_dim
                if operator == SIGMOID_GATING:
                    yield (number, operator, "gate", number), max(_width(path, source) for source in block.right)
                continue
            # Dot-Product makes one vector of the embeddings' width of its dense inputs, whatever d is.
            width = 0 if operator == DOT_PRODUCT else block.dense_dim
            yield from (((number, operator, "dense", source), width) for source in block.dense_inputs)
            if operator == BI_INTERACTION:
                yield (number, operator, "pooled", number), block.dense_dim
            elif operator in TOKEN_OPS:
                yield from (((number, operator, "tokens", source), block.dense_dim) for source in block.sparse_inputs)
        for operator in block.sparse_ops if live.sparse else ():
            yield from (((number, operator, "tokens", source), block.sparse_dim) for source in block.sparse_inputs)
        for merger, is_live in (("dense_to_sparse", live.dense_to_sparse), ("fm", live.fm)):
            if is_live:
                yield (number, merger, "dense", number), block.dense_dim


def _width(path: Path, source: int) -> int:
    """Width of a dense source; 0 for the raw input, which every path reads whole."""
    return path.blocks[source - 1].dense_dim if source else 0
