"""Hypothesis strategies: any space, any architecture of a space, what differs from one, any path."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from nasrec_automl.architecture import (
    DENSE_OPS,
    SPARSE_OPS,
    TOKEN_OPS,
    TWO_INPUT_OPS,
    Architecture,
    Block,
    Live,
    Path,
    PathBlock,
)
from nasrec_automl.space import SearchSpace


def search_spaces(*, max_blocks: int = 4) -> st.SearchStrategy[SearchSpace]:
    """Small spaces of any kind, down to those without a choice."""
    return st.builds(
        SearchSpace,
        name=st.just("drawn"),
        blocks=st.integers(1, max_blocks),
        dense_ops=_some(DENSE_OPS),
        sparse_ops=_some(SPARSE_OPS),
        dense_dims=_some((4, 7, 11)),
        sparse_dims=_some((3, 5)),
        max_inputs=st.integers(1, 3),
        dense_to_sparse=_some((False, True)),
        fm=_some((False, True)),
    )


def architectures(space: SearchSpace) -> st.SearchStrategy[Architecture]:
    """Architectures of a space; they shrink towards its first choices."""
    labels: dict[str, st.SearchStrategy[Any]] = {
        label: st.sampled_from(choices) for label, choices in space.labels.items()
    }
    return st.fixed_dictionaries(labels).map(space.from_params)


def spaces_and_architectures() -> st.SearchStrategy[Architecture]:
    """Architectures of any small space."""
    return search_spaces().flatmap(architectures)


def with_other_dead_parts(architecture: Architecture) -> st.SearchStrategy[Architecture]:
    """The architecture with the choices of its dead parts, and inputs that are not read, drawn again."""
    dead = [
        f"block{number}/{key}"
        for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1)
        for key in _dead_keys(block, live)
    ]
    choices = architecture.space.labels
    drawn = st.fixed_dictionaries({label: st.sampled_from(choices[label]) for label in dead if label in choices})
    return drawn.map(lambda changes: architecture.space.from_params({**architecture.params, **changes}))


def _dead_keys(block: Block, live: Live) -> list[str]:
    keys = []
    if not live.dense:
        keys += ["dense_op", "dense_dim", "dense_inputs", "left", "right"]
    elif block.dense_op in TWO_INPUT_OPS:
        keys += ["dense_inputs"]
    else:
        keys += ["left", "right"]
    if not live.sparse:
        keys += ["sparse_op", "sparse_dim"]
        keys += [] if live.dense and block.dense_op in TOKEN_OPS else ["sparse_inputs"]
    # A merger that is on and not live has no reader; one that is off may have one, unless its half block is dead.
    keys += ["dense_to_sparse"] if (block.dense_to_sparse and not live.dense_to_sparse) or not live.sparse else []
    keys += ["fm"] if (block.fm and not live.fm) or not live.dense else []
    return keys


def neighbours(architecture: Architecture) -> st.SearchStrategy[Architecture]:
    """The architecture with one label drawn again; the space has a label."""
    change = st.sampled_from(sorted(architecture.space.labels.items())).flatmap(
        lambda item: st.tuples(st.just(item[0]), st.sampled_from(item[1]))
    )
    return change.map(lambda pair: architecture.space.from_params({**architecture.params, pair[0]: pair[1]}))


def paths(space: SearchSpace) -> st.SearchStrategy[Path]:
    """Paths of a space: several operators, any number of inputs, several left and right."""
    return st.tuples(*(_path_block(space, number) for number in range(1, space.blocks + 1))).map(Path)


def _path_block(space: SearchSpace, number: int) -> st.SearchStrategy[PathBlock]:
    sources = _some(tuple(range(number)))
    return st.builds(
        PathBlock,
        dense_ops=_some(space.dense_ops),
        sparse_ops=_some(space.sparse_ops),
        dense_dim=st.sampled_from(space.dense_dims),
        sparse_dim=st.sampled_from(space.sparse_dims),
        dense_inputs=sources,
        sparse_inputs=sources,
        left=sources,
        right=sources,
        dense_to_sparse=st.sampled_from(space.dense_to_sparse),
        fm=st.sampled_from(space.fm),
    )


def _some(items: tuple[Any, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A non-empty subset, in the items' order."""
    return st.sets(st.sampled_from(range(len(items))), min_size=1).map(
        lambda chosen: tuple(items[i] for i in sorted(chosen))
    )
