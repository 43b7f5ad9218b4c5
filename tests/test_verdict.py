"""What follows from a check of the scores."""

from dataclasses import replace

import numpy as np
import pytest

from nasrec_automl.ranking import Estimate, Ranking, judge_ranking
from nasrec_automl.verdict import Trust, Verdict

ORDER = np.arange(6.0)
RANKING = judge_ranking(ORDER, ORDER[:, None], ORDER[::-1] + ORDER % 2 * 3, resamples=20)


def verdict(ranking: Ranking | None) -> Verdict:
    return Verdict(architectures=[{"block1/fm": True}, {"block1/fm": False}], log_losses=[0.5, None], ranking=ranking)


@pytest.mark.parametrize(
    ("lead", "trust"),
    [
        pytest.param(Estimate(0.3, 0.1, 0.5), Trust.FULL, id="surely better than size"),
        pytest.param(Estimate(0.3, -0.1, 0.7), Trust.HALF, id="better by chance, perhaps"),
        pytest.param(Estimate(0.3, 0.0, 0.7), Trust.HALF, id="on the edge"),
        pytest.param(Estimate(0.0, -0.4, 0.4), Trust.NONE, id="no better"),
        pytest.param(Estimate(np.nan, np.nan, np.nan), Trust.NONE, id="scores that are all the same"),
    ],
)
def test_what_the_lead_over_size_means(lead: Estimate, trust: Trust) -> None:
    one = verdict(replace(RANKING, lead=lead))
    assert one.trust is trust
    assert one.to_plain()["trust"] == trust.value


def test_without_a_ranking_scores_count_as_without_a_check() -> None:
    one = verdict(None)
    assert one.trust is Trust.FULL
    assert one.left_out == 1


@pytest.mark.parametrize("ranking", [RANKING, None])
def test_it_is_read_as_it_was_written(ranking: Ranking | None) -> None:
    assert Verdict.from_plain(verdict(ranking).to_plain()) == verdict(ranking)
