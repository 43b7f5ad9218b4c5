"""Writes what docs/published.md holds of the code: its tables, and the pictures in docs/pictures.

    python docs/published.py

A test compares the page with what this file makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasrec_automl import Architecture, FeatureSchema, load_architecture, profile
from nasrec_automl.architecture import ATTENTION, DOT_PRODUCT, MERGED_TOKENS, SIGMOID_GATING, Block, Live
from nasrec_automl.cost import dot_product_tokens
from nasrec_automl.report import wiring_svg

PAGE = Path(__file__).with_name("published.md")
PICTURES = Path(__file__).with_name("pictures")

E = 16
DENSE, FIELDS = {"criteo": 13, "avazu": 0, "kdd12": 3}, {"criteo": 26, "avazu": 23, "kdd12": 10}


@dataclass(frozen=True)
class Published:
    """What the paper and the published stand-alone networks say."""

    title: str
    log_loss: float
    auc: float
    mega_macs: float
    parameters: int
    parameters_with_norm: int


NETWORKS = {
    "criteo-small": Published("Criteo Small", 0.4399, 0.8118, 2.20, 1_779_720, 1_784_165),
    "criteo-full": Published("Criteo Full", 0.4408, 0.8107, 1.45, 2_217_268, 2_222_323),
    "avazu-small": Published("Avazu Small", 0.3747, 0.7887, 3.08, 2_838_609, 2_844_977),
    "avazu-full": Published("Avazu Full", 0.3737, 0.7903, 1.87, 3_179_072, 3_187_494),
    "kdd12-small": Published("KDD12 Small", 0.1495, 0.8135, 3.48, 2_606_511, 2_612_267),
    "kdd12-full": Published("KDD12 Full", 0.1491, 0.8154, 1.09, 438_461, 442_765),
}


def schema_of(name: str) -> FeatureSchema:
    """Features of a network's data set; table sizes do not matter here."""
    data = name.split("-")[0]
    return FeatureSchema.from_sizes(dense=DENSE[data], table_sizes=[1000] * FIELDS[data], embedding_dim=E)


@dataclass(frozen=True)
class Difference:
    """What one part of the published network costs more than ours; less where it is negative.

    Attributes:
        kind: `left out` (a Linear between equal widths), `padded` (zeros that are multiplied) or `norms`.
        live: whether the logit depends on the part.
        macs: multiply-adds.
        parameters: of the network without LayerNorm.
        parameters_with_norm: of the network with LayerNorm.
    """

    kind: str
    live: bool
    macs: int
    parameters: int
    parameters_with_norm: int


def differences(architecture: Architecture, schema: FeatureSchema) -> list[Difference]:
    """All differences between the published network of an architecture and ours."""
    widths = [schema.num_dense, *(block.dense_dim for block in architecture.blocks)]
    tokens = [schema.num_fields, *(b.sparse_dim + MERGED_TOKENS * b.dense_to_sparse for b in architecture.blocks)]
    return [
        difference
        for block, live in zip(architecture.blocks, architecture.live, strict=True)
        for difference in _of_block(block, live, widths, sum(tokens[source] for source in block.sparse_inputs))
    ]


def _of_block(block: Block, live: Live, widths: Sequence[int], tokens: int) -> Iterator[Difference]:
    d, merged = block.dense_dim, MERGED_TOKENS * E
    if block.dense_to_sparse and d == merged:  # its LayerNorm is left out too
        weights = d * merged
        yield Difference("left out", live.dense_to_sparse, -weights, -weights - merged, -weights - 2 * merged)
    if block.fm and d == E:  # its LayerNorm stays
        yield Difference("left out", live.fm, -E * d, -E * d - d, -E * d)
    if block.dense_op == DOT_PRODUCT:
        k = dot_product_tokens(d)
        same = tokens == k
        if same:
            yield Difference("left out", live.dense, -tokens * k * E, -tokens * k - k, -tokens * k - k)
        # Both projections end in a LayerNorm, where ours have biases.
        yield Difference("norms", live.dense, 0, 0, E + (0 if same else k))
    if block.dense_op == SIGMOID_GATING:
        left, right = widths[block.left], widths[block.right]
        wide = max(left, right)
        weights, gates = wide * wide - left * right, wide - right
        yield Difference("padded", live.dense, weights + gates * d, *[weights + gates + gates * d] * 2)
        if wide == d:  # its LayerNorm stays
            yield Difference("left out", live.dense, -d * d, -d * d - d, -d * d - d)
    if block.sparse_op == ATTENTION:  # with LayerNorm its projection has no bias, where ours has one
        yield Difference("norms", live.sparse, 0, 0, -block.sparse_dim)


