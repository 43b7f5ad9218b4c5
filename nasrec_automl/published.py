"""The JSON form in which users of the published implementation hold architectures."""

from __future__ import annotations

import json
from typing import Any

from nasrec_automl.architecture import (
    ATTENTION,
    DENSE_OPS,
    DOT_PRODUCT,
    EFC,
    FC,
    SIGMOID_GATING,
    SUM,
    Architecture,
    Block,
)
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.space import load_search_space

_NODES = {
    "xlarge": (FC, DOT_PRODUCT, SIGMOID_GATING, SUM, ATTENTION, EFC),
    "autoctr": (FC, DOT_PRODUCT, EFC),
}
_SPACES = {"xlarge": "nasrec-full", "autoctr": "nasrec-small"}


def read_published(text: str) -> Architecture:
    """Read an architecture in the published JSON form.

    Args:
        text: JSON with `num_blocks`, `config` (`xlarge` is Full, `autoctr` Small), `micro` and `macro`. Other keys
            are ignored.

    Raises:
        ArchitectureError: the text is not of that form, or the architecture is not in its space.
    """
    try:
        data = json.loads(text)
        config = data["config"]
        if config not in _NODES:
            raise ArchitectureError(f"config must be 'xlarge' or 'autoctr', but is {config!r}")
        micro, macro = data["micro"], data["macro"]
        if not len(micro) == len(macro) == data["num_blocks"]:
            raise ArchitectureError(
                f"num_blocks is {data['num_blocks']}, but micro has {len(micro)} blocks and macro {len(macro)}"
            )
        blocks = tuple(
            _read_block(operators, wiring, _NODES[config]) for operators, wiring in zip(micro, macro, strict=True)
        )
    except (json.JSONDecodeError, KeyError, IndexError, TypeError, ValueError) as error:
        if isinstance(error, ArchitectureError):
            raise
        raise ArchitectureError(f"not an architecture in the published JSON form ({error!r})") from None
    space = load_search_space(_SPACES[config])
    return space.validate_architecture(Architecture(space, blocks))


def write_published(architecture: Architecture, *, layer_norm: bool = True) -> str:
    """Write an architecture in the published JSON form.

    Args:
        architecture: a point of `nasrec-full` or `nasrec-small`.
        layer_norm: the form's flag, which says how the supernet was trained.

    Raises:
        ArchitectureError: the architecture is of another space.
    """
    configs = {space: config for config, space in _SPACES.items()}
    config = configs.get(architecture.space.name)
    if config is None:
        raise ArchitectureError(
            f"the published JSON form has only {', '.join(configs)}, not {architecture.space.name!r}"
        )
    nodes = _NODES[config]
    micro = [
        {
            "active_nodes": [nodes.index(block.dense_op), nodes.index(block.sparse_op)],
            "dense_in_dims": block.dense_dim,
            "sparse_in_dims": block.sparse_dim,
            "dense_sparse_interact": int(block.dense_to_sparse),
            "deep_fm": int(block.fm),
        }
        for block in architecture.blocks
    ]
    macro = [
        {
            "dense_idx": list(block.dense_inputs),
            "sparse_idx": list(block.sparse_inputs),
            "dense_left_idx": [block.left],
            "dense_right_idx": [block.right],
        }
        for block in architecture.blocks
    ]
    data = {
        "num_blocks": len(micro),
        "config": config,
        "use_layernorm": int(layer_norm),
        "micro": micro,
        "macro": macro,
    }
    return json.dumps(data)


def _read_block(micro: dict[str, Any], macro: dict[str, Any], nodes: tuple[str, ...]) -> Block:
    active = micro["active_nodes"]
    if any(node not in range(len(nodes)) for node in active):  # -1 would be the last one
        raise ArchitectureError(f"active_nodes must be numbers from 0 to {len(nodes) - 1}, but are {active}")
    ops = [nodes[node] for node in active]
    dense = [op for op in ops if op in DENSE_OPS]
    sparse = [op for op in ops if op not in DENSE_OPS]
    if len(dense) != 1 or len(sparse) != 1:
        raise ArchitectureError(f"active_nodes must name one dense and one sparse operator, but name {ops}")
    return Block(
        dense_op=dense[0],
        sparse_op=sparse[0],
        dense_dim=micro["dense_in_dims"],
        sparse_dim=micro["sparse_in_dims"],
        dense_inputs=tuple(sorted(macro["dense_idx"])),
        sparse_inputs=tuple(sorted(macro["sparse_idx"])),
        left=_only(macro, "dense_left_idx"),
        right=_only(macro, "dense_right_idx"),
        dense_to_sparse=bool(micro["dense_sparse_interact"]),
        fm=bool(micro["deep_fm"]),
    )


def _only(macro: dict[str, Any], key: str) -> int:
    """The one source of a list: the operators that read left and right read one of each."""
    if len(macro[key]) != 1:
        raise ArchitectureError(f"{key} must name one source, but is {macro[key]}")
    source: int = macro[key][0]
    return source
