"""Whether a process of this host lives. Its number alone does not tell: the system gives numbers again."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

from nasrec_automl.digest import digest

_NAMESPACE, _BOOT = Path("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id")

_CLOCK_TOLERANCE = 5.0
"""Seconds. A process's start is derived from the wall clock, which may be set while it runs."""


def own_host() -> str:
    """This host, `name@digest`: what numbers its processes by itself may share its name with others.

    Containers differ by their namespace; machines, such as clones of one, by their boot. After a boot it is another.
    """
    return f"{socket.gethostname()}{_numbering()}"


@cache
def _numbering() -> str:
    found = []
    with suppress(OSError):  # there is nothing of this where there is no /proc
        found.append(str(_NAMESPACE.stat().st_ino))
    with suppress(OSError):
        found.append(_BOOT.read_text(encoding="ascii").strip())
    return f"@{digest(' '.join(found))}" if found else ""


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
