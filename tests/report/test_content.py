from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest

from nasrec_automl.config import Objective
from nasrec_automl.report import ReportContent, ScoredArchitecture
from nasrec_automl.report.style import COSTS
from nasrec_automl.report.summary import cost, in_both

SCORED = ScoredArchitecture(
    number=0, key="3f2a", log_loss=0.3, standard_error=0.01, auc=0.7, macs=20, parameters=30, latency_ms=4.0
)


@pytest.mark.parametrize("objective", get_args(Objective))
def test_whatever_a_search_minimises_is_told_of_each_architecture(objective: str) -> None:
    assert cost(SCORED, objective) in (0.3, 20, 30, 4.0)
    assert objective in ("log_loss", *COSTS)


def test_a_training_finds_its_score_by_the_hand_designs_name_or_by_the_key(
    full_content: Callable[..., ReportContent],
) -> None:
    training = replace(full_content().retrain[1], state="complete")
    content = full_content(
        search=[SCORED, replace(SCORED, number=1, key="9c1b", log_loss=0.4, hand="mlp")],
        retrain=[replace(training, architecture=name, log_loss=loss) for name, loss in (("3f2a", 0.5), ("mlp", 0.6))],
    )
    assert in_both(content.search, content.retrain) == content.search
