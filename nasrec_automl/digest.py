"""Short names of content, in names of files and studies and among settings: they must not change with a version."""

from __future__ import annotations

import hashlib


def digest(text: str, length: int = 8) -> str:
    """The first hex digits of the SHA-256 of a text, such as JSON."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
