"""Small files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write beside and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Workers of several hosts write into one folder.
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write beside and rename."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; nothing where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
