"""The schema file of a table: which column is what. YAML, by a user or drafted by `nasrec-automl schema infer`."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.moments import MomentFormat
from nasrec_automl.data.readers.kinds import SPACES
from nasrec_automl.data.values import MISSING_TEXTS, whole_number
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.yaml_files import complaint, load_yaml

_Options = Annotated[CategoricalOptions, BeforeValidator(lambda value: {} if value is None else value)]

_SEPARATOR = re.compile(r'(?!["\r\n])[\x01-\x7f]')


class Timestamp(Frozen):
    """The column that says when a row happened.

    Attributes:
        column: its name.
        format: `number` (any that grows with time), `ISO8601`, or a format of `strptime` such as `%d.%m.%Y %H:%M`.
            Moments without a time zone are UTC.
    """

    column: str
    format: MomentFormat = "number"


class SchemaDefaults(Frozen):
    """Options of all fields, where a field does not set its own.

    Attributes:
        categorical: of categorical features.
        dense: of number features; a transform's name, or `DenseOptions`.
    """

    categorical: _Options = CategoricalOptions()
    dense: DenseOptions = DenseOptions()


def _label_texts(value: Any) -> Any:
    """Write numbers as texts, 1.0 as 1. YAML makes no texts of `no` and `yes`."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 2 or any(isinstance(item, bool | dict | list | None) for item in value):
        raise ValueError(
            'expected two texts or numbers, what stands for 0 and for 1, such as ["no", "yes"] with the quotes, '
            f"but {value!r} came"
        )
    return tuple(whole_number(str(item).strip(SPACES)) for item in value)


