"""The test that stops an architecture: on made-up losses, where the truth is known."""

import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nasrec_automl.evaluation.early_stop import CONFIDENCE, estimate, looks, surely_worse
from nasrec_automl.training.weighting import pseudo_values


def both(losses: Tensor) -> Tensor:
    """Labels of so many rows, half of them 1."""
    return torch.arange(len(losses)) % 2


def stopped_at(losses: Tensor, rival: Tensor) -> int | None:
    """After how many rows the architecture is stopped, if it is."""
    interim = looks(len(rival))[:-1]
    return next((rows for rows in interim if surely_worse(losses[:rows], both(losses[:rows]), rival)), None)


def draw(rng: np.random.Generator, architectures: int, rows: int, *, spread: float = 0.02) -> Tensor:
    """Losses `(architectures, rows)` that share most of their noise, as those of models of the same rows do."""
    shared = rng.gamma(1.0, 0.5, size=rows)
    quality = rng.normal(0, spread, size=(architectures, 1))
    own = 0.15 * rng.standard_t(4, size=(architectures, rows))
    return torch.from_numpy(shared + quality + own)


@given(rows=st.integers(1, 3_000_000))
def test_looks_grow_to_all_rows(rows: int) -> None:
    found = looks(rows)
    assert found[-1] == rows
    assert found == sorted(set(found))
    assert all(first >= 512 for first in found[:-1])
    assert all(later in (2 * first, 2 * first + 1) for first, later in itertools.pairwise(found))


@given(seed=st.integers(0, 10_000), best=st.integers(1, 8))
def test_survivors_rank_as_in_full_and_the_best_survive(seed: int, best: int) -> None:
    # A whole search: the bar is the best-th full score so far.
    losses = draw(np.random.default_rng(seed), 60, 4096)
    truth = losses.mean(dim=1)
    full: list[int] = []
    values: dict[int, float] = {}
    for i in range(len(losses)):
        full.sort(key=lambda j: values[j])
        rows = stopped_at(losses[i], losses[full[best - 1]]) if len(full) >= best else None
        if rows is None:
            values[i] = truth[i].item()
            full.append(i)
        else:
            values[i] = estimate(losses[i, :rows], losses[full[best - 1]])[0]
    assert len(full) < len(losses)
    ranking = sorted(values, key=lambda j: values[j])
    assert ranking[:best] == truth.argsort()[:best].tolist()
    assert [j for j in ranking if j in full] == [j for j in truth.argsort().tolist() if j in full]


def test_one_that_is_as_good_is_stopped_as_rarely_as_was_said() -> None:
    rng = np.random.default_rng(0)
    wrong, trials = 0, 4000
    for _ in range(trials):
        rival, losses = draw(rng, 2, 2048, spread=0.0)
        losses += (rival - losses).mean()  # exactly as good over all rows
        wrong += stopped_at(losses, rival) is not None
    expected = trials * (1 - CONFIDENCE)
    assert wrong <= expected + 4 * math.sqrt(expected)


@pytest.mark.parametrize(("rows", "chances"), [(1024, 1), (4096, 3), (512 * 2**11, 11)])
def test_the_chance_to_be_wrong_is_shared_among_the_looks(rows: int, chances: int) -> None:
    rival = torch.zeros(rows, dtype=torch.float64)
    noise = torch.linspace(-1, 1, 512, dtype=torch.float64)
    error = noise.std().item() * math.sqrt(1 / 512 - 1 / rows)
    bound = NormalDist().inv_cdf(1 - 0.001 / chances)
    assert len(looks(rows)) == chances + 1
    assert surely_worse(noise + 1.001 * bound * error, both(noise), rival)
    assert not surely_worse(noise + 0.999 * bound * error, both(noise), rival)


def test_one_that_is_much_worse_is_stopped_at_the_first_look() -> None:
    rival, losses = draw(np.random.default_rng(0), 2, 8192, spread=0.0)
    assert stopped_at(losses + 0.1, rival) == looks(8192)[0] == 512
    assert stopped_at(losses - 0.1, rival) is None
    assert stopped_at(rival, rival) is None


def test_a_loss_that_is_no_number_is_not_stopped() -> None:
    # The full score is then refused with a sentence.
    rival, losses = draw(np.random.default_rng(0), 2, 2048)
    losses[3] = float("nan")
    assert stopped_at(losses, rival) is None


def test_the_estimate_is_near_the_full_mean_and_its_error_is_honest() -> None:
    rng = np.random.default_rng(0)
    off, whole = [], []
    for _ in range(400):
        rival, losses = draw(rng, 2, 4096)
        value, error = estimate(losses[:1024], rival)
        left = (losses - rival).std() * math.sqrt(1 / 1024 - 1 / 4096)
        off.append((value - losses.mean().item()) / left.item())
        whole.append(error**2 - losses.var().item() / 4096)
        assert error > losses.std().item() / 64 * 0.9
    assert np.std(off) == pytest.approx(1, abs=0.1)
    assert np.mean(off) == pytest.approx(0, abs=0.15)


