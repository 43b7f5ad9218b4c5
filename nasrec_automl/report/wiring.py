"""An architecture as a picture: one SVG text, legible on screen and on paper."""

from __future__ import annotations

from nasrec_automl.architecture import MERGED_TOKENS, Architecture, Block, Live
from nasrec_automl.report.style import BLUE, DIM, FAINT, GREEN, GREY, INK, PAPER, VERMILLION
from nasrec_automl.report.svg import Canvas
from nasrec_automl.report.wiring_edges import LANES, Lane, reads_tokens_densely
from nasrec_automl.report.wiring_layout import BOX_HEIGHT, Column, Layout

OPERATORS = {
    "fc": "FC",
    "dot_product": "Dot-Product",
    "sigmoid_gating": "Sigmoid-Gating",
    "sum": "Sum",
    "flat_fc": "Flat-FC",
    "bi_interaction": "Bi-Interaction",
    "efc": "EFC",
    "attention": "Attention",
    "cross": "Cross",
    "projection": "Projection",
}
_COLORS: dict[Lane, str] = {"dense": BLUE, "sparse": VERMILLION}
_TINTS: dict[Lane, str] = {"dense": "#E9F2F9", "sparse": "#FCEFE6"}
_BAND, _LOGIT = "#F5F7FA", "#E6F4EF"
_ADD, _APPEND = "M-3.5 0H3.5M0 -3.5V3.5", "M-1.7 -3.5V3.5M1.7 -3.5V3.5"
_MERGED, _FM = f"+{MERGED_TOKENS} tokens", "FM"
_BAR = 9
_JOINT = 8


def wiring_svg(architecture: Architecture, *, paper: bool = False) -> str:
    """Draw what the logit depends on; unused operators and mergers are faint, unused inputs are left out.

    Args:
        architecture: any architecture.
        paper: whether to draw on white, for pages that may be dark.

    Returns:
        A stand-alone `<svg>` element that also fits into HTML. Each live input is a path with a `data-edge`.
    """
    layout = Layout(architecture)
    canvas = Canvas()
    if paper:
        canvas.box(0, 0, layout.width, layout.height, fill=PAPER, stroke="none", radius=0)
    _Drawing(layout, canvas).draw()
    return canvas.render(layout.width, layout.height, label=f"wiring of the architecture {architecture.key}")


