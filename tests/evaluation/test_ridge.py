"""The head as a convex problem: against a reference, in every order of rows, and where a regression has no solution."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from nasrec_automl.evaluation.ridge import ridge_head

Problem = tuple[Tensor, Tensor, Tensor, Tensor]


def draw(seed: int = 0, *, rows: int = 400, width: int = 9, dtype: torch.dtype = torch.float64) -> Problem:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator, dtype=dtype)
    features = (torch.randn(rows, width, generator=generator, dtype=dtype) @ mix + 0.5).relu()
    truth = torch.randn(width, generator=generator, dtype=dtype) / 3
    label = (torch.rand(rows, generator=generator) < torch.sigmoid(features @ truth - 0.4)).to(dtype)
    weight = truth + 0.3 * torch.randn(width, generator=generator, dtype=dtype)
    return features, label, weight, torch.tensor(-0.2, dtype=dtype)


def gradient(problem: Problem, fitted: tuple[Tensor, Tensor], strength: float) -> Tensor:
    """Of the objective divided by the number of rows, at the solution, by autograd."""
    features, label, weight, bias = (part.double() for part in problem)
    w, b = (part.double().requires_grad_() for part in fitted)
    losses = F.binary_cross_entropy_with_logits(features @ w + b, label)
    ridge = (features.square().mean(dim=0) * (w - weight).square()).sum() + (b - bias).square()
    (losses + strength / 2 * ridge / len(label)).backward()
    assert w.grad is not None
    assert b.grad is not None
    return torch.cat([w.grad, b.grad.reshape(1)])


@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 600),
    width=st.integers(1, 40),
    strength=st.floats(0.1, 1e4),
    spread=st.floats(0.01, 30),
)
def test_the_gradient_is_zero(seed: int, rows: int, width: int, strength: float, spread: float) -> None:
    features, label, weight, bias = draw(seed, rows=rows, width=width)
    problem = features * spread, label, weight, bias
    fitted = ridge_head(*problem, strength=strength)
    scale = torch.cat([problem[0].square().mean(dim=0).sqrt(), torch.ones(1)])
    scale[scale == 0] = 1
    # The error is bounded in logits, and a ridge of many times the rows' strength is as many times as steep.
    assert (gradient(problem, fitted, strength) / scale).abs().max() < 2e-6 * math.sqrt(1 + strength / rows)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 300), strength=st.floats(0.1, 1e3))
def test_labels_between_0_and_1_are_solved_too(seed: int, rows: int, strength: float) -> None:
    features, _, weight, bias = draw(seed, rows=rows)
    label = torch.rand(rows, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    problem = features, label, weight, bias
    fitted = ridge_head(*problem, strength=strength)
    scale = torch.cat([features.square().mean(dim=0).sqrt(), torch.ones(1)])
    scale[scale == 0] = 1
    assert (gradient(problem, fitted, strength) / scale).abs().max() < 2e-6 * math.sqrt(1 + strength / rows)


@pytest.mark.parametrize("width", [9, 200])
def test_float32_features_are_solved_too(width: int) -> None:
    problem = draw(rows=3000, width=width, dtype=torch.float32)
    fitted = ridge_head(*problem, strength=10.0)
    assert fitted[0].dtype == fitted[1].dtype == torch.float32
    features, label, weight, bias = problem
    exact = ridge_head(features.double(), label, weight.double(), bias.double(), strength=10.0)
    logits = torch.addmv(fitted[1], features, fitted[0])
    expected = torch.addmv(exact[1], features.double(), exact[0])
    assert (logits - expected).abs().max() < 2e-4


@given(seed=st.integers(0, 10_000), strength=st.sampled_from([1.0, 100.0]))
def test_the_order_of_the_rows_does_not_matter(seed: int, strength: float) -> None:
    features, label, weight, bias = draw(seed)
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed + 1))
    one = ridge_head(features, label, weight, bias, strength=strength)
    other = ridge_head(features[order], label[order], weight, bias, strength=strength)
    assert (features @ (one[0] - other[0]) + one[1] - other[1]).square().mean().sqrt() < 1e-5


def test_it_is_the_same_in_every_run() -> None:
    one, other = (ridge_head(*draw(dtype=torch.float32), strength=3.0) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_separable_rows_have_a_solution() -> None:
    features = torch.linspace(-1, 1, 200, dtype=torch.float64).unsqueeze(1)
    problem = features, (features[:, 0] > 0).double(), torch.zeros(1).double(), torch.tensor(0.0).double()
    weak = ridge_head(*problem, strength=0.01)
    assert gradient(problem, weak, 0.01).abs().max() < 1e-6
    assert 20 < weak[0].item() < 1000


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_single_class_has_a_solution(value: float) -> None:
    features, label, weight, bias = draw()
    problem = features, torch.full_like(label, value), weight, bias
    fitted = ridge_head(*problem, strength=1.0)
    assert gradient(problem, fitted, 1.0).abs().max() < 1e-5
    assert (torch.sigmoid(features @ fitted[0] + fitted[1]) - value).abs().mean() < 0.05


def test_constant_and_dead_and_repeated_features_change_nothing() -> None:
    features, label, weight, bias = draw()
    more = torch.cat([features, torch.full_like(features[:, :1], 3.0), 0 * features[:, :1], features[:, :1]], dim=1)
    start = torch.cat([weight, torch.tensor([0.1, 0.7, 0.0])])
    problem = more, label, start, bias
    fitted = ridge_head(*problem, strength=5.0)
    assert gradient(problem, fitted, 5.0).abs().max() < 1e-5
    assert fitted[0][-2] == start[-2]


def test_a_strong_ridge_keeps_the_supernets_head_and_a_weak_one_the_regression() -> None:
    features, label, weight, bias = draw()
    strong = ridge_head(features, label, weight, bias, strength=1e9)
    assert torch.allclose(strong[0], weight, atol=1e-6)
    assert torch.allclose(strong[1], bias, atol=1e-6)
    weak = ridge_head(features, label, weight, bias, strength=1e-6)
    probability = torch.sigmoid(features @ weak[0] + weak[1])
    assert torch.allclose(features.T @ (probability - label) / len(label), torch.zeros_like(weight), atol=1e-5)
    assert probability.mean().item() == pytest.approx(label.mean().item(), abs=1e-5)


def test_a_far_start_is_no_problem() -> None:
    features, label, weight, bias = draw()
    problem = features, label, 100 * weight, bias
    assert gradient(problem, ridge_head(*problem, strength=0.1), 0.1).abs().max() < 1e-5


def test_the_scale_of_a_feature_does_not_matter() -> None:
    features, label, weight, bias = draw()
    scale = torch.logspace(-3, 3, features.shape[1], dtype=torch.float64)
    one = ridge_head(features, label, weight, bias, strength=20.0)
    other = ridge_head(features * scale, label, weight / scale, bias, strength=20.0)
    assert torch.allclose(one[0], other[0] * scale, atol=1e-4)


def test_features_that_are_no_numbers_give_none() -> None:
    features, label, weight, bias = draw()
    features[3, 2] = float("nan")
    assert ridge_head(features, label, weight, bias, strength=1.0)[0].isnan().any()


def test_the_start_is_left_as_it_is() -> None:
    problem = draw()
    before = [part.clone() for part in problem]
    ridge_head(*problem, strength=1.0)
    assert all(torch.equal(part, old) for part, old in zip(problem, before, strict=True))


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 600), width=st.integers(1, 40), strength=st.floats(0.1, 1e4))
def test_weights_are_repeated_rows(seed: int, rows: int, width: int, strength: float) -> None:
    features, label, weight, bias = draw(seed, rows=rows, width=width)
    times = torch.randint(5, (rows,), generator=torch.Generator().manual_seed(seed))
    times[0] += 1
    mine = ridge_head(features, label, weight, bias, strength=strength, row_weight=times.float())
    copies = features.repeat_interleave(times, dim=0), label.repeat_interleave(times), weight, bias
    scale = torch.cat([copies[0].square().mean(dim=0).sqrt(), torch.ones(1)])
    scale[scale == 0] = 1
    assert (gradient(copies, mine, strength) / scale).abs().max() < 2e-6 * math.sqrt(1 + strength / times.sum())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_few_heavy_rows_among_many_are_solved_too(dtype: torch.dtype) -> None:
    features, label, weight, bias = draw(rows=3000, width=60, dtype=dtype)
    rows = torch.ones(3000, dtype=torch.long)
    rows[torch.randperm(3000, generator=torch.Generator().manual_seed(1))[:9]] = 1000
    fitted = ridge_head(features, label, weight, bias, strength=10.0, row_weight=rows.to(dtype))
    copies = features.repeat_interleave(rows, dim=0), label.repeat_interleave(rows), weight, bias
    scale = torch.cat([copies[0].double().square().mean(dim=0).sqrt(), torch.ones(1)])
    assert (gradient(copies, fitted, 10.0) / scale).abs().max() < 2e-5
    plain = ridge_head(features, label, weight, bias, strength=10.0)
    assert (gradient(copies, plain, 10.0) / scale).abs().max() > 1e-2


def test_weights_of_0_leave_the_supernets_head() -> None:
    features, label, weight, bias = draw()
    fitted = ridge_head(features, label, weight, bias, strength=1.0, row_weight=torch.zeros_like(label))
    assert torch.equal(fitted[0], weight)
    assert torch.equal(fitted[1], bias)
