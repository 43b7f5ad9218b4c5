import pytest

from nasrec_automl.config_training import RetrainConfig, SupernetConfig


@pytest.mark.parametrize(
    ("rows", "epochs", "validations"),
    [(1, 20, 2), (80_000, 20, 2), (300_000, 20, 2), (400_000, 15, 2), (2_000_000, 3, 4), (36_700_000, 1, 10)],
)
def test_trainings_are_as_long_as_their_rows_want(rows: int, epochs: int, validations: int) -> None:
    ours = RetrainConfig()
    assert (ours.epochs(rows), ours.validations(rows)) == (epochs, validations)
    said = RetrainConfig(max_epochs=7, validations_per_epoch=3)
    assert (said.epochs(rows), said.validations(rows)) == (7, 3)
    # How often a training is measured does not hang on how long the job lets it be.
    assert RetrainConfig(max_epochs=1).validations(rows) == validations


@pytest.mark.parametrize(("rows", "passes"), [(1, 2_000), (300, 2_000), (72_000, 15), (261_877, 4), (36_700_000, 1)])
def test_a_supernet_has_two_thousand_steps_in_whole_passes(rows: int, passes: int) -> None:
    assert SupernetConfig().passes(rows) == passes
    assert SupernetConfig(epochs=3).passes(rows) == 3
