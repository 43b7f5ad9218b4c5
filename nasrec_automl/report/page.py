"""One HTML file that loads nothing: plotly.js, figures and styles are inside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from nasrec_automl.report.stylesheet import STYLESHEET

# The browser itself refuses whatever the page might try to load.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'"
)
# Figures follow the window's width; on paper they are as wide as the stylesheet makes the page. The second
# layout makes room for legends that need other lines at the new width.
_PRINTING = """
const resize = (width) => document.querySelectorAll(".plotly-graph-div")
  .forEach((plot) => { for (const _ of [1, 2]) Plotly.relayout(plot, {width, autosize: !width}); });
addEventListener("beforeprint", () => resize(1112));
addEventListener("afterprint", () => resize(null));
"""
_CONFIG = {"displayModeBar": False, "responsive": True}


def page(title: str, body: Sequence[str]) -> str:
    """The whole file.

    Args:
        title: plain text.
        body: its elements, as HTML.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLESHEET}</style>"
        f"<script>{get_plotlyjs()}</script><script>{_PRINTING}</script></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def section(title: str, inner: str) -> str:
    """A part of the page under its heading."""
    return f"<section><h2>{title}</h2>{inner}</section>"


def bullets(items: Sequence[str]) -> str:
    """Plain texts as a list."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def figure_html(name: str, figure: go.Figure, caption: str) -> str:
    """A figure with its sentence; a figure that is only a note is written as one."""
    if not figure.data:
        return f'<p class="note">{figure.layout.annotations[0].text}</p>'
    plot = to_html(
        figure,
        config=_CONFIG,
        include_plotlyjs=False,
        full_html=False,
        div_id=name,
        default_height=f"{figure.layout.height}px",
    )
    return (
        f'<figure role="group" aria-label="{escape(caption)}">{plot}<figcaption>{escape(caption)}</figcaption></figure>'
    )
