"""Whether a process of this host lives. Its number alone does not tell: the system gives numbers again."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

from nasrec_automl.digest import digest

_NAMESPACE, _BOOT = Path("/proc/self/ns/pid"), Path("/proc/sys/kernel/random/boot_id")

_TOLERANCE = 1.0
"""Seconds between two readings of one start, which are rounded."""


def own_host() -> str:
    """Identify this host as `name@digest`.

    Containers and cloned machines can share a host name, so the digest covers the PID namespace and the boot id. It
    changes at a reboot.
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


def start_of(pid: int | None = None) -> float:
    """When a process of this host, by default this one, started: in seconds since the boot.

    The wall clock may be set while it runs, by much where a virtual machine was asleep.
    """
    import psutil  # not at the top: `data` imports this, and an exported model is served without psutil

    boot = psutil.boot_time()  # first: older versions add the boot time of this call, newer ones that of now
    return psutil.Process(pid).create_time() - boot


def is_alive(pid: int, started: float) -> bool:
    """Whether a process of this host lives.

    Args:
        pid: its number.
        started: when it started, as of `start_of`.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        # A killed process stays a zombie until its parent looks at it.
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(start_of(pid) - started) < _TOLERANCE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's, where the system shows no more than that there is one
        return True
