"""A score, which evaluators make and searches read."""

from dataclasses import FrozenInstanceError

import pytest

from nasrec_automl.score import Score


def test_a_score_stays_what_the_evaluator_said() -> None:
    score = Score(log_loss=0.5, auc=0.75, standard_error=0.01, rows=100, stopped=False)
    assert score == Score(0.5, 0.75, 0.01, 100, False)
    with pytest.raises(FrozenInstanceError):
        score.log_loss = 0.4  # type: ignore[misc]


def test_an_evaluator_need_not_know_more_than_the_log_loss() -> None:
    score = Score(log_loss=0.5)
    assert (score.auc, score.standard_error, score.rows, score.stopped) == (None, None, None, False)
