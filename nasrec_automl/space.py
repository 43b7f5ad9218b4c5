"""Search spaces: what may be chosen, under which labels, and how to draw and change an architecture."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from functools import cached_property
from importlib import resources
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError, field_validator

from nasrec_automl.architecture import (
    DENSE_OPS,
    SPARSE_OPS,
    TWO_INPUT_OPS,
    Architecture,
    Block,
    ParameterValue,
    Path,
)
from nasrec_automl.errors import ArchitectureError, SpaceError
from nasrec_automl.frozen import Frozen
from nasrec_automl.yaml_files import first_complaint, load_yaml

InputCount = Literal["binomial", "uniform"]
Space = TypeVar("Space", bound=BaseModel)

INPUT_KEYS = ("dense_inputs", "sparse_inputs")
"""Of a block's labels, those that choose sets of inputs."""
_WIRING = (*INPUT_KEYS, "left", "right")
_OPERATORS = ("ops", "dense_dim", "sparse_dim", "dense_to_sparse", "fm")
"""Keys of a mutation. The two operators of a block count as one key."""

_MOST_INPUT_SETS = 3000
"""Choices of one label: studies hold all of them with every trial, and MySQL takes no more than 64 KiB a parameter."""


class SearchSpace(Frozen):
    """A block-wise space: every block chooses operators, widths, inputs and mergers.

    Attributes:
        name: how files and studies name the space.
        blocks: N, the number of blocks.
        dense_ops: dense operators to choose from.
        sparse_ops: sparse operators to choose from.
        dense_dims: d, widths of a block's dense output.
        sparse_dims: n, tokens that a sparse operator writes.
        max_inputs: the cap on the number of concatenated inputs.
        dense_to_sparse: whether the dense-to-sparse merger may be on, off or both.
        fm: the same for the FM merger.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    blocks: Annotated[int, Field(ge=1, le=64)]
    dense_ops: Annotated[tuple[str, ...], Field(min_length=1)]
    sparse_ops: Annotated[tuple[str, ...], Field(min_length=1)]
    dense_dims: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    sparse_dims: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    max_inputs: Annotated[int, Field(ge=1, validate_default=True)] = 4
    dense_to_sparse: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, True)
    fm: Annotated[tuple[bool, ...], Field(min_length=1)] = (False, True)

    @field_validator("dense_ops", "sparse_ops")
    @classmethod
    def _ops_exist(cls, ops: tuple[str, ...], info: Any) -> tuple[str, ...]:
        known = DENSE_OPS if info.field_name == "dense_ops" else SPARSE_OPS
        unknown = [op for op in ops if op not in known]
        if unknown:
            raise ValueError(f"unknown operators {unknown}; known are {list(known)}")
        return ops

    @field_validator("dense_ops", "sparse_ops", "dense_dims", "sparse_dims", "dense_to_sparse", "fm")
    @classmethod
    def _choices_are_distinct(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(choices)) != len(choices):
            raise ValueError(f"choices must be distinct, but {list(choices)} has some twice")
        return choices

    @field_validator("max_inputs")
    @classmethod
    def _input_sets_are_few(cls, most: int, info: Any) -> int:
        blocks = info.data.get("blocks", 1)  # it has an error of its own where it is missing
        sets = sum(math.comb(blocks, size) for size in range(1, min(most, blocks) + 1))
        if sets > _MOST_INPUT_SETS:
            raise ValueError(
                f"the last of {blocks} blocks would choose among {sets:,} sets of at most {most} inputs, but "
                f"{_MOST_INPUT_SETS:,} are supported; lower max_inputs or blocks"
            )
        return most

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> SearchSpace:
        """As pydantic's own; the copy has labels of its own, and whatever else is cached."""
        copied = super().model_copy(update=update, deep=deep)
        for cached in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[cached]
        return copied

    @cached_property
    def labels(self) -> Mapping[str, tuple[ParameterValue, ...]]:
        """Every label with its choices, block by block. A label with a single choice does not exist."""
        return {
            f"block{number}/{key}": choices
            for number, of_block in enumerate(self._all_choices, 1)
            for key, choices in of_block.items()
            if len(choices) > 1
        }

    def choices(self, number: int) -> dict[str, tuple[ParameterValue, ...]]:
        """Every key of a block with its choices, those with a single choice too."""
        subsets = tuple(
            join_sources(subset)
            for size in range(1, min(self.max_inputs, number) + 1)
            for subset in itertools.combinations(range(number), size)
        )
        # Where no operator reads left and right, they are no choice.
        sides = tuple(f"s{s}" for s in range(number)) if self._has_two_input_ops else ("s0",)
        return {
            "dense_op": self.dense_ops,
            "sparse_op": self.sparse_ops,
            "dense_dim": self.dense_dims,
            "sparse_dim": self.sparse_dims,
            "dense_inputs": subsets,
            "sparse_inputs": subsets,
            "left": sides,
            "right": sides,
            "dense_to_sparse": self.dense_to_sparse,
            "fm": self.fm,
        }

    @cached_property
    def _all_choices(self) -> tuple[dict[str, tuple[ParameterValue, ...]], ...]:
        return tuple(self.choices(number) for number in range(1, self.blocks + 1))

    @property
    def _has_two_input_ops(self) -> bool:
        return not TWO_INPUT_OPS.isdisjoint(self.dense_ops)

    @property
    def cardinality(self) -> int:
        """Number of architectures, counted by labels (many share a key)."""
        return math.prod(len(choices) for choices in self.labels.values())

    # From and to the flat form.

    def to_params(self, architecture: Architecture) -> dict[str, ParameterValue]:
        """Write an architecture as label to value."""
        params = {
            f"block{number}/{key}": value
            for number, block in enumerate(architecture.blocks, 1)
            for key, value in _values(block).items()
        }
        return {label: params[label] for label in self.labels}

    def from_params(self, params: Mapping[str, Any]) -> Architecture:
        """Build an architecture from label to value.

        Raises:
            ArchitectureError: a label is missing or unknown, or a value is not one of its choices.
        """
        unknown = sorted(set(params) - set(self.labels))
        if unknown:
            raise ArchitectureError(
                f"{unknown[0]!r} is no label of the space {self.name!r}: give its labels alone (`space.labels`)"
            )
        blocks = []
        for number, choices in enumerate(self._all_choices, 1):
            values: dict[str, Any] = {}
            for key, allowed in choices.items():
                label = f"block{number}/{key}"
                if len(allowed) == 1:
                    values[key] = allowed[0]
                    continue
                if label not in params:
                    raise ArchitectureError(f"the label {label!r} of the space {self.name!r} has no value")
                values[key] = self._checked(label, params[label], allowed)
            blocks.append(_block(values))
        return Architecture(self, tuple(blocks))

    def _checked(self, label: str, value: Any, allowed: tuple[ParameterValue, ...]) -> ParameterValue:
        for choice in allowed:
            # `1 == True` must not pass for a boolean, nor True for a width.
            if value == choice and isinstance(value, bool | np.bool_) == isinstance(choice, bool):
                return choice
        shown = ", ".join(map(str, allowed[:8])) + (", ..." if len(allowed) > 8 else "")
        raise ArchitectureError(
            f"{label!r} is {value!r}, which is none of its choices in the space {self.name!r}: {shown}"
        )

    def validate_architecture(self, architecture: Architecture) -> Architecture:
        """Return the architecture as a point of this space.

        Raises:
            ArchitectureError: it is none; the message names the label.
        """
        if len(architecture.blocks) != self.blocks:
            raise ArchitectureError(
                f"the space {self.name!r} has {self.blocks} blocks, but the architecture has {len(architecture.blocks)}"
            )
        for number, (block, choices) in enumerate(zip(architecture.blocks, self._all_choices, strict=True), 1):
            for key, value in _values(block).items():
                if key in ("left", "right") and not self._has_two_input_ops:
                    continue
                self._checked(f"block{number}/{key}", value, choices[key])
        return self.from_params(self.to_params(architecture))

    def adopt(self, architecture: Architecture) -> Architecture:
        """Return an architecture of this space as it is, at once, and one of another as a point of this.

        Raises:
            ArchitectureError: it is none; the message names the label.
        """
        own = architecture.space is self or architecture.space == self
        return architecture if own else self.validate_architecture(architecture)

    def validate_path(self, path: Path) -> None:
        """Check what a training step is to run; paths are drawn at each step, so that this costs microseconds.

        Raises:
            ArchitectureError: it is none of this space; the message names the block.
        """
        if len(path.blocks) != self.blocks:
            raise ArchitectureError(
                f"the path has {len(path.blocks)} blocks, but the space {self.name!r} has {self.blocks}"
            )
        for number, block in enumerate(path.blocks, 1):
            sets = (block.dense_ops, block.sparse_ops, block.dense_inputs, block.sparse_inputs, block.left, block.right)
            if not (
                all(0 < len(chosen) == len(set(chosen)) for chosen in sets)
                and set(block.dense_ops).issubset(self.dense_ops)
                and set(block.sparse_ops).issubset(self.sparse_ops)
                and block.dense_dim in self.dense_dims
                and block.sparse_dim in self.sparse_dims
                and {*block.dense_inputs, *block.sparse_inputs, *block.left, *block.right}.issubset(range(number))
                and block.dense_to_sparse in self.dense_to_sparse
                and block.fm in self.fm
            ):
                raise ArchitectureError(f"block{number} of the path is none of the space {self.name!r}: {block}")

    # Drawing and changing architectures.

    def random(self, rng: np.random.Generator, *, inputs: InputCount = "binomial") -> Architecture:
        """Draw an architecture.

        Args:
            rng: source of randomness.
            inputs: distribution of the number of inputs out of n sources. `binomial` is the supernet's,
                1 + Binomial(min(n - 1, cap - 1), 0.5); `uniform` is the evolution's, from 1 to min(cap, n).
        """
        blocks = []
        for number, choices in enumerate(self._all_choices, 1):
            values = {key: self._draw(key, number, choices[key], rng, inputs) for key in choices}
            blocks.append(_block(values))
        return Architecture(self, tuple(blocks))

    def mutate(self, architecture: Architecture, rng: np.random.Generator, *, times: int = 1) -> Architecture:
        """Change an architecture by the paper's rule (arXiv 2207.07187).

        One mutation picks a block, then wiring or operators with equal chance, then one key to draw again; the two
        operators of a block count as one key. The number of inputs is drawn uniformly.

        Args:
            architecture: the parent; one of another space must be a point of this too.
            rng: source of randomness.
            times: number of mutations.

        Raises:
            ArchitectureError: the parent is no point of this space.
        """
        blocks = list(self.adopt(architecture).blocks)
        for _ in range(times):
            number = int(rng.integers(self.blocks)) + 1
            halves = [keys for keys in (self._open_keys(number, _WIRING), self._open_keys(number, _OPERATORS)) if keys]
            if not halves:
                continue
            keys = halves[int(rng.integers(len(halves)))]
            key = keys[int(rng.integers(len(keys)))]
            choices = self._all_choices[number - 1]
            values = _values(blocks[number - 1])
            for name in ("dense_op", "sparse_op") if key == "ops" else (key,):
                values[name] = self._draw(name, number, choices[name], rng, "uniform")
            blocks[number - 1] = _block(values)
        return Architecture(self, tuple(blocks))

    def _open_keys(self, number: int, keys: tuple[str, ...]) -> list[str]:
        """Those of the keys that have something to choose in a block."""
        choices = self._all_choices[number - 1]
        sizes = {key: len(allowed) for key, allowed in choices.items()}
        sizes["ops"] = sizes["dense_op"] * sizes["sparse_op"]
        return [key for key in keys if sizes[key] > 1]

    def _draw(
        self,
        key: str,
        number: int,
        choices: tuple[ParameterValue, ...],
        rng: np.random.Generator,
        inputs: InputCount,
    ) -> ParameterValue:
        if key in INPUT_KEYS:
            return join_sources(draw_inputs(number, self.max_inputs, rng, inputs))
        return choices[int(rng.integers(len(choices)))]

    # NNI.

    def to_nni(self) -> dict[str, dict[str, Any]]:
        """The space in NNI's JSON form: `{label: {"_type": "choice", "_value": [...]}}`."""
        return {label: {"_type": "choice", "_value": list(choices)} for label, choices in self.labels.items()}

    def to_nni_json(self) -> str:
        """The text of a `.nni.json` file, a label a line: what an NNI experiment takes as `searchSpaceFile`."""
        lines = (f"  {json.dumps(label)}: {json.dumps(choice)}" for label, choice in self.to_nni().items())
        return "{\n" + ",\n".join(lines) + "\n}\n"


