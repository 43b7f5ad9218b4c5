import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from nasrec_automl.evaluation.grouped import grouped_auc

DRAW = np.random.default_rng(3)
ROWS = 600
LABEL = (DRAW.random(ROWS) < 0.3).astype(np.uint8)
SCORES = np.round(DRAW.normal(size=ROWS) + LABEL, 1)  # some are equal
GROUPS = DRAW.integers(-1, 60, ROWS)
WEIGHT = DRAW.integers(0, 4, ROWS).astype(np.float64)


def expected(weight: np.ndarray) -> list[tuple[float, float]]:
    found = []
    for group in range(60):
        rows = (group == GROUPS) & (weight > 0)
        if len({*LABEL[rows].tolist()}) == 2:
            auc = roc_auc_score(LABEL[rows], SCORES[rows], sample_weight=weight[rows])
            found.append((auc, weight[rows].sum()))
    return found


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_each_group_has_the_auc_of_its_rows(weight: np.ndarray | None) -> None:
    found = grouped_auc(LABEL, SCORES, GROUPS, weight)
    aucs, weights = zip(*expected(np.ones(ROWS) if weight is None else weight), strict=True)
    assert 30 < len(aucs) < 60
    np.testing.assert_allclose(found.aucs, aucs)
    np.testing.assert_allclose(found.weight, weights)
    assert found.mean == pytest.approx(np.average(aucs, weights=weights))


def test_what_is_said_of_groups_as_a_whole_does_not_count() -> None:
    found = grouped_auc(LABEL, SCORES, GROUPS)
    shifted = grouped_auc(LABEL, SCORES + 7.0 * GROUPS, GROUPS)
    assert found.mean == pytest.approx(shifted.mean)
    assert found.difference_error(shifted) == pytest.approx(0, abs=1e-12)


def test_the_error_is_that_of_a_mean_over_groups() -> None:
    first = grouped_auc(LABEL, SCORES, np.arange(ROWS) // 12)
    second = grouped_auc(LABEL, DRAW.normal(size=ROWS), np.arange(ROWS) // 12)
    many = [DRAW.choice(len(first.aucs), len(first.aucs)) for _ in range(4000)]
    means = [np.average((first.aucs - second.aucs)[some], weights=first.weight[some]) for some in many]
    assert first.difference_error(second) == pytest.approx(np.std(means), rel=0.1)


def test_without_groups_of_both_classes_there_is_none() -> None:
    for groups in (np.arange(ROWS), np.full(ROWS, -1)):
        found = grouped_auc(LABEL, SCORES, groups)
        assert found.mean is None
        assert found.difference_error(found) is None
