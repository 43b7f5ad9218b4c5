"""Ports for servers that tests start."""

import socket


def free_port() -> int:
    """One that nothing listens at, on any interface."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
