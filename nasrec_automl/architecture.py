"""Architectures and paths: immutable values that every part of the package passes around.

An architecture is one point of a search space. A path is what a training step runs: sets where an architecture has
single values. The effective form is what is left of an architecture when everything that cannot change its function
is taken away; its hash is the architecture's key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nasrec_automl.digest import digest
from nasrec_automl.errors import ArchitectureError, SpaceError

if TYPE_CHECKING:
    from nasrec_automl.space import SearchSpace

FC, DOT_PRODUCT, SIGMOID_GATING, SUM = "fc", "dot_product", "sigmoid_gating", "sum"
FLAT_FC, BI_INTERACTION = "flat_fc", "bi_interaction"
EFC, ATTENTION, CROSS, PROJECTION = "efc", "attention", "cross", "projection"
DENSE_OPS = (FC, DOT_PRODUCT, SIGMOID_GATING, SUM, FLAT_FC, BI_INTERACTION)
SPARSE_OPS = (EFC, ATTENTION, CROSS, PROJECTION)

TWO_INPUT_OPS = frozenset({SIGMOID_GATING, SUM})
"""Dense operators that read `left` and `right` instead of the dense inputs."""

TOKEN_OPS = frozenset({DOT_PRODUCT, FLAT_FC, BI_INTERACTION})
"""Dense operators that read the sparse inputs beside the dense ones."""

MERGED_TOKENS = 8
"""Tokens that the dense-to-sparse merger appends to a block's sparse output."""

ParameterValue = str | int | bool


@dataclass(frozen=True, slots=True)
class Live:
    """Which of a block's four nodes the logit depends on."""

    dense: bool
    sparse: bool
    dense_to_sparse: bool
    fm: bool


@dataclass(frozen=True, slots=True)
class PathBlock:
    """What one block of a path runs.

    Attributes:
        dense_ops: dense operators; the outputs of several are added.
        sparse_ops: sparse operators; the outputs of several are added.
        dense_dim: d, width of the dense output.
        sparse_dim: n, number of tokens that the sparse operators write.
        dense_inputs: sources whose dense outputs the operators but Sigmoid-Gating and Sum read, ascending.
        sparse_inputs: sources whose sparse outputs the sparse operators and `TOKEN_OPS` read, ascending.
        left: sources of the left input of Sigmoid-Gating and Sum; several are added.
        right: the same for the right input.
        dense_to_sparse: whether the dense-to-sparse merger is on.
        fm: whether the FM merger is on.
    """

    dense_ops: tuple[str, ...]
    sparse_ops: tuple[str, ...]
    dense_dim: int
    sparse_dim: int
    dense_inputs: tuple[int, ...]
    sparse_inputs: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    dense_to_sparse: bool
    fm: bool

    def __str__(self) -> str:
        """One line for messages: the names are those of the labels, and inputs that are all the same stand once."""
        parts = [f"{'+'.join(self.dense_ops)} {self.dense_dim}", f"{'+'.join(self.sparse_ops)} {self.sparse_dim}"]
        names = ("dense_inputs", "sparse_inputs", "left", "right")
        inputs = {name: "+".join(f"s{source}" for source in getattr(self, name)) for name in names}
        if len(set(inputs.values())) == 1:
            parts.append(f"inputs {inputs['left']}")
        else:
            parts += [f"{name} {sources}" for name, sources in inputs.items()]
        return ", ".join(parts + [name for name in ("dense_to_sparse", "fm") if getattr(self, name)])


