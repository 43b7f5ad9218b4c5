import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest

from nasrec_automl import load_architecture, load_search_space
from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS
from nasrec_automl.ops import DENSE_OP_CLASSES, SPARSE_OP_CLASSES
from nasrec_automl.report import wiring_svg
from nasrec_automl.report.style import DIM
from nasrec_automl.report.wiring import OPERATORS
from nasrec_automl.report.wiring_edges import live_edges
from nasrec_automl.space import SearchSpace
from nasrec_automl.testing.examples import with_choice

SVG = "{http://www.w3.org/2000/svg}"
PUBLISHED = [f"{data}-{size}" for data in ("criteo", "avazu", "kdd12") for size in ("full", "small")]


def one_block_space():
    return SearchSpace(
        name="one",
        blocks=1,
        dense_ops=DENSE_OPS,
        sparse_ops=SPARSE_OPS,
        dense_dims=(16,),
        sparse_dims=(16,),
    )


def test_every_operator_has_a_title():
    assert set(OPERATORS) == {*DENSE_OP_CLASSES, *SPARSE_OP_CLASSES}


def architectures():
    yield from map(load_architecture, PUBLISHED)
    rng = np.random.default_rng(0)
    for space in (
        load_search_space("nasrec-full"),
        load_search_space("nasrec-plus"),
        load_search_space("nasrec-small"),
        one_block_space(),
    ):
        yield from (space.random(rng) for _ in range(10))


def drawn_edges(root):
    return Counter(path.get("data-edge") for path in root.iter(f"{SVG}path") if path.get("data-edge"))


def texts(root):
    return [text.text for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("architecture", list(architectures()), ids=lambda architecture: architecture.key)
def test_every_live_input_and_merger_is_drawn_once_and_nothing_else(architecture):
    root = ElementTree.fromstring(wiring_svg(architecture))
    expected = Counter(edge.name for edge in live_edges(architecture))
    for number, live in enumerate(architecture.live, 1):
        expected.update([f"FM of block {number}"] * live.fm)
        expected.update([f"dense-to-sparse of block {number}"] * live.dense_to_sparse)
    assert drawn_edges(root) == expected


def test_what_is_dead_is_named_but_not_connected():
    root = ElementTree.fromstring(wiring_svg(load_architecture("criteo-full")))
    assert [text for text in texts(root) if text.endswith("unused")] == [
        "block 4: unused",
        "block 5: unused",
        "block 6: unused",
    ]
    assert not any(f"block {dead}" in edge for edge in drawn_edges(root) for dead in (4, 5, 6))


def test_a_half_dead_block_keeps_its_live_half():
    root = ElementTree.fromstring(wiring_svg(load_architecture("kdd12-small")))
    assert texts(root).count("unused") == 1  # block 6's EFC, whose tokens its Dot-Product reads
    assert drawn_edges(root)["sparse s4 -> block 6"] == 1


def test_unused_mergers_and_what_an_unused_block_held_are_faint():
    def faint(architecture):
        root = ElementTree.fromstring(wiring_svg(architecture))
        return [text.text for text in root.iter(f"{SVG}text") if text.get("fill") == DIM]

    assert faint(load_architecture("avazu-small")) == ["+8 tokens", "+8 tokens"]  # of blocks 4 and 5
    half_dead = with_choice(load_architecture("kdd12-full"), "block3/fm", True)
    assert faint(half_dead) == ["FC, EFC, FM", "FM", "Sigmoid-Gating", "unused"]
    assert faint(load_architecture("criteo-full")) == [
        "Sigmoid-Gating, EFC, +8 tokens",
        "FC, EFC, FM",
        "FC, Attention, +8 tokens",
    ]


def test_operators_widths_and_ends_are_written():
    written = texts(ElementTree.fromstring(wiring_svg(load_architecture("criteo-full"))))
    for text in (
        "Sigmoid-Gating",
        "Dot-Product",
        "width 768",
        "32 tokens",
        "s0 left",
        "embeddings",
        "logit",
        "FM",
    ):
        assert text in written


def test_everything_lies_inside_the_picture():
    root = ElementTree.fromstring(wiring_svg(load_architecture("kdd12-small")))
    width, height = map(float, root.get("viewBox").split()[2:])
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.get("x")) < width
        assert 0 < float(text.get("y")) < height
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= float(box.get("x")) <= float(box.get("x")) + float(box.get("width")) <= width
        assert 0 <= float(box.get("y")) <= float(box.get("y")) + float(box.get("height")) <= height


def test_on_paper_it_has_a_white_ground():
    architecture = load_architecture("criteo-small")
    plain, paper = wiring_svg(architecture), wiring_svg(architecture, paper=True)
    ground = re.search(r'</defs>(<rect x="0" y="0" [^>]*fill="#FFFFFF"[^>]*/>)', paper)[1]
    assert paper.replace(ground, "", 1) == plain