class _Drawing:
    """Draws one layout onto a canvas."""

    def __init__(self, layout: Layout, canvas: Canvas) -> None:
        self._layout = layout
        self._canvas = canvas

    def draw(self) -> None:
        layout, architecture = self._layout, self._layout.architecture
        first, *blocks, logit = layout.columns
        for column, block in zip(blocks, architecture.blocks, strict=True):
            self._band(column, block)
        for lane in LANES:
            for source in layout.rails[lane]:
                self._rail(lane, source)
        for lane, text in zip(LANES, ("numbers", "embeddings"), strict=True):
            self._node(first, lane, "s0", text, alive=0 in layout.rails[lane])
        for column, block, live in zip(blocks, architecture.blocks, architecture.live, strict=True):
            if column.alive:
                self._mergers(column, block, live)
                self._block(column, block, live)
        self._logit(blocks[-1], logit, architecture.live[-1])

    def _band(self, column: Column, block: Block) -> None:
        layout, canvas = self._layout, self._canvas
        if column.alive:
            canvas.box(column.left - 6, 0, column.width + 12, layout.height, fill=_BAND, stroke="none")
            canvas.text(column.middle, 18, f"block {column.number}", color=GREY, bold=True)
            return
        canvas.box(column.left, 0, column.width, layout.height, fill="none", stroke=FAINT, dashed=True)
        y = (layout.dense_top + layout.sparse_top + BOX_HEIGHT) / 2
        parts = [OPERATORS[block.dense_op], OPERATORS[block.sparse_op]]
        parts += [_MERGED] * block.dense_to_sparse + [_FM] * block.fm
        canvas.text(column.middle - 3, y, f"block {column.number}: unused", color=GREY, upright=True)
        canvas.text(column.middle + 10, y, ", ".join(parts), color=DIM, size=10, upright=True)

    def _rail(self, lane: Lane, source: int) -> None:
        layout, column, color = self._layout, self._layout.columns[source], _COLORS[lane]
        y, end = layout.rail(lane, source), layout.rail_end(lane, source)
        self._canvas.line(f"M{column.right:g} {layout.middle(lane):g}H{column.out:g}V{y:g}H{end:g}", color=color)
        self._canvas.text(column.out - 4, y + 4, f"s{source}", color=color, anchor="end", size=11, bold=True)

    def _block(self, column: Column, block: Block, live: Live) -> None:
        shared = reads_tokens_densely(block, live)
        self._inputs(column, "dense", lift=0)
        self._inputs(column, "sparse", lift=_BAR if shared else 0)
        if shared:
            self._shared_tokens(column, with_sparse=live.sparse)
        self._node(column, "dense", OPERATORS[block.dense_op], f"width {block.dense_dim}", alive=live.dense)
        self._node(column, "sparse", OPERATORS[block.sparse_op], f"{block.sparse_dim} tokens", alive=live.sparse)

    def _inputs(self, column: Column, lane: Lane, *, lift: float) -> None:
        """Arrows from the rails to a block; `lift` is how far from the box they end."""
        layout, canvas, color = self._layout, self._canvas, _COLORS[lane]
        edges = layout.into.get((lane, column.number), [])
        away = -1 if lane == "dense" else 1
        end = (layout.dense_top if lane == "dense" else layout.sparse_top + BOX_HEIGHT) + away * lift
        for x, edge in zip(layout.ports(column, edges), edges, strict=True):
            y = layout.rail(lane, edge.source)
            canvas.line(f"M{x:g} {y:g}V{end + away * 2:g}", color=color, edge=edge.name, arrow=True)
            canvas.dot(x, y, color=color)
            place, anchor = (x - 4, "end") if edge.side == "left" else (x + 4, "start")
            label = f"s{edge.source} {edge.side}".rstrip()
            canvas.text(place, end + away * 14 + 3, label, color=INK, anchor=anchor, size=11)

    def _shared_tokens(self, column: Column, *, with_sparse: bool) -> None:
        """The concatenated tokens below the sparse box, on their way into the dense operator."""
        color, bottom = _COLORS["sparse"], self._layout.sparse_top + BOX_HEIGHT
        x, y, to = column.left - 11, bottom + _BAR, self._layout.middle("dense")
        path = f"M{column.right - 8:g} {y:g}H{x:g}V{to:g}H{column.left - 2:g}"
        self._canvas.line(path, color=color, arrow=True, width=2.4)
        if with_sparse:
            self._canvas.line(f"M{column.middle:g} {y:g}V{bottom + 1:g}", color=color, width=2.4)

    def _mergers(self, column: Column, block: Block, live: Live) -> None:
        layout, canvas = self._layout, self._canvas
        dense, sparse = layout.middle("dense"), layout.middle("sparse")
        below, above = layout.dense_top + BOX_HEIGHT, layout.sparse_top
        x, y = column.left + 32, above - 24
        if live.dense_to_sparse:
            path = f"M{x:g} {below:g}V{y:g}H{column.out:g}V{sparse - _JOINT:g}"
            canvas.line(path, color=BLUE, edge=f"dense-to-sparse of block {column.number}", arrow=True)
            canvas.joint(column.out, sparse, color=VERMILLION, strokes=_APPEND)
        if block.dense_to_sparse:
            self._pill(x, y, _MERGED, width=64, alive=live.dense_to_sparse)
        x, y = column.right - 20, below + 24
        if live.fm:
            path = f"M{x:g} {above:g}V{y:g}H{column.out:g}V{dense + _JOINT:g}"
            canvas.line(path, color=VERMILLION, edge=f"FM of block {column.number}", arrow=True)
            canvas.joint(column.out, dense, color=BLUE, strokes=_ADD)
        if block.fm:
            self._pill(x, y, _FM, width=30, alive=live.fm)

    def _logit(self, last: Column, logit: Column, live: Live) -> None:
        layout, canvas = self._layout, self._canvas
        for edge, merged in zip(layout.edges[-2:], (live.fm, live.dense_to_sparse), strict=True):
            y, color = layout.middle(edge.lane), _COLORS[edge.lane]
            if merged:
                canvas.line(f"M{last.right:g} {y:g}H{last.out - _JOINT:g}", color=color)
            start = last.out + _JOINT if merged else last.right
            canvas.line(f"M{start:g} {y:g}H{logit.left - 2:g}", color=color, edge=edge.name, arrow=True)
        top, height = layout.dense_top, layout.sparse_top + BOX_HEIGHT - layout.dense_top
        canvas.box(logit.left, top, logit.width, height, fill=_LOGIT, stroke=GREEN)
        canvas.text(logit.middle, top + height / 2 + 4, "logit", color=INK, bold=True, size=13)

    def _node(self, column: Column, lane: Lane, name: str, detail: str, *, alive: bool) -> None:
        top = self._layout.dense_top if lane == "dense" else self._layout.sparse_top
        fill, stroke = (_TINTS[lane], _COLORS[lane]) if alive else (PAPER, FAINT)
        self._canvas.box(column.left, top, column.width, BOX_HEIGHT, fill=fill, stroke=stroke, dashed=not alive)
        x, colors = column.middle, (INK, GREY) if alive else (DIM, DIM)
        self._canvas.text(x, top + 20, name, color=colors[0], bold=True)
        self._canvas.text(x, top + 36, detail if alive else "unused", color=colors[1], size=11)

    def _pill(self, x: float, y: float, text: str, *, width: float, alive: bool) -> None:
        stroke, color = (GREY, INK) if alive else (FAINT, DIM)
        self._canvas.box(x - width / 2, y - 10, width, 20, fill=PAPER, stroke=stroke, radius=10, dashed=not alive)
        self._canvas.text(x, y + 4, text, color=color, size=11)