def draw_inputs(sources: int, cap: int, rng: np.random.Generator, count: InputCount) -> tuple[int, ...]:
    """Draw a set of inputs out of `sources` sources, at most `cap` of them, ascending."""
    most = min(cap, sources)
    size = 1 + int(rng.binomial(most - 1, 0.5)) if count == "binomial" else 1 + int(rng.integers(most))
    return tuple(sorted(int(s) for s in rng.choice(sources, size, replace=False)))


def join_sources(sources: tuple[int, ...]) -> str:
    """Write sources as a label's value, such as `s0+s2`."""
    return "+".join(f"s{s}" for s in sources)


def split_sources(value: str) -> tuple[int, ...]:
    """Read what `join_sources` wrote."""
    return tuple(int(part[1:]) for part in value.split("+"))


def _values(block: Block) -> dict[str, Any]:
    return {
        "dense_op": block.dense_op,
        "sparse_op": block.sparse_op,
        "dense_dim": block.dense_dim,
        "sparse_dim": block.sparse_dim,
        "dense_inputs": join_sources(block.dense_inputs),
        "sparse_inputs": join_sources(block.sparse_inputs),
        "left": f"s{block.left}",
        "right": f"s{block.right}",
        "dense_to_sparse": block.dense_to_sparse,
        "fm": block.fm,
    }


