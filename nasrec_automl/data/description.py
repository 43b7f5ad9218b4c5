"""`dataset.json`: what a prepared folder holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError

from nasrec_automl.data.parts import PARTS, Part, SplitKind
from nasrec_automl.errors import DataError
from nasrec_automl.frozen import Frozen
from nasrec_automl.yaml_files import first_complaint

DESCRIPTION_FILE = "dataset.json"


class FieldDescription(Frozen):
    """One categorical field: its name, the rows of its table and its number of id columns."""

    name: str
    table_size: int
    columns: int = 1


class SplitDescription(Frozen):
    """How rows were divided."""

    kind: SplitKind
    seed: int


class ShardDescription(Frozen):
    """One folder of arrays: successive rows of a part.

    Attributes:
        folder: within the data set's folder, such as `train/00000`.
        rows: number of rows.
        checksums: SHA-256 of each array's values by its name: dense, ids, label, weight.
    """

    folder: str
    rows: int
    checksums: dict[str, str]


class PartDescription(Frozen):
    """Size and positive rate of one part.

    Attributes:
        rows: number of rows.
        positive_rate: share of ones, by weight where rows have weights.
        weight: sum of the rows' weights; None where each counts once.
        shards: in the order of the rows.
    """

    rows: int
    positive_rate: float
    weight: float | None = None
    shards: tuple[ShardDescription, ...]


def fingerprint(preprocessing: BaseModel, parts: Mapping[Part, PartDescription]) -> str:
    """Return the SHA-256 of what makes the tensors: preprocessing, and the arrays' checksums."""
    digest = hashlib.sha256(preprocessing.model_dump_json().encode())
    for part in PARTS:
        for shard in parts[part].shards:
            digest.update(f"{part} {shard.rows} {sorted(shard.checksums.items())}".encode())
    return digest.hexdigest()


def is_prepared(folder: Path) -> bool:
    """Say whether a folder holds prepared data; it may be of another version."""
    return (folder / DESCRIPTION_FILE).is_file()


class Description(Frozen):
    """The content of `dataset.json`.

    Attributes:
        format: tells such a folder from any other.
        version: of the folder's layout.
        name: of the data set.
        label: what a 1 means.
        split: how rows were divided.
        dense: names of the dense columns.
        fields: the categorical fields in the order of the id columns.
        parts: size, positive rate and shards of each part.
        ids_type: type of the ids' arrays, the smallest that fits the largest table.
        notes: facts that the reader added.
        earlier: fingerprints of the folders that it grew from by appending, the oldest first.
        fingerprint: SHA-256 over preprocessing and arrays: equal fingerprints, equal tensors.
    """

    format: Literal["nasrec-automl prepared data"] = "nasrec-automl prepared data"
    version: Literal[2] = 2
    name: str
    label: str
    split: SplitDescription
    dense: tuple[str, ...]
    fields: tuple[FieldDescription, ...]
    ids_type: str
    parts: dict[Part, PartDescription]
    notes: dict[str, float | int | str] = Field(default_factory=dict)
    earlier: tuple[str, ...] = ()
    fingerprint: str

    @property
    def appended(self) -> int:
        """How often rows were appended."""
        return len(self.earlier)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the description of a prepared folder.

        Raises:
            DataError: the folder is not a prepared data set of this version.
        """
        advice = "make one with `nasrec-automl prepare SOURCE --input PATH --output DIR`"
        try:
            description = cls.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
        except OSError as error:
            raise DataError(
                f"{folder}: expected a prepared data set, but its {DESCRIPTION_FILE} cannot be read "
                f"({error.strerror}): {advice}"
            ) from None
        except ValidationError as error:
            raise DataError(
                f"{folder / DESCRIPTION_FILE}: not a prepared data set of version 2 "
                f"({first_complaint(error)}): {advice}"
            ) from None
        if missing := [part.value for part in Part if part not in description.parts]:
            raise DataError(f"{folder / DESCRIPTION_FILE}: the parts {', '.join(missing)} are missing: {advice}")
        return description
