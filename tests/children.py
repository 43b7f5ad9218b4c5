"""Processes that a test's code has started."""

import psutil

_OF_PYTHON = ("resource_tracker", "forkserver")
"""They stay once anything was spawned, or run warm."""


def children() -> list[psutil.Process]:
    """Those of this process, but for Python's own."""
    return [
        one for one in psutil.Process().children() if not any(name in " ".join(one.cmdline()) for name in _OF_PYTHON)
    ]
