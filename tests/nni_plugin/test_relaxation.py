import itertools
from typing import Any

import pytest
import torch
from torch import nn

from nasrec_automl.nni_plugin.relaxation import Relaxation, SampledOneHot
from nasrec_automl.space import split_sources
from nasrec_automl.testing.examples import tiny_space

SPACE = tiny_space()


def make(softmax: nn.Module | None = None) -> Relaxation:
    return Relaxation(SPACE, softmax or nn.Softmax(dim=-1), seed=0)


def connect(relaxation: Relaxation, label: str, logits: list[float]) -> None:
    with torch.no_grad():
        relaxation.parts[label].copy_(torch.tensor(logits))


def test_operators_widths_and_mergers_have_a_logit_per_choice_and_inputs_one_per_connection() -> None:
    sizes = {label: len(part) for label, part in make().parts.items()}
    assert list(sizes) == list(SPACE.labels)
    for label, choices in SPACE.labels.items():
        number, key = int(label.split("/")[0][5:]), label.split("/")[1]
        assert sizes[label] == (number if key in ("dense_inputs", "sparse_inputs") else len(choices))


@pytest.mark.parametrize(
    ("logits", "likeliest"),
    [
        ([1.0, -1.0, -2.0], "s0"),
        ([1.0, -1.0, 2.0], "s0+s2"),
        ([1.0, 3.0, 2.0], "s1+s2"),  # three positive ones, but the cap is two
        ([-3.0, -1.0, -2.0], "s1"),  # none is positive, but one must be read
    ],
)
def test_positive_connections_are_exported_at_least_one_at_most_the_cap(logits: list[float], likeliest: str) -> None:
    relaxation = make()
    connect(relaxation, "block3/dense_inputs", logits)
    assert relaxation.likeliest()["block3/dense_inputs"] == likeliest


def test_a_connections_weight_is_the_probability_of_the_sets_that_hold_it() -> None:
    relaxation = make()
    connect(relaxation, "block3/sparse_inputs", [0.5, -1.0, 2.0])
    gates = torch.tensor([0.5, -1.0, 2.0]).exp()
    sets = [s for size in (1, 2) for s in itertools.combinations(range(3), size)]
    odds = [float(gates[list(s)].prod()) for s in sets]
    expected = [sum(o for s, o in zip(sets, odds, strict=True) if source in s) / sum(odds) for source in range(3)]
    assert relaxation.draw()["block3/sparse_inputs"].tolist() == pytest.approx(expected)
    probabilities = relaxation.probabilities()["block3/sparse_inputs"]
    assert {split_sources(k): v for k, v in probabilities.items()} == pytest.approx(
        {s: o / sum(odds) for s, o in zip(sets, odds, strict=True)}
    )


def test_the_likeliest_choices_are_an_architecture_whatever_the_logits() -> None:
    for seed in range(20):
        relaxation = make()
        generator = torch.Generator().manual_seed(seed)
        for part in relaxation.parts.values():
            nn.init.normal_(part, generator=generator)
        params = relaxation.likeliest()
        assert SPACE.from_params(params).params == params
        for label, found in relaxation.probabilities().items():
            assert sum(found.values()) == pytest.approx(1)
            assert found[params[label]] == max(found.values())


def test_equal_seeds_start_equal() -> None:
    first, again = make(), make()
    other = Relaxation(SPACE, nn.Softmax(dim=-1), seed=1)
    assert first.likeliest() == again.likeliest()
    assert not torch.equal(first.parts["block1/dense_op"], other.parts["block1/dense_op"])


def test_a_sampled_one_hot_has_the_gradient_of_the_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([0.3, -0.2, 1.0], requires_grad=True)
    costs = torch.tensor([2.0, -1.0, 0.5])
    drawn = SampledOneHot()(logits)
    assert sorted(drawn.tolist()) == [0, 0, 1]
    (drawn * costs).sum().backward()
    weights = logits.detach().softmax(-1)
    torch.testing.assert_close(logits.grad, weights * (costs - (weights * costs).sum()))


def test_a_sampled_one_hot_follows_the_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0, 2.0])
    counts: Any = sum(SampledOneHot()(logits) for _ in range(3000))
    torch.testing.assert_close(counts / 3000, logits.softmax(-1), rtol=0, atol=0.03)
