import numpy as np
import pytest

from nasrec_automl import load_architecture, load_search_space
from nasrec_automl.report.wiring_edges import live_edges, unused_parts


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("space", ["nasrec-full", "nasrec-plus"])
def test_edges_are_the_inputs_of_the_effective_form(seed, space):
    architecture = load_search_space(space).random(np.random.default_rng(seed))
    edges = live_edges(architecture)
    for number, form in enumerate(architecture.effective, 1):
        dense = sorted(edge.source for edge in edges if edge.block == number and edge.lane == "dense")
        sparse = [edge.source for edge in edges if edge.block == number and edge.lane == "sparse"]
        assert dense == sorted(form.get("inputs", ()))
        assert sparse == list(form.get("tokens", ()))


def test_edges_of_a_published_architecture():
    names = [edge.name for edge in live_edges(load_architecture("criteo-full"))]
    assert names == [
        "dense s0 -> block 1 left",
        "dense s0 -> block 1 right",
        "sparse s0 -> block 1",
        "dense s0 -> block 2",
        "sparse s0 -> block 2",
        "dense s1 -> block 3",
        "dense s2 -> block 3",
        "sparse s0 -> block 3",
        "sparse s1 -> block 3",
        "sparse s2 -> block 3",
        "dense s0 -> block 7",
        "dense s2 -> block 7",
        "dense s3 -> block 7",
        "sparse s1 -> block 7",
        "sparse s3 -> block 7",
        "dense s7 -> block 8",
        "sparse s7 -> block 8",
    ]


@pytest.mark.parametrize(("name", "unused"), [("criteo-full", (6, 3)), ("kdd12-small", (1, 0))])
def test_unused_parts(name, unused):
    assert unused_parts(load_architecture(name)) == unused
