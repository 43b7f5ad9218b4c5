"""A small canvas that writes SVG: boxes, texts, and lines that bridge what they cross."""

from __future__ import annotations

from html import escape

from nasrec_automl.report.style import FONT, PAPER

_SEAM = 3


class Canvas:
    """Collects shapes, from the background to the front."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._arrows: dict[str, str] = {}

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str,
        stroke: str,
        dashed: bool = False,
        radius: float = 5,
    ) -> None:
        """A rounded rectangle; `x` and `y` are its upper left corner."""
        dashes = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}" '
            f'stroke="{stroke}" stroke-width="1.3"{dashes}/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        color: str,
        anchor: str = "middle",
        size: float = 12,
        bold: bool = False,
        upright: bool = False,
    ) -> None:
        """One line of text; `y` is its baseline. `upright` turns it by a quarter, to be read from below."""
        turned = f' transform="rotate(-90 {x:g} {y:g})"' if upright else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{color}" text-anchor="{anchor}" font-size="{size:g}" '
            f'font-weight="{600 if bold else 400}"{turned}>{escape(text)}</text>'
        )

    def line(self, path: str, *, color: str, edge: str = "", arrow: bool = False, width: float = 1.6) -> None:
        """A line with a seam in the paper's colour, so that it bridges what it crosses.

        Args:
            path: the `d` of an SVG path.
            color: of the line.
            edge: what it stands for: its tooltip, and its `data-edge`.
            arrow: whether it ends in an arrowhead.
            width: of the line.
        """
        data = f' data-edge="{escape(edge)}"' if edge else ""
        title = f"<title>{escape(edge)}</title>" if edge else ""
        end = f' marker-end="url(#{self._arrow(color)})"' if arrow else ""
        self._parts.append(
            f'<path d="{path}" fill="none" stroke="{PAPER}" stroke-width="{width + _SEAM:g}"/>'
            f'<path d="{path}" fill="none" stroke="{color}" stroke-width="{width:g}" stroke-linejoin="round"'
            f"{end}{data}>{title}</path>"
        )

    def dot(self, x: float, y: float, *, color: str) -> None:
        """Where a line starts from another one."""
        self._parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="3.2" fill="{color}"/>')

    def joint(self, x: float, y: float, *, color: str, strokes: str) -> None:
        """A small circle with strokes in it, such as a plus.

        Args:
            x: of its centre.
            y: of its centre.
            color: of circle and strokes.
            strokes: the `d` of an SVG path, from -4 to 4 around the centre.
        """
        self._parts.append(
            f'<g transform="translate({x:g} {y:g})" fill="{PAPER}" stroke="{color}" stroke-width="1.5">'
            f'<circle r="7"/><path d="{strokes}"/></g>'
        )

    def render(self, width: float, height: float, *, label: str) -> str:
        """The `<svg>` element of everything drawn."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'height="{height:g}" font-family="{escape(FONT)}" role="img" aria-label="{escape(label)}">'
            f"<defs>{''.join(self._arrows.values())}</defs>{''.join(self._parts)}</svg>"
        )

    def _arrow(self, color: str) -> str:
        """Name of the arrowhead of a colour."""
        name = f"arrow-{color.removeprefix('#')}"
        self._arrows[name] = (
            f'<marker id="{name}" viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="7" markerHeight="7" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0.5L8 4L0 7.5z" fill="{color}"/>'
            "</marker>"
        )
        return name
