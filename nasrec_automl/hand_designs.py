"""Architectures that an engineer would draw by hand, as far as a space can express them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nasrec_automl.architecture import CROSS, DOT_PRODUCT, EFC, FC, Architecture, Block
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.space import SearchSpace

_WIDTH, _TOKENS = 128, 16


def hand_designs(space: SearchSpace) -> dict[str, Architecture]:
    """Designs of the space by name; those that it cannot express are left out.

    - `hand-mlp`: fully connected towers over dense features and over tokens.
    - `hand-dlrm`: a fully connected layer on the dense features, pairwise products with the tokens, one more layer.
    - `hand-deepfm`: the towers, with an FM over the tokens.
    - `hand-dcn`: the dense tower beside two Crosses, the second of which reads the raw tokens again.

    At most three blocks of each are live, whatever the space's number of blocks.
    """
    tower = _tower(space)
    dlrm, deepfm, dcn = list(tower), list(tower), list(tower)
    if space.blocks > 1:
        middle = 1 if space.blocks > 2 else 0
        dlrm[middle] = replace(dlrm[middle], dense_op=DOT_PRODUCT, sparse_inputs=(0,))
        dlrm[-1] = replace(dlrm[-1], sparse_inputs=(0,))
    deepfm[0] = replace(deepfm[0], fm=True)
    deepfm[-1] = replace(deepfm[-1], fm=True)
    dcn[0] = replace(dcn[0], sparse_op=CROSS)
    dcn[-1] = replace(dcn[-1], sparse_op=CROSS, sparse_inputs=tuple(range(min(2, space.blocks))))
    drafts = {"hand-mlp": tower, "hand-dlrm": dlrm, "hand-deepfm": deepfm, "hand-dcn": dcn}
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


def _nearest(choices: Sequence[int], wanted: int) -> int:
    return min(choices, key=lambda choice: (abs(choice - wanted), choice))
