import pytest
import torch
from torch.nn import functional as F

from nasrec_automl.config import AdagradHead
from nasrec_automl.evaluation.adagrad import adagrad_head

ROWS, K = 300, 9


def draw() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(ROWS, K, generator=generator, dtype=torch.float64)
    truth = torch.randn(K, generator=generator, dtype=torch.float64)
    label = (torch.rand(ROWS, generator=generator) < torch.sigmoid(features @ truth + 0.7)).double()
    return features, label, 0.1 * torch.randn(K, generator=generator, dtype=torch.float64), torch.tensor(0.2).double()


def loss(features: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> float:
    return F.binary_cross_entropy_with_logits(features @ weight + bias, label).item()


def fit(config: AdagradHead, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return adagrad_head(*draw(), config, torch.Generator().manual_seed(seed))


def test_the_loss_falls() -> None:
    features, label, weight, bias = draw()
    fitted = fit(AdagradHead(method="adagrad", steps=100, batch_size=64, learning_rate=0.1))
    assert loss(features, label, *fitted) < loss(features, label, weight, bias) - 0.1


@pytest.mark.parametrize(("steps", "batch_size"), [(30, 64), (7, 100), (5, 1000)])
def test_it_is_adagrad_by_autograd(steps: int, batch_size: int) -> None:
    features, label, weight, bias = draw()
    config = AdagradHead(method="adagrad", steps=steps, batch_size=batch_size, learning_rate=0.1)
    mine = fit(config, seed=3)

    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.Adagrad([weight, bias], lr=0.1, eps=1e-2)
    generator, order = torch.Generator().manual_seed(3), torch.empty(0, dtype=torch.long)
    size = min(batch_size, ROWS)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(ROWS, generator=generator)
        index, order = order[:size], order[size:]
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(features[index] @ weight + bias, label[index]).backward()
        optimizer.step()
    torch.testing.assert_close(mine[0], weight.detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mine[1], bias.detach(), rtol=1e-10, atol=1e-12)


def test_the_start_is_left_as_it_is() -> None:
    features, label, weight, bias = draw()
    before = weight.clone(), bias.clone()
    adagrad_head(features, label, weight, bias, AdagradHead(method="adagrad", steps=3), torch.Generator())
    assert torch.equal(weight, before[0])
    assert torch.equal(bias, before[1])


def test_the_generator_orders_the_rows() -> None:
    config = AdagradHead(method="adagrad", steps=3, batch_size=50)
    assert torch.equal(fit(config, seed=1)[0], fit(config, seed=1)[0])
    assert not torch.equal(fit(config, seed=1)[0], fit(config, seed=2)[0])


def test_no_step_changes_nothing() -> None:
    _, _, weight, bias = draw()
    fitted = fit(AdagradHead(method="adagrad", steps=0))
    assert torch.equal(fitted[0], weight)
    assert torch.equal(fitted[1], bias)


def test_weights_are_repeated_rows_in_a_step_over_all_rows() -> None:
    features, label, weight, bias = draw()
    rows = torch.randint(4, (ROWS,), generator=torch.Generator().manual_seed(1))
    config = AdagradHead(method="adagrad", steps=20, batch_size=10_000, learning_rate=0.1)
    generator = torch.Generator().manual_seed(0)
    mine = adagrad_head(features, label, weight, bias, config, generator, row_weight=rows.double())
    copies = features.repeat_interleave(rows, dim=0), label.repeat_interleave(rows)
    theirs = adagrad_head(*copies, weight, bias, config, generator)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)
    assert (mine[0] - fit(config)[0]).abs().max() > 1e-2


@pytest.mark.parametrize("heavy", [True, False])
def test_in_a_step_a_row_counts_by_its_weight_among_all_rows(heavy: bool) -> None:
    """Over the weight of its batch a row that is alone in being heavy would count as any other."""
    features, label, weight, bias = draw()
    first = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))[0]
    rows = torch.ones_like(label)
    rows[first if heavy else first - 1] = 500
    config = AdagradHead(method="adagrad", steps=1, batch_size=1, learning_rate=0.1)
    generator = torch.Generator().manual_seed(0)
    _, fitted = adagrad_head(features, label, weight, bias, config, generator, row_weight=rows)
    gradient = (torch.sigmoid(features[first] @ weight + bias) - label[first]) * rows[first] / rows.mean()
    torch.testing.assert_close(fitted, bias - 0.1 * gradient / (gradient.abs() + 1e-2), rtol=1e-9, atol=1e-12)


def test_batches_of_weight_0_change_nothing() -> None:
    features, label, weight, bias = draw()
    config = AdagradHead(method="adagrad", steps=3, batch_size=50)
    fitted = adagrad_head(features, label, weight, bias, config, torch.Generator(), row_weight=torch.zeros_like(label))
    assert torch.equal(fitted[0], weight)
    assert torch.equal(fitted[1], bias)
