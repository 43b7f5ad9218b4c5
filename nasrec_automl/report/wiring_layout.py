"""Where the parts of an architecture's picture stand.

Columns run from the raw input to the logit. The dense lane lies above the sparse lane. Every output that is
read runs along its own rail, above the dense lane or below the sparse one; rails of earlier sources lie
further out, so that no output crosses a rail on its way to its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nasrec_automl.architecture import Architecture
from nasrec_automl.report.wiring_edges import LANES, Edge, Lane, live_edges

BOX_HEIGHT = 46

_GAP, _PORT, _OUT = 34, 22, 12
_RAW, _NARROWEST, _DEAD, _LOGIT = 78, 112, 30, 56
_MARGIN, _HEADING, _RAIL, _ARROWS, _MERGERS = 8, 30, 15, 36, 84


@dataclass(frozen=True, slots=True)
class Column:
    """One block's place.

    Attributes:
        number: the block's; 0 is the raw input, N + 1 the logit.
        left: x of its boxes' left side.
        width: of its boxes.
        alive: whether anything of it is live.
    """

    number: int
    left: float
    width: float
    alive: bool

    @property
    def right(self) -> float:
        """X of its boxes' right side."""
        return self.left + self.width

    @property
    def middle(self) -> float:
        """X of its boxes' middle."""
        return self.left + self.width / 2

    @property
    def out(self) -> float:
        """X at which its outputs turn to their rails."""
        return self.right + _OUT


@dataclass(frozen=True)
class Layout:
    """Places of everything in the picture of one architecture."""

    architecture: Architecture

    @cached_property
    def edges(self) -> list[Edge]:
        """Live inputs."""
        return live_edges(self.architecture)

    @cached_property
    def into(self) -> dict[tuple[Lane, int], list[Edge]]:
        """Inputs by lane and reading block."""
        grouped: dict[tuple[Lane, int], list[Edge]] = defaultdict(list)
        for edge in self.edges:
            grouped[edge.lane, edge.block].append(edge)
        return dict(grouped)

    @cached_property
    def columns(self) -> list[Column]:
        """From the raw input to the logit."""
        ports = max(len(edges) for edges in self.into.values())
        width = max(_NARROWEST, (ports + 1) * _PORT)
        columns = [Column(0, _MARGIN, _RAW, True)]
        for number, live in enumerate(self.architecture.live, 1):
            alive = live.dense or live.sparse
            columns.append(Column(number, columns[-1].right + _GAP, width if alive else _DEAD, alive))
        return [*columns, Column(len(columns), columns[-1].right + _GAP, _LOGIT, True)]

    @cached_property
    def rails(self) -> dict[Lane, list[int]]:
        """Sources with a rail in each lane, from the outermost inwards. The last block meets the logit."""
        last = len(self.architecture.blocks)
        return {lane: sorted({e.source for e in self.edges if e.lane == lane} - {last}) for lane in LANES}

    @property
    def dense_top(self) -> float:
        """Y of the dense boxes' upper side."""
        return _HEADING + _RAIL * len(self.rails["dense"]) + _ARROWS

    @property
    def sparse_top(self) -> float:
        """Y of the sparse boxes' upper side."""
        return self.dense_top + BOX_HEIGHT + _MERGERS

    def middle(self, lane: Lane) -> float:
        """Y of a lane's outputs."""
        return (self.dense_top if lane == "dense" else self.sparse_top) + BOX_HEIGHT / 2

    def rail(self, lane: Lane, source: int) -> float:
        """Y of a source's rail."""
        index = self.rails[lane].index(source)
        if lane == "dense":
            return _HEADING + _RAIL * (index + 0.5)
        return self.height - _MARGIN - _RAIL * (index + 0.5)

    def ports(self, column: Column, edges: Sequence[Edge]) -> list[float]:
        """X of each of a block's inputs in one lane."""
        return [column.left + column.width * (i + 1) / (len(edges) + 1) for i in range(len(edges))]

    def rail_end(self, lane: Lane, source: int) -> float:
        """X of the last input that reads a rail."""
        return max(
            x
            for column in self.columns[:-1]
            for edges in (self.into.get((lane, column.number), []),)
            for x, edge in zip(self.ports(column, edges), edges, strict=True)
            if edge.source == source
        )

    @property
    def width(self) -> float:
        """The picture's width."""
        return self.columns[-1].right + _MARGIN

    @property
    def height(self) -> float:
        """The picture's height."""
        return self.sparse_top + BOX_HEIGHT + _ARROWS + _RAIL * len(self.rails["sparse"]) + _MARGIN
