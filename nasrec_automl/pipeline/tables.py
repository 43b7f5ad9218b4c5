"""How tables look in a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table


def plain_table(title: str | None = None) -> Table:
    """A table without borders: it has room in 80 columns, which is also what Rich takes a log file for.

    Args:
        title: over it, on the left; markup.
    """
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
