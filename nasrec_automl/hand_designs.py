"""Architectures that an engineer would draw by hand, as far as a space can express them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nasrec_automl.architecture import (
    BI_INTERACTION,
    CROSS,
    DOT_PRODUCT,
    EFC,
    FC,
    FLAT_FC,
    PROJECTION,
    Architecture,
    Block,
)
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.space import SearchSpace

_WIDTH, _TOKENS = 128, 16


def hand_designs(space: SearchSpace) -> dict[str, Architecture]:
    """Designs of the space by name; those that it cannot express are left out.

    - `hand-mlp`: fully connected towers over dense features and over tokens; with Flat-FC, one over both.
    - `hand-dlrm`: a fully connected layer on the dense features, pairwise products with the tokens, one more layer.
    - `hand-deepfm`: the tower, and Bi-Interaction of the raw tokens, or in a space without it FMs over those of EFC.
    - `hand-dcn`: the dense tower beside two Crosses, the second of which reads the raw tokens again.

    At most three blocks of each are live, whatever the space's number of blocks.
    """
    tower, deep = _tower(space), _deep_tower(space)
    dlrm, deepfm, dcn = list(tower), list(deep), list(tower)
    if space.blocks > 1:
        middle = 1 if space.blocks > 2 else 0
        dlrm[middle] = replace(dlrm[middle], dense_op=DOT_PRODUCT, sparse_inputs=(0,))
        dlrm[-1] = replace(dlrm[-1], sparse_inputs=(0,))
    if BI_INTERACTION in space.dense_ops:
        deepfm[-1] = replace(deepfm[-1], dense_op=BI_INTERACTION, sparse_inputs=(0,))
    else:
        deepfm[0] = replace(deepfm[0], fm=True)
        deepfm[-1] = replace(deepfm[-1], fm=True)
    dcn[0] = replace(dcn[0], sparse_op=CROSS)
    dcn[-1] = replace(dcn[-1], sparse_op=CROSS, sparse_inputs=tuple(range(min(2, space.blocks))))
    drafts = {"hand-mlp": deep, "hand-dlrm": dlrm, "hand-deepfm": deepfm, "hand-dcn": dcn}
    designs: dict[str, Architecture] = {}
    for name, blocks in drafts.items():
        try:
            design = space.validate_architecture(Architecture(space, tuple(blocks)))
        except ArchitectureError:
            continue
        if design.key not in {other.key for other in designs.values()}:
            designs[name] = design
    return designs


def _tower(space: SearchSpace) -> list[Block]:
    """Blocks 1, 2 and N in a row; those between have nothing that reads them."""
    return [
        Block(
            dense_op=FC,
            sparse_op=EFC,
            dense_dim=_nearest(space.dense_dims, _WIDTH),
            sparse_dim=_nearest(space.sparse_dims, _TOKENS),
            dense_inputs=(source,),
            sparse_inputs=(source,),
            left=0,
            right=0,
            dense_to_sparse=min(space.dense_to_sparse),
            fm=min(space.fm),
        )
        for source in (min(number - 1, 2) for number in range(1, space.blocks + 1))
    ]


def _deep_tower(space: SearchSpace) -> list[Block]:
    """The tower, whose first layer reads all embeddings and whose head reads them too, as far as the space can."""
    tower = _tower(space)
    if FLAT_FC in space.dense_ops:
        tower[0] = replace(tower[0], dense_op=FLAT_FC)
    if PROJECTION in space.sparse_ops:
        tower[-1] = replace(tower[-1], sparse_op=PROJECTION, sparse_inputs=(0,))
    return tower


def _nearest(choices: Sequence[int], wanted: int) -> int:
    return min(choices, key=lambda choice: (abs(choice - wanted), choice))
