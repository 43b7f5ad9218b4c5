"""`dataset.json`: what a prepared folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nasrec_automl.data.parts import Part, SplitKind
from nasrec_automl.errors import DataError

FILE_NAME = "dataset.json"


class FieldDescription(BaseModel):
    """One categorical field: its name and the rows of its table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    table_size: int


class SplitDescription(BaseModel):
    """How rows were divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: SplitKind
    seed: int


class PartDescription(BaseModel):
    """Size and positive rate of one part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    positive_rate: float


class Description(BaseModel):
    """The content of `dataset.json`.

    Attributes:
        format: tells such a folder from any other.
        version: of the folder's layout.
        name: of the data set.
        label: what a 1 means.
        split: how rows were divided.
        dense: names of the dense columns.
        fields: the categorical fields in the order of the id columns.
        parts: size and positive rate of each part.
        notes: facts that the reader added.
        fingerprint: SHA-256 over preprocessing and arrays: equal fingerprints, equal tensors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["nasrec-automl prepared data"] = "nasrec-automl prepared data"
    version: Literal[1] = 1
    name: str
    label: str
    split: SplitDescription
    dense: tuple[str, ...]
    fields: tuple[FieldDescription, ...]
    parts: dict[Part, PartDescription]
    notes: dict[str, float | int | str] = {}
    fingerprint: str

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the description of a prepared folder.

        Raises:
            DataError: the folder is not a prepared data set of this version.
        """
        advice = "make one with `nasrec-automl prepare SOURCE --input PATH --output DIR`"
        try:
            description = cls.model_validate_json((folder / FILE_NAME).read_bytes())
        except OSError as error:
            raise DataError(
                f"{folder}: expected a prepared data set, but its {FILE_NAME} cannot be read "
                f"({error.strerror}): {advice}"
            ) from None
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"])) or "content"
            raise DataError(
                f"{folder / FILE_NAME}: not a prepared data set of version 1 ({where}: {problem['msg']}): {advice}"
            ) from None
        if missing := [part.value for part in Part if part not in description.parts]:
            raise DataError(f"{folder / FILE_NAME}: the parts {', '.join(missing)} are missing: {advice}")
        return description
