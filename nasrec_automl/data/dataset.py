"""The prepared data set: a folder of memory-mapped arrays, made once and read by every stage."""

from __future__ import annotations

import errno
import hashlib
import resource
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.data.description import DESCRIPTION_FILE, Description, ShardDescription, fingerprint
from nasrec_automl.data.joined import Joined
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preprocessing import PREPROCESSING_FILE, Preprocessing
from nasrec_automl.data.rows import Rows
from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema

_VERIFIED = 1 << 16  # rows that are checked at once
_OPENINGS = 4  # a process opens a part several times, and other files


class PreparedData:
    """A prepared folder, open for reading. Every stage gets its rows here.

    Test stays closed unless it is asked for at `open`: the final stage does, and nothing else.
    """

    def __init__(self, path: Path, description: Description, *, test: bool) -> None:
        self.path = path
        self.description = description
        self._test = test

    @classmethod
    def open(cls, path: Path | str, *, test: bool = False) -> Self:
        """Open a folder that `prepare` wrote.

        Args:
            path: the folder.
            test: whether the test part may be read.

        Raises:
            DataError: not a prepared data set.
        """
        return cls(Path(path), Description.load(Path(path)), test=test)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.description.name

    @property
    def fingerprint(self) -> str:
        """SHA-256 of preprocessing and arrays: equal fingerprints, equal tensors."""
        return self.description.fingerprint

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What turns raw columns into this data's tensors."""
        return Preprocessing.load(self.path / PREPROCESSING_FILE)

    def schema(self, embedding_dim: int = 16, table_cap: int | None = None) -> FeatureSchema:
        """Describe the columns to a network; see `Preprocessing.schema`."""
        return self.preprocessing.schema(embedding_dim, table_cap)

    def rows(self, *names: Part | str) -> int:
        """Return the number of rows of a part, test included, or of several together."""
        return sum(self.description.parts[_part(name)].rows for name in names)

    def part(self, *names: Part | str) -> Rows:
        """Return the rows of one part, memory-mapped, or of several, joined without copying.

        A pickle of them holds folder and parts, and opens them again: NNI sends loaders to other processes, and refuses
        large pickles.

        Raises:
            DataError: no such part, test without leave, or damaged files.
        """
        if not names:
            raise DataError(f"name at least one part of {', '.join(Part)}")
        shards = [shard for part in self.description.parts.values() for shard in part.shards]
        _allow_open(_OPENINGS * sum(len(shard.checksums) for shard in shards))
        parts = tuple(_part(name) for name in names)
        rows = Rows.concatenate([self._one(part) for part in parts])
        return rows.pickled_as(_open_again, str(self.path.absolute()), tuple(map(str, parts)), self.fingerprint)

    def _one(self, part: Part) -> Rows:
        if part is Part.TEST and not self._test:
            raise DataError(
                f"{self.path}: the test part is read once, by the final stage; use a validation part "
                "(search, hpo, choice), or open the data with test=True for a last measurement"
            )
        description = self.description.parts[part]
        names = ["dense", "ids", "label", *(["weight"] if description.weight is not None else [])]
        return Rows(**{name: Joined.of([self._array(shard, name) for shard in description.shards]) for name in names})

    def _array(self, shard: ShardDescription, name: str) -> NDArray[Any]:
        path = self.path / shard.folder / f"{name}.npy"
        advice = "prepare the data again"
        expected = (shard.rows, *self._widths[name]), self._types[name]
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, SyntaxError, TypeError, TokenError) as error:  # NumPy's of a bad header
            if isinstance(error, OSError) and error.errno == errno.EMFILE:
                advice = "these data have more files than a process may open here: raise the limit (`ulimit -n`)"
            raise DataError(
                f"{path}: expected an array of shape {expected[0]}, but it cannot be read ({error}): {advice}"
            ) from None
        if (array.shape, array.dtype) != expected or not array.flags.c_contiguous:
            raise DataError(
                f"{path}: expected an array of shape {expected[0]} and type {expected[1]}, row by row, but found "
                f"{array.shape} and {array.dtype}: {advice}"
            )
        # Still the mapped file, without the subclass whose every slice costs microseconds.
        return array.view(np.ndarray)

    @property
    def _widths(self) -> dict[str, tuple[int, ...]]:
        """Shapes of one row."""
        ids = sum(field.columns for field in self.description.fields)
        return {"dense": (max(1, len(self.description.dense)),), "ids": (ids,), "label": (), "weight": ()}

    @property
    def _types(self) -> dict[str, np.dtype[Any]]:
        types = {"dense": "float32", "ids": self.description.ids_type, "label": "uint8", "weight": "float32"}
        return {name: np.dtype(type_) for name, type_ in types.items()}

    def verify(self) -> None:
        """Read everything, test included, and compare checksums and fingerprint.

        Raises:
            DataError: a file is damaged; names it.
        """
        parts = self.description.parts
        if fingerprint(self.preprocessing, parts) != self.fingerprint:
            raise DataError(
                f"{self.path}: {PREPROCESSING_FILE} or {DESCRIPTION_FILE} is not what was written: "
                "prepare the data again"
            )
        for part in Part:
            for shard in parts[part].shards:
                for name, checksum in shard.checksums.items():
                    if _checksum(self._array(shard, name)) != checksum:
                        path = self.path / shard.folder / f"{name}.npy"
                        raise DataError(f"{path}: its content is not what was written: prepare the data again")


def _allow_open(files: int) -> None:
    """Raise this process's limit of open files to so many, if it may: a mapped array keeps its file open.

    The limit is often 1,024, and a process may raise its own. It is raised no further than needed, since code that
    waits for descriptors with `select` fails for those above 1,023.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS allows less than it says; whatever cannot be opened says so
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_again(path: str, parts: tuple[str, ...], fingerprint: str) -> Rows:
    """Open the rows of a pickle."""
    data = PreparedData.open(path, test=Part.TEST in parts)
    if data.fingerprint != fingerprint:
        raise DataError(
            f"{path}: the data were prepared anew after a script had opened them and sent them to this process by the "
            "folder's name: start that script again"
        )
    return data.part(*parts)


def _checksum(array: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(array), _VERIFIED):
        digest.update(np.ascontiguousarray(array[start : start + _VERIFIED]).data)
    return digest.hexdigest()


def _part(name: Part | str) -> Part:
    try:
        return Part(name)
    except ValueError:
        raise DataError(f"there is no part {name!r}; the parts are {', '.join(Part)}") from None