@dataclass(frozen=True)
class Path:
    """What a training step runs: one `PathBlock` per block."""

    blocks: tuple[PathBlock, ...]

    def __str__(self) -> str:
        """One line for messages."""
        return "; ".join(f"block{number} {block}" for number, block in enumerate(self.blocks, 1))

    @cached_property
    def live(self) -> tuple[Live, ...]:
        """Liveness of each block's dense operator, sparse operator and mergers."""
        return _liveness(self.blocks)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of an architecture: the attributes of `PathBlock`, each with a single value."""

    dense_op: str
    sparse_op: str
    dense_dim: int
    sparse_dim: int
    dense_inputs: tuple[int, ...]
    sparse_inputs: tuple[int, ...]
    left: int
    right: int
    dense_to_sparse: bool
    fm: bool


@dataclass(frozen=True)
class Architecture:
    """One point of a search space.

    Made by `SearchSpace.random`, `SearchSpace.from_params`, `Architecture.from_json` or `load_architecture`; all of
    them validate. Two architectures with equal `key` compute the same function of the same weights.

    Attributes:
        space: the space that it is a point of.
        blocks: block 1 to block N.
    """

    space: SearchSpace = field(repr=False)
    blocks: tuple[Block, ...]

    @classmethod
    def from_json(cls, text: str, space: SearchSpace | None = None) -> Architecture:
        """Read what `to_json` wrote.

        Args:
            text: the JSON.
            space: the space; by default the one that the text names, which must then ship with the package.

        Raises:
            ArchitectureError: the text is no architecture, or not one of the space.
        """
        from nasrec_automl.space import load_search_space

        try:
            data = json.loads(text)
            if isinstance(data, dict) and "micro" in data:
                raise ArchitectureError(
                    "this is the published JSON form: read it with nasrec_automl.published.read_published(text), whose "
                    "to_json() is the form that is expected here"
                )
            name, params = data["space"], data["params"]
            if not isinstance(name, str) or not isinstance(params, dict):
                raise TypeError(f"space is {name!r}, params {type(params).__name__}")
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ArchitectureError(
                f'an architecture is a JSON object {{"space": name, "params": {{label: value}}}}, '
                f"but this text is not ({error!r})"
            ) from None
        if space is None:
            try:
                space = load_search_space(name)
            except SpaceError:
                raise ArchitectureError(f"its space {name!r} does not ship with the package: pass space=...") from None
        elif space.name != name:
            raise ArchitectureError(f"the architecture is of the space {name!r}, but {space.name!r} is expected")
        return space.from_params(params)

    @cached_property
    def params(self) -> dict[str, ParameterValue]:
        """The flat form: label to value, relative to the space. A label with a single choice does not exist."""
        return self.space.to_params(self)

    @cached_property
    def path(self) -> Path:
        """The same choices as a path of singletons."""
        return Path(tuple(_as_path(block) for block in self.blocks))

    @property
    def live(self) -> tuple[Live, ...]:
        """Liveness of each block's four nodes."""
        return self.path.live

    @cached_property
    def effective(self) -> tuple[dict[str, Any], ...]:
        """The effective form, one JSON-able dict a block: only what the logit depends on."""
        return tuple(_effective(block, live) for block, live in zip(self.blocks, self.live, strict=True))

    @cached_property
    def key(self) -> str:
        """Hash of the effective form, 16 hexadecimal digits: equal keys, same function."""
        text = json.dumps(self.effective, sort_keys=True, separators=(",", ":"))
        return digest(text, 16)

    def to_json(self) -> str:
        """Write space, key and parameters as JSON."""
        return json.dumps({"space": self.space.name, "key": self.key, "params": self.params}, indent=2) + "\n"

    def __str__(self) -> str:
        """A table with one line a block; what is dead stands in brackets."""
        return "\n".join(
            _line(number, block, live)
            for number, (block, live) in enumerate(zip(self.blocks, self.live, strict=True), 1)
        )


def _as_path(block: Block) -> PathBlock:
    return PathBlock(
        dense_ops=(block.dense_op,),
        sparse_ops=(block.sparse_op,),
        dense_dim=block.dense_dim,
        sparse_dim=block.sparse_dim,
        dense_inputs=block.dense_inputs,
        sparse_inputs=block.sparse_inputs,
        left=(block.left,),
        right=(block.right,),
        dense_to_sparse=block.dense_to_sparse,
        fm=block.fm,
    )


def _liveness(blocks: tuple[PathBlock, ...]) -> tuple[Live, ...]:
    """Walk from the logit back to the input, marking which outputs are read."""
    dense_read = {len(blocks)}
    sparse_read = {len(blocks)}
    live: list[Live] = []
    for number in range(len(blocks), 0, -1):
        block = blocks[number - 1]
        merges = block.dense_to_sparse and number in sparse_read
        fm = block.fm and number in dense_read
        dense = number in dense_read or merges
        sparse = number in sparse_read or fm
        if dense:
            if not TWO_INPUT_OPS.issuperset(block.dense_ops):
                dense_read.update(block.dense_inputs)
            if not TOKEN_OPS.isdisjoint(block.dense_ops):
                sparse_read.update(block.sparse_inputs)
            if not TWO_INPUT_OPS.isdisjoint(block.dense_ops):
                dense_read.update(block.left, block.right)
        if sparse:
            sparse_read.update(block.sparse_inputs)
        live.append(Live(dense=dense, sparse=sparse, dense_to_sparse=merges, fm=fm))
    return tuple(reversed(live))


def _effective(block: Block, live: Live) -> dict[str, Any]:
    form: dict[str, Any] = {}
    if live.dense:
        form["dense"] = [block.dense_op, block.dense_dim]
        if block.dense_op == SUM:
            form["inputs"] = sorted((block.left, block.right))
        elif block.dense_op == SIGMOID_GATING:
            form["inputs"] = [block.left, block.right]
        else:
            form["inputs"] = block.dense_inputs
    if live.sparse:
        form["sparse"] = [block.sparse_op, block.sparse_dim]
    if live.sparse or (live.dense and block.dense_op in TOKEN_OPS):
        form["tokens"] = block.sparse_inputs
    if live.dense_to_sparse:
        form["dense_to_sparse"] = True
    if live.fm:
        form["fm"] = True
    return form


def _sources(numbers: Iterable[int]) -> str:
    return " ".join(f"s{number}" for number in numbers)


def _line(number: int, block: Block, live: Live) -> str:
    if block.dense_op in TWO_INPUT_OPS:
        dense = f"{block.dense_op}(s{block.left}, s{block.right}) -> {block.dense_dim}"
    else:
        read = _sources(block.dense_inputs)
        if block.dense_op in TOKEN_OPS:
            read += f"; tokens {_sources(block.sparse_inputs)}"
        dense = f"{block.dense_op}({read}) -> {block.dense_dim}"
    sparse = f"{block.sparse_op}({_sources(block.sparse_inputs)}) -> {block.sparse_dim}"
    parts = [(dense, live.dense), (sparse, live.sparse)]
    if block.dense_to_sparse:
        parts.append(("dense-to-sparse", live.dense_to_sparse))
    if block.fm:
        parts.append(("fm", live.fm))
    return f"block {number}: " + "; ".join(text if alive else f"[{text}]" for text, alive in parts)
