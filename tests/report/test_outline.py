import numpy as np
import pytest

from nasrec_automl import load_architecture, load_search_space
from nasrec_automl.report.outline import outline
from nasrec_automl.report.wiring_edges import live_edges


def rows(architecture):
    """Lines of each block."""
    found, number = {}, 0
    for line in outline(architecture).splitlines():
        if line.startswith("block"):
            number = int(line.split()[1])
        elif line.startswith("logit"):
            number = len(architecture.blocks) + 1
        found.setdefault(number, []).append(line)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_it_names_every_input_that_the_picture_draws(seed):
    architecture = load_search_space("nasrec-full").random(np.random.default_rng(seed))
    lines = rows(architecture)
    for edge in live_edges(architecture):
        if edge.block <= len(architecture.blocks):
            text = " ".join(line.split("<- ")[1] for line in lines[edge.block] if "<- " in line)
            assert f"s{edge.source} {edge.side}".rstrip() in text
    for number, live in enumerate(architecture.live, 1):
        alive = live.dense + live.sparse + live.dense_to_sparse + live.fm
        assert len(lines[number]) == max(1, alive)
        assert ("unused" in lines[number][0]) == (alive == 0)


def test_a_dot_product_reads_tokens_and_mergers_are_there():
    text = outline(load_architecture("criteo-full"))
    assert "Dot-Product, width " in text
    assert "tokens of s" in text
    assert "merger" in text
    assert text.splitlines()[-1].startswith("logit")
