"""An architecture in plain text, for places that show no picture."""

from __future__ import annotations

from nasrec_automl.architecture import MERGED_TOKENS, Architecture, Block, Live
from nasrec_automl.report.wiring import OPERATORS
from nasrec_automl.report.wiring_edges import LANES, Edge, live_edges, reads_tokens_densely


def outline(architecture: Architecture) -> str:
    """What the logit depends on, a line for each part: the block, the operator, its width, what it reads."""
    lines = []
    edges = live_edges(architecture)
    for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
        parts = _parts(block, live, [edge for edge in edges if edge.block == number])
        if not parts:
            lines.append(f"block {number}  unused")
        for index, (node, what, sources) in enumerate(parts):
            name = f"block {number}" if index == 0 else ""
            lines.append(f"{name:<9}{node:<8}{what:<28}<- {sources}")
    return "\n".join([*lines, f"{'logit':<45}<- s{len(architecture.blocks)}, both outputs"])


def _parts(block: Block, live: Live, edges: list[Edge]) -> list[tuple[str, str, str]]:
    """Each live node of a block: its name, what it does, what it reads."""
    vectors, tokens = (
        ", ".join(f"s{edge.source} {edge.side}".rstrip() for edge in edges if edge.lane == lane) for lane in LANES
    )
    parts = []
    if live.dense:
        read = f"{vectors} and tokens of {tokens}" if reads_tokens_densely(block, live) else vectors
        parts.append(("dense", f"{OPERATORS[block.dense_op]}, width {block.dense_dim}", read))
    if live.sparse:
        parts.append(("sparse", f"{OPERATORS[block.sparse_op]}, {block.sparse_dim} tokens", tokens))
    if live.dense_to_sparse:
        parts.append(("merger", f"{MERGED_TOKENS} more tokens", "the dense output"))
    if live.fm:
        parts.append(("merger", "FM, added to dense", "the tokens"))
    return parts
