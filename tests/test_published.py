import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import ArchitectureError
from nasrec_automl.published import read_published, write_published
from nasrec_automl.space import load_architecture, load_search_space
from nasrec_automl.testing.examples import tiny_space
from nasrec_automl.testing.strategies import architectures

SPACES = st.sampled_from([load_search_space("nasrec-full"), load_search_space("nasrec-small")])


@given(SPACES.flatmap(architectures), st.booleans())
def test_round_trip(architecture: Architecture, layer_norm: bool) -> None:
    text = write_published(architecture, layer_norm=layer_norm)
    assert json.loads(text)["use_layernorm"] == int(layer_norm)
    assert read_published(text) == architecture


@given(SPACES.flatmap(architectures), st.randoms(use_true_random=False))
def test_lists_may_come_unsorted_and_other_keys_are_ignored(
    architecture: Architecture, rng: np.random.Generator
) -> None:
    data = json.loads(write_published(architecture))
    for micro, macro in zip(data["micro"], data["macro"], strict=True):
        for values in (micro["active_nodes"], macro["dense_idx"], macro["sparse_idx"]):
            rng.shuffle(values)
        micro["note"] = macro["note"] = "x"
    data |= {"test_loss": 0.44, "test_auc": 0.81, "use_layernorm": 0, "by": "someone"}
    assert read_published(json.dumps(data)) == architecture


def test_node_numbers() -> None:
    for name, nodes in (
        ("criteo-full", {"fc": 0, "dot_product": 1, "sigmoid_gating": 2, "sum": 3, "attention": 4, "efc": 5}),
        ("criteo-small", {"fc": 0, "dot_product": 1, "efc": 2}),
    ):
        architecture = load_architecture(name)
        data = json.loads(write_published(architecture))
        assert data["config"] == ("xlarge" if name.endswith("full") else "autoctr")
        assert data["num_blocks"] == 7
        for micro, block in zip(data["micro"], architecture.blocks, strict=True):
            assert micro["active_nodes"] == [nodes[block.dense_op], nodes[block.sparse_op]]


def test_criteo_full_reads_as_published() -> None:
    """Block 6: FC 768 of 0 3 4 5, left 2, right 3; Attention 16 of 1 4; dense-to-sparse on (facts)."""
    data = json.loads(write_published(load_architecture("criteo-full")))
    assert data["micro"][5] == {
        "active_nodes": [0, 4],
        "dense_in_dims": 768,
        "sparse_in_dims": 16,
        "dense_sparse_interact": 1,
        "deep_fm": 0,
    }
    assert data["macro"][5] == {
        "dense_idx": [0, 3, 4, 5],
        "sparse_idx": [1, 4],
        "dense_left_idx": [2],
        "dense_right_idx": [3],
    }


def test_other_spaces_cannot_be_written() -> None:
    with pytest.raises(ArchitectureError, match="only nasrec-full, nasrec-small, not 'tiny'"):
        write_published(tiny_space().random(np.random.default_rng(0)))


def broken(**changes: object) -> str:
    return json.dumps({**json.loads(write_published(load_architecture("criteo-full"))), **changes})


def broken_block(part: str, **changes: object) -> str:
    data = json.loads(broken())
    data[part][2] |= changes
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not an architecture in the published JSON form"),
        ("[]", "not an architecture in the published JSON form"),
        ("{}", "not an architecture in the published JSON form"),
        (broken(micro=3), "not an architecture in the published JSON form"),
        (broken(config="large"), "config must be 'xlarge' or 'autoctr', but is 'large'"),
        (broken(num_blocks=6), "num_blocks is 6, but micro has 7 blocks and macro 7"),
        (broken(config="autoctr"), "not an architecture in the published JSON form|active_nodes"),
        (broken_block("micro", active_nodes=[0, 1]), "one dense and one sparse operator"),
        (broken_block("micro", active_nodes=[0, -1]), r"active_nodes must be numbers from 0 to 5, but are \[0, -1]"),
        (broken_block("micro", active_nodes=[0, 6]), r"active_nodes must be numbers from 0 to 5, but are \[0, 6]"),
        (broken_block("micro", active_nodes=["fc", "efc"]), "active_nodes must be numbers from 0 to 5, but are"),
        (broken_block("micro", active_nodes=[0]), "one dense and one sparse operator"),
        (broken_block("micro", dense_in_dims=17), "'block3/dense_dim' is 17"),
        (broken_block("macro", dense_idx=[3]), "'block3/dense_inputs' is 's3'"),
        (broken_block("macro", sparse_idx=[]), "'block3/sparse_inputs'"),
        (broken_block("macro", dense_left_idx=[]), "dense_left_idx must name one source, but is \\[]"),
        (broken_block("macro", dense_left_idx=[0, 1]), "dense_left_idx must name one source, but is \\[0, 1]"),
        (broken_block("macro", dense_right_idx=[0, 1]), "dense_right_idx must name one source, but is \\[0, 1]"),
        (broken_block("macro", dense_right_idx=1), "not an architecture in the published JSON form"),
        (broken_block("macro", dense_left_idx=[5]), "'block3/left' is 's5'"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        read_published(text)