def macs_as_published(name: str) -> tuple[int, int]:
    """Live and total multiply-adds of the published network, counted from ours."""
    architecture, schema = load_architecture(name), schema_of(name)
    cost, found = profile(architecture, schema), differences(architecture, schema)
    return cost.macs + sum(f.macs for f in found if f.live), cost.total_macs + sum(f.macs for f in found)


def parameter_steps(name: str, *, layer_norm: bool) -> list[int]:
    """From our dense parameters to the published ones: live, dead, left out, padded, norms."""
    architecture, schema = load_architecture(name), schema_of(name)
    cost, found = profile(architecture, schema, layer_norm=layer_norm), differences(architecture, schema)
    steps = [cost.dense_parameters, cost.total_dense_parameters - cost.dense_parameters]
    for kind in ("left out", "padded", "norms"):
        steps.append(sum(f.parameters_with_norm if layer_norm else f.parameters for f in found if f.kind == kind))
    return steps


def unused(architecture: Architecture) -> list[str]:
    """What was chosen and the logit does not depend on, one text a block that has any."""
    texts = []
    for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
        parts = {block.dense_op: live.dense, block.sparse_op: live.sparse}
        parts |= {"dense_to_sparse": live.dense_to_sparse} if block.dense_to_sparse else {}
        parts |= {"fm": live.fm} if block.fm else {}
        dead = ", ".join(f"`{part}`" for part, alive in parts.items() if not alive)
        if dead:
            texts.append(f"block {number}{'' if any(parts.values()) else ' whole'}: {dead}")
    return texts


def tables() -> dict[str, str]:
    """The page's tables by name, in Markdown."""
    costs = [["", "log loss", "AUC", "M multiply-adds", "counted: live, total", "ours: live, total", "unused of ours"]]
    parts = [["", "parts that the logit does not depend on"]]
    without = [["", "ours", "unused", "left out", "padded", "published"]]
    with_norm = [["", "ours", "unused", "left out", "padded", "norms", "published"]]
    for name, network in NETWORKS.items():
        architecture = load_architecture(name)
        cost, (live, total) = profile(architecture, schema_of(name)), macs_as_published(name)
        costs.append(
            [network.title, f"{network.log_loss:.4f}", f"{network.auc:.4f}", f"{network.mega_macs:.2f}"]
            + [f"{a / 1e6:.4f}, {b / 1e6:.4f}" for a, b in ((live, total), (cost.macs, cost.total_macs))]
            + [f"{1 - cost.macs / cost.total_macs:.0%}"]
        )
        parts.append([network.title, "; ".join(unused(architecture))])
        for table, norm in ((without, False), (with_norm, True)):
            first, *steps = parameter_steps(name, layer_norm=norm)[: 5 if norm else 4]
            published = network.parameters_with_norm if norm else network.parameters
            table.append([network.title, f"{first:,}", *(f"{step:+,}" for step in steps), f"{published:,}"])
    named = {"costs": costs, "unused": parts, "parameters": without, "parameters with LayerNorm": with_norm}
    return {name: _markdown(rows) for name, rows in named.items()}


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def page(text: str) -> str:
    """The page with its tables made anew; each stands between `<!-- table: name -->` and `<!-- end -->`."""
    for name, table in tables().items():
        start, end = f"<!-- table: {name} -->", "<!-- end -->"
        pattern = re.compile(f"{re.escape(start)}.*?{end}", re.DOTALL)
        text = pattern.sub(lambda _, s=start, t=table, e=end: f"{s}\n\n{t}\n\n{e}", text, count=1)
    return text


def pictures() -> dict[str, str]:
    """The wiring of each network as SVG, by file name."""
    return {f"{name}.svg": wiring_svg(load_architecture(name)) + "\n" for name in NETWORKS}


def main() -> None:
    """Write page and pictures."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (PICTURES / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
