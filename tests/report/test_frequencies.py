from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl import load_search_space
from nasrec_automl.report.content import ScoredArchitecture
from nasrec_automl.report.frequencies import frequencies


def scored(number, architecture, **changes) -> ScoredArchitecture:
    values = {"log_loss": 0.5 + number / 1000, "standard_error": 0.003, "auc": 0.7, "macs": 1, "parameters": 1}
    return ScoredArchitecture(number=number, key=str(number), architecture=architecture, **values | changes)


def panels(figure):
    """Counts and shares by axis and group."""
    return {
        (bar.xaxis, bar.name): {x: (n, y) for x, n, y in zip(bar.x, bar.customdata, bar.y, strict=True)}
        for bar in figure.data
    }


def live_of(architecture, value):
    return [value(block, live) for block, live in zip(architecture.blocks, architecture.live, strict=True)]


def test_the_best_decile_stands_beside_the_others():
    space, rng = load_search_space("nasrec-small"), np.random.default_rng(0)
    drawn = [space.random(rng) for _ in range(40)]
    bars = panels(frequencies([scored(number, architecture) for number, architecture in enumerate(drawn)]))
    for name, group in (("best decile (4)", drawn[:4]), ("the others (36)", drawn[4:])):
        chosen = [op for a in group for op in live_of(a, lambda block, live: block.dense_op if live.dense else None)]
        for label, op in (("FC", "fc"), ("Dot-Product", "dot_product")):
            count, share = bars["x", name][label]
            assert count == chosen.count(op)
            assert share == pytest.approx(count / sum(each is not None for each in chosen))
        widths = [w for a in group for w in live_of(a, lambda block, live: block.dense_dim if live.dense else None)]
        assert {int(x): n for x, (n, _) in bars["x3", name].items() if n} == {
            width: widths.count(width) for width in set(widths) - {None}
        }
    assert list(bars["x3", "best decile (4)"]) == sorted(bars["x3", "best decile (4)"], key=int)


def test_too_few_are_said_to_be(full_content):
    search = full_content(architectures=9).search
    assert "too few" in frequencies(search).layout.annotations[0].text
    assert not frequencies([]).data
    unknown = [replace(each, architecture=None) for each in full_content(architectures=20).search]
    assert not frequencies(unknown).data
