from optuna.trial import TrialState

from nasrec_automl.search.task import TrialOutcome


def test_an_outcome_has_the_values_of_all_objectives() -> None:
    assert TrialOutcome(state=TrialState.COMPLETE, value=0.5).values == [0.5]
    assert TrialOutcome(state=TrialState.COMPLETE, value=0.5, further=(10.0, 2.0)).values == [0.5, 10.0, 2.0]
    assert TrialOutcome(state=TrialState.PRUNED, value=None, further=(10.0,)).values is None
