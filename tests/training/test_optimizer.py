from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.errors import JobError
from nasrec_automl.ops.linear import ElasticLinear
from nasrec_automl.ops.slices import keep_slice_gradients, slice_gradient, used_slice
from nasrec_automl.training.optimizer import RowAdagrad, RowAdam, RowSGD, make_optimizer

ROWS, E = 12, 3


def start() -> Tensor:
    return torch.randn(ROWS, E, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batches(steps: int = 8) -> list[Tensor]:
    """Ids with duplicates, and rows 10 and 11 that never come."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(ROWS - 2, (9,), generator=generator) for _ in range(steps)]


def loss(table: nn.Parameter, ids: Tensor, *, sparse: bool) -> Tensor:
    vectors = F.embedding(ids, table, sparse=sparse)
    return (vectors * torch.linspace(-1, 2, ids.numel(), dtype=torch.float64).unsqueeze(1)).pow(2).sum() + vectors.sum()


def train(make: object, *, sparse: bool, table: nn.Parameter | None = None) -> nn.Parameter:
    table = nn.Parameter(start()) if table is None else table
    optimizer = make([table])  # type: ignore[operator]
    for ids in batches():
        optimizer.zero_grad()
        loss(table, ids, sparse=sparse).backward()
        optimizer.step()
    return table


@pytest.mark.parametrize("eps", [1e-2, 1e-8])
@pytest.mark.parametrize("sparse", [True, False])
def test_it_is_torchs_adagrad(sparse: bool, eps: float) -> None:
    mine = train(lambda p: RowAdagrad(p, lr=0.3, eps=eps), sparse=sparse)
    theirs = train(lambda p: torch.optim.Adagrad(p, lr=0.3, eps=eps), sparse=sparse)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(mine, start())


def test_weight_decay_of_dense_gradients_is_torchs() -> None:
    mine = train(lambda p: RowAdagrad(p, lr=0.3, weight_decay=0.2, eps=1e-2), sparse=False)
    theirs = train(lambda p: torch.optim.Adagrad(p, lr=0.3, eps=1e-2, weight_decay=0.2), sparse=False)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_weight_decay_of_sparse_gradients_touches_the_rows_of_the_batch_alone() -> None:
    table = nn.Parameter(start())
    optimizer = RowAdagrad([table], lr=0.3, weight_decay=0.2, eps=1e-2)
    ids = torch.tensor([4, 1, 4, 4])
    before = table.detach().clone()
    loss(table, ids, sparse=True).backward()
    optimizer.step()
    touched = (table != before).any(1)
    assert touched.nonzero().flatten().tolist() == [1, 4]
    assert (optimizer.state[table]["sum"] != 0).any(1).nonzero().flatten().tolist() == [1, 4]
    # On those rows it is torch's decay, once a row however often the batch has it.
    other = nn.Parameter(before.clone())
    loss(other, ids, sparse=False).backward()
    torch.optim.Adagrad([other], lr=0.3, eps=1e-2, weight_decay=0.2).step()
    torch.testing.assert_close(table[[1, 4]], other[[1, 4]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [RowAdagrad, RowAdam, RowSGD])
def test_rows_may_have_a_decay_of_their_own(make: Callable[..., torch.optim.Optimizer]) -> None:
    def trained(**decays: float | None) -> list[torch.Tensor]:
        table, weight = nn.Parameter(start()), nn.Parameter(start())
        optimizer = make([table, weight], lr=0.3, **decays)
        ids = torch.tensor([4, 1, 4, 4])
        (loss(table, ids, sparse=True) + loss(weight, ids, sparse=False)).backward()
        optimizer.step()
        return [table.detach(), weight.detach()]

    plain, rows, both = trained(), trained(embedding_decay=0.2), trained(weight_decay=0.2)
    assert not torch.equal(rows[0], plain[0])
    torch.testing.assert_close(rows, [both[0], plain[1]], rtol=0, atol=0)
    torch.testing.assert_close(trained(weight_decay=0.2, embedding_decay=0.0), [plain[0], both[1]], rtol=0, atol=0)


def test_weights_without_a_gradient_have_no_state_and_stay() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RowAdagrad([used, unused], lr=1.0, weight_decay=0.5, eps=1e-2)
    used.sum().backward()
    optimizer.step()
    assert unused not in optimizer.state
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))


def test_gradients_are_left_as_they_are() -> None:
    for sparse in (True, False):
        table = nn.Parameter(start())
        loss(table, batches()[0], sparse=sparse).backward()
        before = table.grad.to_dense().clone() if sparse else table.grad.clone()
        RowAdagrad([table], lr=0.1, weight_decay=0.5, eps=1e-2).step()
        torch.testing.assert_close(table.grad.to_dense() if sparse else table.grad, before)


@pytest.mark.parametrize("make", [lambda p: RowAdagrad(p, lr=0.3, eps=1e-2), lambda p: RowAdam(p, lr=0.03)])
def test_it_goes_on_from_its_state(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> None:
    unbroken = train(make, sparse=True)
    table = nn.Parameter(start())
    state = None
    for ids in batches():
        optimizer = make([table])
        if state is not None:
            optimizer.load_state_dict(state)
        table.grad = None
        loss(table, ids, sparse=True).backward()
        optimizer.step()
        state = optimizer.state_dict()
    assert torch.equal(table, unbroken)


def test_groups_and_closures() -> None:
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = RowAdagrad([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1, eps=1e-2)

    def closure() -> float:
        optimizer.zero_grad()
        total = (a + b).sum()
        total.backward()
        return float(total.detach())

    assert optimizer.step(closure) == 2.0
    assert (1 - a).item() == pytest.approx(5 * (1 - b).item())


def test_a_schedule_drives_it() -> None:
    table = nn.Parameter(torch.ones(1))
    optimizer = RowAdagrad([table], lr=0.1, eps=1e-2)
    optimizer.param_groups[0]["lr"] = 0.0
    table.sum().backward()
    optimizer.step()
    assert table.item() == 1.0


@pytest.mark.parametrize(
    ("make", "make_torchs"),
    [(partial(RowAdagrad, eps=1e-2), partial(torch.optim.Adagrad, eps=1e-2)), (RowSGD, torch.optim.SGD)],
    ids=["adagrad", "sgd"],
)
def test_a_slice_of_a_weight_is_updated_alone(
    make: Callable[..., torch.optim.Optimizer], make_torchs: Callable[..., torch.optim.Optimizer]
) -> None:
    weight, plain = nn.Parameter(start()), nn.Parameter(start())
    mine, theirs = make([weight], lr=0.3), make_torchs([plain], lr=0.3)
    for rows, columns in [(5, 2), (3, 3), (12, 3), (1, 1)]:
        for parameter, optimizer in ((weight, mine), (plain, theirs)):
            optimizer.zero_grad()
            (used_slice(parameter, rows, columns).pow(2).sum() * 0.7).backward()
            optimizer.step()
    torch.testing.assert_close(weight, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.2])
@pytest.mark.parametrize(
    ("make", "make_torchs"),
    [(RowAdagrad, torch.optim.Adagrad), (RowAdam, torch.optim.Adam), (RowSGD, torch.optim.SGD)],
)
def test_a_weight_used_at_two_widths_moves_once(
    make: Callable[..., torch.optim.Optimizer], make_torchs: Callable[..., torch.optim.Optimizer], decay: float
) -> None:
    mine, plain = ElasticLinear(3, 4, bias=True).double(), ElasticLinear(3, 4, bias=True).double()
    plain.load_state_dict(mine.state_dict())
    optimizers = [
        make(mine.parameters(), lr=0.1, weight_decay=decay),
        make_torchs(plain.parameters(), lr=0.1, weight_decay=decay),
    ]
    keep_slice_gradients(mine.parameters())  # as Adagrad and SGD ask; Adam must cope with it
    for layer, optimizer in zip((mine, plain), optimizers, strict=True):
        sum(layer(torch.ones(2, 3, dtype=torch.float64), width).sum() for width in (4, 2)).backward()
        optimizer.step()
    for parameter, expected in zip(mine.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("make", [RowAdagrad, RowSGD])
def test_weight_decay_leaves_what_a_path_did_not_use(make: Callable[..., torch.optim.Optimizer]) -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = make([weight], lr=0.1, weight_decay=0.5)
    used_slice(weight, 2, 3).sum().backward()
    assert weight.grad is None
    optimizer.step()
    assert (weight != 1).nonzero().tolist() == [[i, j] for i in range(2) for j in range(3)]
    optimizer.zero_grad()
    assert slice_gradient(weight) is None


# Adam and SGD.


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_adam_moves_what_a_path_did_not_use_by_its_moments(decay: float) -> None:
    weight, plain = nn.Parameter(start()), nn.Parameter(start())
    mine, theirs = (make([p], lr=0.3, weight_decay=decay) for make, p in ((RowAdam, weight), (torch.optim.Adam, plain)))
    for rows in (12, 5):
        before = weight.detach().clone()
        for parameter, optimizer in ((weight, mine), (plain, theirs)):
            optimizer.zero_grad()
            used_slice(parameter, rows, E).pow(2).sum().backward()
            optimizer.step()
        torch.testing.assert_close(weight, plain)
    assert (weight != before).all()


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_on_whole_gradients_adam_and_sgd_are_torchs(decay: float) -> None:
    for mine, theirs in ((RowAdam, torch.optim.Adam), (RowSGD, torch.optim.SGD)):
        found = train(lambda p, own=mine: own(p, lr=0.03, weight_decay=decay), sparse=False)
        expected = train(lambda p, own=theirs: own(p, lr=0.03, weight_decay=decay), sparse=False)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert not torch.equal(found, start())


def test_sgd_on_rows_is_torchs() -> None:
    found = train(lambda p: RowSGD(p, lr=0.03), sparse=True)
    torch.testing.assert_close(found, train(lambda p: torch.optim.SGD(p, lr=0.03), sparse=True))


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_to_every_row_adams_training_is_that_of_its_own_steps(decay: float) -> None:
    table = train(lambda p: RowAdam(p, lr=0.03, weight_decay=decay), sparse=True)
    for row in range(ROWS):
        alone = nn.Parameter(start()[row : row + 1].clone())
        adam = torch.optim.Adam([alone], lr=0.03, weight_decay=decay)
        for ids in batches():
            if (ids == row).any():
                whole = nn.Parameter(torch.cat([start()[:row], alone.detach(), start()[row + 1 :]]))
                loss(whole, ids, sparse=False).backward()
                alone.grad = whole.grad[row : row + 1]
                adam.step()
        torch.testing.assert_close(table[row : row + 1], alone, rtol=1e-10, atol=1e-12)


def test_a_late_rows_first_step_is_as_long_as_the_learning_rate() -> None:
    table = nn.Parameter(torch.zeros(2, E))
    optimizer = RowAdam([table], lr=0.1)
    for row in [0] * 20 + [1]:
        optimizer.zero_grad()
        F.embedding(torch.tensor([row]), table, sparse=True).sum().backward()
        optimizer.step()
    torch.testing.assert_close(table[1], torch.full((E,), -0.1))


@pytest.mark.parametrize("make", [RowAdam, RowSGD])
def test_adam_and_sgd_touch_the_rows_of_the_batch_alone(make: type[torch.optim.Optimizer]) -> None:
    table = nn.Parameter(start())
    optimizer = make([table], lr=0.3, weight_decay=0.2)  # type: ignore[call-arg]
    loss(table, torch.tensor([4, 1, 4, 4]), sparse=True).backward()
    optimizer.step()
    assert (table != start()).any(1).nonzero().flatten().tolist() == [1, 4]
    for tensor in optimizer.state[table].values():
        assert (tensor != 0).any(1).nonzero().flatten().tolist() == [1, 4]


def test_optimisers_have_names() -> None:
    made = {
        name: make_optimizer(
            name, [nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.2, embedding_decay=0.4, eps=0.3
        )
        for name in ("adagrad", "adam", "sgd")
    }
    assert {name: type(one) for name, one in made.items()} == {"adagrad": RowAdagrad, "adam": RowAdam, "sgd": RowSGD}
    for one in made.values():
        assert {name: one.defaults[name] for name in ("lr", "weight_decay", "embedding_decay")} == {
            "lr": 0.1,
            "weight_decay": 0.2,
            "embedding_decay": 0.4,
        }
    assert (made["adagrad"].defaults["eps"], made["adam"].defaults["eps"]) == (0.3, 1e-8)


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    with pytest.raises(JobError, match="no optimizer 'adamw'; there are adagrad, adam, sgd"):
        make_optimizer("adamw", [nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.0, eps=1e-8)  # type: ignore[arg-type]


def test_an_optimiser_after_another_forgets_the_gradients_of_slices_too() -> None:
    weight = nn.Parameter(torch.zeros(4))
    RowAdagrad([weight], lr=1.0, eps=1e-2)
    optimizer = RowSGD([weight], lr=1.0)
    for step in range(1, 4):
        optimizer.zero_grad()
        used_slice(weight, 2).sum().backward()
        optimizer.step()
        assert weight.tolist() == [-step, -step, 0, 0]
