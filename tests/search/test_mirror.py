from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from nasrec_automl.search.mirror import Mirror

WANTED = {"x": FloatDistribution(0, 1)}
GENERATION = "NSGAIISampler:generation"


def add(study: optuna.Study, x: float, state: TrialState, **notes: object) -> None:
    study.add_trial(
        optuna.create_trial(
            state=state,
            params={"x": x},
            distributions=WANTED,
            values=[x] * len(study.directions) if state == TrialState.COMPLETE else None,
            system_attrs=notes,
        )
    )


class Looking(TPESampler):
    """Writes down what it finds in the study."""

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, *args: object) -> float:
        found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING))
        self.found = sorted((t.state.name, t.params["x"]) for t in found if t.number != trial.number)
        return 0.5


def seen(mirror: Mirror) -> list[tuple[str, float]]:
    sampler = Looking()
    mirror.update()
    mirror.ask(sampler, WANTED)
    return sampler.found


def test_a_sampler_finds_the_study_as_it_is() -> None:
    study = optuna.create_study()
    mirror = Mirror(study)
    assert seen(mirror) == []
    add(study, 0.1, TrialState.COMPLETE)
    add(study, 0.2, TrialState.RUNNING)
    add(study, 0.3, TrialState.PRUNED)
    add(study, 0.4, TrialState.FAIL)
    for _ in range(2):
        assert seen(mirror) == [("COMPLETE", 0.1), ("PRUNED", 0.3), ("RUNNING", 0.2)]
    study.tell(1, 0.7)
    study.enqueue_trial({"x": 0.9})
    assert seen(mirror) == [("COMPLETE", 0.1), ("COMPLETE", 0.2), ("PRUNED", 0.3)]
    assert len(study.get_trials()) == 5


def ask(mirror: Mirror, sampler: BaseSampler) -> float:
    mirror.update()
    return float(mirror.ask(sampler, WANTED)["x"])


def test_generations_go_on_in_another_process_and_in_optuna_itself() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"])
    for _ in range(3):  # As three workers, one after another: each begins with a mirror and a sampler of its own.
        mirror, sampler = Mirror(study), NSGAIISampler(population_size=4, seed=0)
        for _ in range(4):
            x = ask(mirror, sampler)
            add(study, x, TrialState.COMPLETE, **mirror.notes)
    assert [trial.system_attrs[GENERATION] for trial in study.get_trials()] == [0] * 4 + [1] * 4 + [2] * 4
    study.sampler = NSGAIISampler(population_size=4, seed=0)
    assert study.ask(WANTED).params
    assert study.get_trials()[-1].system_attrs[GENERATION] == 3


def test_notes_are_those_of_the_last_proposal() -> None:
    mirror = Mirror(optuna.create_study())
    ask(mirror, NSGAIISampler())
    assert mirror.notes == {GENERATION: 0}
    ask(mirror, optuna.samplers.RandomSampler())
    assert mirror.notes == {}


def test_nothing_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    study = optuna.create_study()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    caplog.clear()
    try:
        ask(Mirror(study), optuna.samplers.RandomSampler())
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.disable_propagation()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert not caplog.records