class TableSchema(Frozen):
    """What the columns of a table are. Every column has exactly one role, except that a number may also be the time.

    Attributes:
        label: column of 0 and 1 (or false and true).
        label_values: where the label holds two other values, the one that stands for 0 and the one that stands for 1.
        name: of the data set.
        label_description: what a 1 means; by default the label's name says it.
        weight: column of how many times each row counts.
        split: column that says `train`, `validation` or `test` of each row, for the split `given`.
        timestamp: when each row happened; for a split by time. Name it under `derived` to make features of it.
        defaults: options of features that do not set their own; they are merged into `dense` and `categorical`.
        dense: number features; a transform's name, or `DenseOptions`.
        categorical: categorical features with their tables' options.
        derived: columns that are computed of others; name them under `dense` or `categorical` too. Those of the time
            have its format, unless they say another.
        ignored: columns that are left out.
        separator: of text files; by the file's ending without it.
        columns: names of the columns in files that have no header.
    """

    label: str
    name: str = "table"
    label_description: str | None = None
    label_values: Annotated[tuple[str, str], BeforeValidator(_label_texts)] | None = None
    weight: str | None = None
    split: str | None = None
    timestamp: Timestamp | None = None
    # Before what it is merged into. Not saved: a schema that says the same field by field is the same.
    defaults: SchemaDefaults = Field(default_factory=SchemaDefaults, exclude=True)
    dense: dict[str, DenseOptions] = Field(default_factory=dict)
    categorical: Annotated[dict[str, _Options], Field(min_length=1)]
    derived: tuple[DerivedColumn, ...] = ()
    ignored: tuple[str, ...] = ()
    separator: str | None = None
    columns: tuple[str, ...] | None = None

    @field_validator("dense", "categorical", mode="before")
    @classmethod
    def _with_defaults(cls, fields: Any, info: ValidationInfo) -> Any:
        """Give features the defaults of the file; those of a job, which are the context, come before them."""
        section, own = str(info.field_name), info.data.get("defaults")  # None where they are wrong
        asked = (info.context or {}).get(section, {})
        defaults = {**(getattr(own, section).model_dump(exclude_unset=True) if own is not None else {}), **asked}
        if not defaults or not isinstance(fields, Mapping):
            return fields
        return {name: _merged(defaults, options, named=section == "dense") for name, options in fields.items()}

    @field_validator("label_values")
    @classmethod
    def _values_differ(cls, values: tuple[str, str] | None) -> tuple[str, str] | None:
        if values is not None and values[0] == values[1]:
            raise ValueError(f"expected two values that differ, but {values[0]!r} came twice")
        if values is not None and (missing := MISSING_TEXTS & {*values}):
            raise ValueError(f"expected two values, but {min(missing)!r} stands for a missing one: write another text")
        return values

    @field_validator("derived")
    @classmethod
    def _read_as_the_time_is(
        cls, derived: tuple[DerivedColumn, ...], info: ValidationInfo
    ) -> tuple[DerivedColumn, ...]:
        when = info.data.get("timestamp")  # None where it is wrong
        return tuple(
            column.model_copy(update={"format": when.format})
            if when is not None
            and column.source == when.column
            and column.of_moments
            and "format" not in column.model_fields_set
            else column
            for column in derived
        )

    @model_validator(mode="after")
    def _roles_are_clear(self) -> TableSchema:
        made = [column.name for column in self.derived]
        own = [name for name in (self.label, self.weight, self.split) if name is not None]
        roles = Counter([*own, *self.dense, *self.categorical, *self.ignored])
        if twice := sorted(name for name, count in roles.items() if count > 1):
            raise ValueError(f"column {twice[0]!r} has two roles: keep one")
        flags = [f"{name}_missing" for name, options in self.dense.items() if options.flag_missing]
        again = Counter([*made, *flags, *(name for name in (*self.dense, *self.categorical) if name not in made)])
        if twice := sorted(name for name, count in again.items() if count > 1):
            raise ValueError(
                f"two features are called {twice[0]!r}: name derived columns apart, and drop what `flag_missing` makes"
            )
        if unused := [name for name in made if name not in self.dense and name not in self.categorical]:
            raise ValueError(f"derived column {unused[0]!r} is no feature: name it under dense or categorical")
        if wrong := [column.source for column in self.derived if column.source in (*made, *own, *self.categorical)]:
            raise ValueError(f"derived columns are made of numbers or times of the table, but {wrong[0]!r} is neither")
        self._check_formats()
        if self.timestamp is not None and self.timestamp.column in (*own, *self.ignored, *self.categorical, *made):
            raise ValueError(f"the timestamp {self.timestamp.column!r} has another role: keep one")
        if self.separator is not None and not _SEPARATOR.fullmatch(self.separator):
            raise ValueError(
                "the separator must be one ASCII character, and no quote, end of a line or NUL, but "
                f"{self.separator!r} came"
            )
        if self.columns is not None and set(self.columns) != {*self.raw_columns}:
            strange = sorted(set(self.columns) ^ {*self.raw_columns})
            raise ValueError(f"columns must name what has a role, and nothing else; look at {strange[0]!r}")
        if self.columns is not None and len(set(self.columns)) != len(self.columns):
            raise ValueError("columns must not name one twice")
        return self

    def _check_formats(self) -> None:
        formats = {name: {"number"} for name in self.dense}
        if self.timestamp is not None:
            formats.setdefault(self.timestamp.column, set()).add(self.timestamp.format)
        for column in self.derived:
            formats.setdefault(column.source, set()).add(column.format)
        for name, of_it in formats.items():
            if len(of_it) > 1:
                raise ValueError(
                    f"column {name!r} cannot be of the formats {' and '.join(sorted(of_it))} at once: a number has no "
                    "format, and of a time hour and weekday are features alone"
                )

    def measured(self, group: str | None = None) -> TableSchema:
        """Return the schema of rows that models are measured on: these need neither a split nor a time.

        Args:
            group: a further column to read, as a category, if it is no feature.

        Raises:
            DataError: files without a header have no such column.
        """
        if group is not None and self.columns is not None and group not in self.columns:
            raise DataError(f"there is no column {group!r} to group by; `columns` are {', '.join(self.columns)}")
        unused = [self.split, self.timestamp.column if self.timestamp else None]
        ignored = [*self.ignored, *(name for name in unused if name is not None and name not in self.numbers)]
        further = {} if group is None or group in (*self.numbers, *self.texts) else {group: CategoricalOptions()}
        return self.model_copy(
            update={
                "split": None,
                "timestamp": None,
                "categorical": {**self.categorical, **further},
                "ignored": tuple(name for name in ignored if name not in further),
            }
        )

    @property
    def numbers(self) -> tuple[str, ...]:
        """Raw columns that are read as numbers or times, and kept: dense features and what others are derived of."""
        made = {column.name for column in self.derived}
        names = [*(name for name in self.dense if name not in made), *(column.source for column in self.derived)]
        return tuple(dict.fromkeys(names))

    @property
    def texts(self) -> tuple[str, ...]:
        """Raw columns that are read as categories."""
        made = {column.name for column in self.derived}
        return tuple(name for name in self.categorical if name not in made)

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """All columns that a file has."""
        others = [
            self.label,
            *filter(None, [self.weight, self.split]),
            *((self.timestamp.column,) if self.timestamp else ()),
        ]
        return tuple(dict.fromkeys([*others, *self.numbers, *self.texts, *self.ignored]))


