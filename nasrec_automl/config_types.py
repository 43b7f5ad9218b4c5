"""Kinds of values that a job's sections are made of."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from nasrec_automl.frozen import Frozen

# YAML 1.1 reads `1e-3`, without a dot, as a string; pydantic takes a string for a float.
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]


def whole(value: Any) -> Any:
    """A whole number where a value is one with an exponent, as a float or a text; any other value as it is."""
    if isinstance(value, float) and value.is_integer():  # as YAML reads `1.0e+6`
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]*)?[eE]\+?[0-9]{1,2}", value):
        number = Decimal(value)
        return int(number) if number == number.to_integral_value() else value
    return value


# And `1e6` as well.
Whole = Annotated[int, BeforeValidator(whole), Field(strict=True)]
Count = Annotated[Whole, Field(ge=1)]
TableSize = Annotated[Whole, Field(ge=2)]
Seed = Annotated[Whole, Field(ge=0)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _check_duration(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]*[1-9][0-9]*[smhd]", value):
        raise ValueError(f"expected a time above zero with its unit, such as 90s, 30m, 2h or 1d, but it is {value!r}")
    return value


# As NNI writes times.
Duration = Annotated[str, BeforeValidator(_check_duration)]


def _check_inputs(value: Any) -> Any:
    several = isinstance(value, list | tuple)
    paths = value if several else [value]
    if not paths or not all(isinstance(path, str | Path) for path in paths):
        raise ValueError(f"expected a path, or a list of paths such as [day_1.csv, day_2.csv], but it is {value!r}")
    return tuple(paths) if len(paths) > 1 else paths[0]


# Files, folders and globs: of a single one its path alone.
Inputs = Annotated[Path | tuple[Path, ...], BeforeValidator(_check_inputs)]


def _check_option(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    try:
        return check(whole(value))
    except ValidationError:  # of which there is one for each type
        raise ValueError(f"expected a number or a text, but it is {value!r}") from None


Option = Annotated[int | float | str, WrapValidator(_check_option)]


def paths_of(inputs: Path | tuple[Path, ...] | None) -> tuple[Path, ...]:
    """The paths of an `Inputs`; none where it is left out."""
    return () if inputs is None else inputs if isinstance(inputs, tuple) else (inputs,)


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