def _block(values: Mapping[str, Any]) -> Block:
    return Block(
        dense_op=values["dense_op"],
        sparse_op=values["sparse_op"],
        dense_dim=values["dense_dim"],
        sparse_dim=values["sparse_dim"],
        dense_inputs=split_sources(values["dense_inputs"]),
        sparse_inputs=split_sources(values["sparse_inputs"]),
        left=int(values["left"][1:]),
        right=int(values["right"][1:]),
        dense_to_sparse=values["dense_to_sparse"],
        fm=values["fm"],
    )


# Files.


def shipped_files(folder: str, suffix: str) -> dict[str, FilePath]:
    """Files that ship in `search_spaces/<folder>`, by name: `nasrec_full.yaml` is named `nasrec-full`."""
    root = FilePath(str(resources.files("nasrec_automl.search_spaces"))) / folder
    return {path.stem.replace("_", "-"): path for path in sorted(root.glob(f"*{suffix}"))}


def load_search_space(name: str | FilePath) -> SearchSpace:
    """Load a space by the name it ships under, or from a YAML file.

    Raises:
        SpaceError: there is no such space, or the file does not hold one; the message names the field.

    Example:
        >>> load_search_space("nasrec-full").blocks
        7
    """
    return read_space(SearchSpace, "", name, "search space")


