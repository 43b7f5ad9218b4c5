"""Whether a process of this host lives. Its number alone does not tell: the system gives numbers again."""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path

_CLOCK_TOLERANCE = 5.0
"""Seconds. A process's start is derived from the wall clock, which may be set while it runs."""


def own_host() -> str:
    """This host, `name@namespace`: containers that share a host's name number their processes each by itself."""
    return f"{socket.gethostname()}{_namespace()}"


@cache
def _namespace() -> str:
    try:
        return f"@{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # there are none where there is no /proc
        return ""


def own_start() -> float:
    """When this process started, in seconds since 1970."""
    import psutil  # not at the top: `data` imports this, and an exported model is served without psutil

    return psutil.Process().create_time()


def is_alive(pid: int, started: float) -> bool:
    """Whether a process of this host lives.

    Args:
        pid: its number.
        started: when it started, in seconds since 1970.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        # A killed process stays a zombie until its parent looks at it.
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - started) < _CLOCK_TOLERANCE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's, where the system shows no more than that there is one
        return True
