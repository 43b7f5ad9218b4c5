"""Small files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from nasrec_automl.errors import RunFolderError


def write_text(path: Path, text: str) -> None:
    """Write beside and rename.

    Raises:
        RunFolderError: the disk is full, or the folder is not writable; what was there before stays.
    """
    # Workers of several hosts write into one folder.
    beside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise RunFolderError(
            f"{path}: cannot be written ({error.strerror or error}); mend it and start again: what has finished is kept"
        ) from None


def write_json(path: Path, value: Any) -> None:
    """Write beside and rename."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote; nothing where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
