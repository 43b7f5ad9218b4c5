"""Kinds of values that a job's sections are made of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from nasrec_automl.frozen import Frozen

# YAML 1.1 reads `1e-3`, without a dot, as a string; pydantic takes a string for a float.
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, strict=True)]
TableSize = Annotated[int, Field(ge=2, strict=True)]
Seed = Annotated[int, Field(ge=0, strict=True)]


def _check_duration(value: str) -> str:
    if not re.fullmatch(r"[0-9]*[1-9][0-9]*[smhd]", value):
        raise ValueError(f"expected a time above zero with its unit, such as 90s, 30m, 2h or 1d, but it is {value!r}")
    return value


# As NNI writes times.
Duration = Annotated[str, AfterValidator(_check_duration)]


def in_seconds(duration: str) -> int:
    """Seconds of a `Duration`."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def path_from(folder: Path, path: str | Path) -> Path:
    """A path of a job file in this folder: relative to it, or from a home where it begins with `~`."""
    # Path.expanduser raises where `~` begins a name and no user has it.
    return folder / os.path.expanduser(path)  # noqa: PTH111


class Section(Frozen):
    """A section of a job, whose numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False)