def read_space(kind: type[Space], folder: str, name: str | FilePath, word: str) -> Space:
    """Read a space of any kind from the files of `search_spaces/<folder>`, by name, or from a YAML file.

    Args:
        kind: what the file holds.
        folder: in `search_spaces`.
        name: name or path.
        word: what to call it in errors.

    Raises:
        SpaceError: there is no such space, or the file does not hold one; the message names the field.
    """
    shipped = shipped_files(folder, ".yaml")
    path = shipped.get(str(name), FilePath(name))
    if not path.is_file():
        raise SpaceError(f"no {word} {str(name)!r}: expected a YAML file or one of {', '.join(shipped)}")
    try:
        return kind.model_validate(load_yaml(path, SpaceError))
    except ValidationError as error:
        raise SpaceError(f"{path}: {first_complaint(error)}") from None


def load_architecture(name: str | FilePath, space: SearchSpace | None = None) -> Architecture:
    """Load an architecture by the name it ships under (`criteo-full`), or from a JSON file.

    Args:
        name: `criteo`, `avazu` or `kdd12`, then `-full` or `-small`; or a path.
        space: needed when the file's space does not ship with the package.

    Raises:
        ArchitectureError: there is no such architecture, or the file does not hold one.

    Example:
        >>> load_architecture("criteo-full").key == load_architecture("criteo-full").key
        True
    """
    shipped = shipped_files("architectures", ".json")
    path = shipped.get(str(name), FilePath(name))
    if not path.is_file():
        raise ArchitectureError(f"no architecture {str(name)!r}: expected a JSON file or one of {', '.join(shipped)}")
    try:
        return Architecture.from_json(path.read_text(encoding="utf-8"), space)
    except (ArchitectureError, UnicodeDecodeError) as error:
        raise ArchitectureError(f"{path}: {error}") from None
