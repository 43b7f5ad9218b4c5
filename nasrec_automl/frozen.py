"""What the package's values have in common that come from files or go into them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that never changes and knows no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
