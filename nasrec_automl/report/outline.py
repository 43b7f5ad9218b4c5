"""An architecture in plain text, for places that show no picture."""

from __future__ import annotations

from nasrec_automl.architecture import MERGED_TOKENS, Architecture
from nasrec_automl.report.wiring import OPERATORS
from nasrec_automl.report.wiring_edges import Edge, live_edges, reads_tokens_densely


def outline(architecture: Architecture) -> str:
    """What the logit depends on, a line for each part: the block, the operator, its width, what it reads."""
    edges = live_edges(architecture)
    lines = []
    for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
        parts = []
        if live.dense:
            sources = _sources([e for e in edges if e.block == number and e.lane == "dense"])
            tokens = _sources([e for e in edges if e.block == number and e.lane == "sparse"])
            read = [sources, f"tokens of {tokens}" if reads_tokens_densely(block, live) else ""]
            parts.append(("dense", f"{OPERATORS[block.dense_op]}, width {block.dense_dim}", " and ".join(filter(None, read))))
        if live.sparse:
            sources = _sources([e for e in edges if e.block == number and e.lane == "sparse"])
            parts.append(("sparse", f"{OPERATORS[block.sparse_op]}, {block.sparse_dim} tokens", sources))
        if live.dense_to_sparse:
            parts.append(("merger", f"{MERGED_TOKENS} more tokens", "the dense output"))
        if live.fm:
            parts.append(("merger", "FM, added to dense", "the tokens"))
        if not parts:
            lines.append(f"block {number}  unused")
        for index, (lane, what, read_) in enumerate(parts):
            name = f"block {number}" if index == 0 else ""
            lines.append(f"{name:<9}{lane:<8}{what:<28}<- {read_}")
    last = len(architecture.blocks)
    lines.append(f"{'logit':<45}<- s{last}, both outputs")
    return "\n".join(lines)


def _sources(edges: list[Edge]) -> str:
    return ", ".join(f"s{edge.source} {edge.side}".rstrip() for edge in edges)