def test_an_estimate_from_all_rows_is_the_mean() -> None:
    rival, losses = draw(np.random.default_rng(0), 2, 700)
    value, error = estimate(losses, rival)
    assert value == pytest.approx(losses.mean().item(), rel=1e-12)
    assert error == pytest.approx(losses.std().item() / math.sqrt(700), rel=1e-12)


def test_what_is_stopped_is_estimated_above_its_rival() -> None:
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(200):
        rival, losses = draw(rng, 2, 4096)
        rows = stopped_at(losses, rival)
        if rows is not None:
            assert estimate(losses[:rows], rival)[0] > rival.mean()
            seen += 1
    assert seen > 20


def heavy(rng: np.random.Generator, rows: int) -> Tensor:
    """Weights as of impressions: most are small, a few large."""
    return torch.from_numpy(np.ceil(rng.pareto(2.5, size=rows) * 2))


def test_equal_weights_change_nothing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rival, losses = draw(rng, 2, 2048)
        weight = torch.full((2048,), 0.7, dtype=torch.float64)
        read = losses[:1024]
        assert surely_worse(read, both(read), rival, weight) == surely_worse(read, both(read), rival)
        assert estimate(losses[:512], rival, weight) == pytest.approx(estimate(losses[:512], rival), rel=1e-12)


def test_with_weights_too_one_that_is_as_good_is_stopped_as_rarely_as_was_said() -> None:
    rng = np.random.default_rng(0)
    wrong, trials = 0, 4000
    for _ in range(trials):
        rival, losses = draw(rng, 2, 4096, spread=0.0)
        weight = heavy(rng, 4096)
        losses += (weight * (rival - losses)).sum() / weight.sum()  # exactly as good over all rows
        wrong += any(surely_worse(losses[:rows], both(losses[:rows]), rival, weight) for rows in looks(4096)[:-1])
    expected = trials * (1 - CONFIDENCE)
    assert wrong <= expected + 4 * math.sqrt(expected)


def test_with_weights_the_estimate_is_near_the_full_mean_and_its_error_is_honest() -> None:
    rng = np.random.default_rng(0)
    off, shares = [], []
    for _ in range(400):
        rival, losses = draw(rng, 2, 4096)
        weight = heavy(rng, 4096)
        value, error = estimate(losses[:1024], rival, weight)
        whole = pseudo_values(losses, weight)
        left = pseudo_values(losses - rival, weight).std() * math.sqrt(1 / 1024 - 1 / 4096)
        off.append((value - whole.mean().item()) / left.item())
        shares.append(error / (whole.std().item() / 64))
    assert np.mean(shares) > 1
    assert np.std(off) == pytest.approx(1, abs=0.15)
    assert np.mean(off) == pytest.approx(0, abs=0.15)


def test_a_look_at_a_few_heavy_rows_stops_nothing() -> None:
    rival, losses = draw(np.random.default_rng(0), 2, 8192, spread=0.0)
    losses = losses + 0.1
    weight = torch.ones(8192, dtype=torch.float64)
    assert surely_worse(losses[:1024], both(losses[:1024]), rival, weight)
    weight[:20] = 1000
    assert not surely_worse(losses[:1024], both(losses[:1024]), rival, weight)
    assert not surely_worse(losses[:1024], both(losses[:1024]), rival, torch.zeros_like(weight))


def two_losses(label: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Losses of two models whose probabilities are too low and too high by as much."""
    low, high = torch.full(label.shape, rate / 1.35).double(), torch.full(label.shape, rate * 1.35).double()
    first, second = (torch.where(label > 0, -p.log(), -(1 - p).log()) for p in (low, high))
    return first, second


@pytest.mark.parametrize("rate", [0.3, 0.01, 0.004])
def test_where_clicks_are_rare_one_that_is_as_good_is_stopped_as_rarely(rate: float) -> None:
    rng = np.random.default_rng(0)
    rows, trials, wrong = 16_384, 2000, 0
    label = torch.from_numpy((rng.random(rows) < rate).astype(np.float64))
    rival, losses = two_losses(label, rate)
    losses = losses + (rival - losses).mean()  # exactly as good over all rows
    for _ in range(trials):
        order = torch.from_numpy(rng.permutation(rows))
        in_order = losses[order], label[order], rival[order]
        wrong += any(surely_worse(in_order[0][:m], in_order[1][:m], in_order[2]) for m in looks(rows)[:-1])
    expected = trials * (1 - CONFIDENCE)
    assert wrong <= expected + 4 * math.sqrt(expected)


def test_a_look_needs_rows_of_each_label() -> None:
    rival, losses = draw(np.random.default_rng(0), 2, 8192, spread=0.0)
    losses = losses + 0.1
    label, weight = torch.zeros(1024), torch.ones(8192, dtype=torch.float64)
    label[:200] = 1
    for one in (label, 1 - label):
        assert surely_worse(losses[:1024], one, rival)
        assert surely_worse(losses[:1024], one, rival, weight)
        weight[0] = 3  # of 200 rows, one counts for three
        assert not surely_worse(losses[:1024], one, rival, weight)
        weight[0] = 1
    label[0] = 0
    assert not surely_worse(losses[:1024], label, rival)
    assert not surely_worse(losses[:1024], torch.zeros(1024), rival)
