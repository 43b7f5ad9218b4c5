import itertools
import sys

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler

from nasrec_automl.search.task import Params
from nasrec_automl.search.tpe import first_new_params, sample_params, tpe

WANTED: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "size": CategoricalDistribution([128, 256, 512]),
}


def study_of(trials: int) -> optuna.Study:
    """The larger the rate, the worse."""
    study = optuna.create_study()
    for number in range(trials):
        params = {"rate": 10 ** (-3 * (number + 1) / (trials + 1)), "size": 256}
        study.add_trial(optuna.create_trial(params=params, distributions=WANTED, value=params["rate"]))
    return study


def draw(study: optuna.Study, seed: int = 0, startup: int = 5) -> dict[str, object]:
    return sample_params(tpe(seed, startup=startup), study, WANTED)


def test_it_writes_nothing_and_depends_on_the_study_alone() -> None:
    study = study_of(20)
    assert draw(study) == draw(study_of(20))
    assert len(study.get_trials()) == 20
    assert draw(study, seed=1) != draw(study)


def test_it_learns_from_the_study_after_its_start() -> None:
    study = study_of(40)
    learned = [draw(study, seed)["rate"] for seed in range(20)]
    at_random = [draw(study, seed, startup=100)["rate"] for seed in range(20)]
    assert sorted(learned)[10] < sorted(at_random)[10]  # type: ignore[type-var]


def test_optunas_random_sampler_draws_as_tpe_does_before_its_start() -> None:
    """Random trainings and settings were drawn so: a study that was begun then goes on as it would have."""
    study = study_of(40)
    for seed in range(5):
        assert sample_params(RandomSampler(seed), study, WANTED) == draw(study, seed, startup=sys.maxsize)


def test_a_way_that_leads_nowhere_new_gives_way_to_the_next() -> None:
    def key(params: Params) -> str:
        return str(params["x"])

    asked: list[tuple[int, int]] = []

    def stubborn(taken: int, attempt: int) -> Params:
        asked.append((taken, attempt))
        return {"x": 1}

    assert first_new_params((lambda *_: None, stubborn, lambda taken, attempt: {"x": attempt}), key, {"0", "1"}) == {
        "x": 2
    }
    assert asked == [(2, attempt) for attempt in range(20)]
    assert first_new_params((stubborn,), key, {"1"}) is None


def test_chance_comes_last_and_finds_the_one_that_is_left() -> None:
    left = ({"x": 7 if attempt == 100 else 1} for attempt in itertools.count())
    assert first_new_params((lambda *_: {"x": 1}, lambda *_: next(left)), lambda params: str(params["x"]), {"1"}) == {
        "x": 7
    }


def test_a_parameter_that_no_trial_has_is_drawn_too() -> None:
    wanted = {**WANTED, "new": FloatDistribution(2.0, 3.0)}
    found = sample_params(tpe(0, startup=5), study_of(20), wanted)
    assert list(found) == list(wanted)
    assert 2.0 <= found["new"] <= 3.0


def test_a_range_that_is_narrower_than_the_studys_is_kept_to() -> None:
    wanted = {**WANTED, "rate": FloatDistribution(0.5, 1.0, log=True)}
    found = [sample_params(tpe(seed, startup=5), study_of(20), wanted)["rate"] for seed in range(10)]
    assert all(0.5 <= rate <= 1.0 for rate in found)
