import torch

from nasrec_automl.training.seed import seeded


def draw(*entropy: int) -> float:
    with seeded(*entropy):
        return torch.rand(()).item()


def test_equal_numbers_give_equal_draws() -> None:
    torch.manual_seed(5)
    first = draw(3, 7)
    torch.manual_seed(6)
    assert draw(3, 7) == first
    assert len({draw(0), draw(1), draw(0, 0), draw(0, 1), draw(1, 0), draw(3, 7)}) == 6


def test_the_generator_is_given_back() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(1)
    draw(3)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_also_after_an_error() -> None:
    before = torch.get_rng_state()
    try:
        with seeded(1):
            torch.rand(3)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.get_rng_state(), before)


def test_it_draws_what_torch_draws_of_that_seed() -> None:
    with seeded(3, 7):
        seed, drawn = torch.initial_seed(), torch.rand(2)
    torch.manual_seed(seed)
    assert torch.equal(torch.rand(2), drawn)
