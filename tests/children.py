"""Processes that a test's code has started."""

import psutil


def children() -> list[psutil.Process]:
    """Those of this process, but for the one of Python's own that stays once anything was spawned in it."""
    return [one for one in psutil.Process().children() if not any("resource_tracker" in part for part in one.cmdline())]