def _merged(defaults: Mapping[str, Any], options: Any, *, named: bool) -> Any:
    """Return a feature's options with defaults for what it does not set; `named`: a text is a transform's name."""
    if isinstance(options, Frozen):
        options = options.model_dump(exclude_unset=True)
    elif named and isinstance(options, str):
        options = {"transform": options}
    elif options is None:
        options = {}
    if not isinstance(options, Mapping):
        return options
    # One makes a field's table of the other's kind: a field that sets one has no default of the other.
    own = {other for one, other in itertools.permutations(("hash_above", "compositional")) if one in options}
    return {**{name: value for name, value in defaults.items() if name not in own}, **options}


def load_table_schema(path: Path, defaults: Mapping[str, Mapping[str, Any]] | None = None) -> TableSchema:
    """Read a schema file.

    Args:
        path: the file.
        defaults: options of a job by `categorical` and `dense`, which come before the file's `defaults`.

    Raises:
        DataError: there is none, or it is not as it should be; the message names the field. Or the job's options do not
            go with it.
    """
    try:
        content = load_yaml(path, DataError)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; expected a schema file, as `nasrec-automl schema infer` drafts it"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: expected a schema file, but {error.strerror}") from None
    try:
        return TableSchema.model_validate(content, context=defaults)
    except ValidationError as error:
        problems = error.errors()
    if defaults:
        try:
            TableSchema.model_validate(content)
        except ValidationError as error:
            problems = error.errors()
        else:  # one for each field
            raise DataError(f"data.defaults: do not go with {path}, {_sentence(problems[0])}")
    raise DataError("; ".join(f"{path}: {_sentence(problem)}" for problem in problems))


# By a field's name and its depth; what may be there in place of a mapping or list.
_EXAMPLES = {
    ("", 0): "{label: clicked, categorical: {shop: }}, as `nasrec-automl schema infer` drafts it",
    ("timestamp", 1): "{column: at, format: number}",
    ("defaults", 1): "{categorical: {min_count: 2}, dense: quantile}",
    ("defaults", 2): "{min_count: 2}",
    ("dense", 1): "{price: log, age: quantile}",
    ("dense", 2): "{transform: quantile, flag_missing: true}, or a transform's name",
    ("categorical", 1): "{shop: {min_count: 5}, country: }",
    ("categorical", 2): "{kind: hash, max_table_size: 1000}",
    ("derived", 1): "[{name: hour, source: at, kind: hour}]",
    ("derived", 2): "{name: hour, source: at, kind: hour}",
    ("label_values", 1): '["no", "yes"]',
    ("ignored", 1): "[row_id]",
    ("columns", 1): "[clicked, price, shop]",
}
_SECTIONS: dict[str, type[Frozen]] = {
    "defaults": SchemaDefaults,
    "timestamp": Timestamp,
    "dense": DenseOptions,
    "categorical": CategoricalOptions,
    "derived": DerivedColumn,
}


def _sentence(problem: Any) -> str:
    place = [str(part) for part in problem["loc"] if part != "[key]"]
    if problem["type"] == "extra_forbidden":
        # `defaults` holds two of the sections.
        inside = place[1] if place[0] == "defaults" and len(place) == 3 else place[0]
        section = TableSchema if len(place) == 1 else _SECTIONS[inside]
        message = f"no such field; there are {', '.join(section.model_fields)}"
    else:
        message = complaint(problem, _EXAMPLES.get((place[0] if place else "", len(place)), ""))
    return f"{'.'.join(place)}: {message}" if place else message
