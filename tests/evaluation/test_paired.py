import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from nasrec_automl.evaluation.paired import auc_difference_error, log_loss_difference_error


def draw(rows: int, seed: int = 0, *, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = (rng.random(rows) < 0.3).astype(np.int8)
    common = label + rng.normal(size=rows)
    first, second = common + 0.4 * rng.normal(size=rows), common + 0.6 * rng.normal(size=rows)
    return (label, first.round(1), second.round(1)) if ties else (label, first, second)


@pytest.mark.parametrize("ties", [True, False])
def test_it_is_the_bootstraps(ties: bool) -> None:
    label, first, second = draw(600, ties=ties)
    rng = np.random.default_rng(1)
    differences = []
    for _ in range(400):
        rows = rng.integers(600, size=600)
        differences.append(roc_auc_score(label[rows], first[rows]) - roc_auc_score(label[rows], second[rows]))
    assert auc_difference_error(label, first, second) == pytest.approx(np.std(differences), rel=0.12)


def test_it_is_delongs_formula() -> None:
    label, first, second = draw(60, ties=True)
    positive, negative = label == 1, label == 0

    def wins(scores: np.ndarray) -> np.ndarray:
        a, b = scores[positive][:, None], scores[negative][None]
        return (a > b) + 0.5 * (a == b)

    difference = wins(first) - wins(second)
    variance = difference.mean(1).var(ddof=1) / positive.sum() + difference.mean(0).var(ddof=1) / negative.sum()
    assert auc_difference_error(label, first, second) == pytest.approx(np.sqrt(variance))
    assert wins(first).mean() == pytest.approx(roc_auc_score(label, first))


def test_one_model_does_not_differ_from_itself() -> None:
    label, first, _ = draw(200)
    assert auc_difference_error(label, first, first) == 0
    assert auc_difference_error(label, first, np.exp(first)) == pytest.approx(0, abs=1e-12)


def test_pairs_are_narrower_than_independent_errors() -> None:
    label, first, second = draw(2000)
    _, _, stranger = draw(2000, seed=5)
    assert auc_difference_error(label, first, second) < 0.7 * auc_difference_error(label, first, stranger)


def placements(label: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By midranks (Sun and Xu 2014): of each positive row among the negatives, of each negative among the positives."""
    positive = label == 1
    ranks, own, other = rankdata(scores), rankdata(scores[positive]), rankdata(scores[~positive])
    return (ranks[positive] - own) / (~positive).sum(), 1 - (ranks[~positive] - other) / positive.sum()


def test_without_weights_it_is_that_of_midranks_to_the_last_bit() -> None:
    for ties in (True, False):
        label, first, second = draw(500, ties=ties)
        pairs = zip(placements(label, first), placements(label, second), strict=True)
        variance = sum((one - other).var(ddof=1) / len(one) for one, other in pairs)
        assert auc_difference_error(label, first, second) == np.sqrt(variance)


def test_weights_are_those_of_the_bootstraps_aucs() -> None:
    label, first, second = draw(800, ties=True)
    rng = np.random.default_rng(1)
    weight = rng.gamma(0.5, size=800)
    differences = []
    for _ in range(400):
        rows = rng.integers(800, size=800)
        aucs = (roc_auc_score(label[rows], scores[rows], sample_weight=weight[rows]) for scores in (first, second))
        differences.append(np.subtract(*aucs))
    error = auc_difference_error(label, first, second, weight)
    assert error == pytest.approx(np.std(differences), rel=0.12)
    assert error > 1.3 * auc_difference_error(label, first, second)


def test_placements_are_among_weighted_rows() -> None:
    label, first, second = draw(60, ties=True)
    weight = np.random.default_rng(1).integers(1, 4, size=60) * np.exp(first)  # what is scored higher weighs more
    positive, negative = label == 1, label == 0
    own, other = (weight[rows] / weight[rows].sum() for rows in (positive, negative))

    def wins(scores: np.ndarray) -> np.ndarray:
        a, b = scores[positive][:, None], scores[negative][None]
        return (a > b) + 0.5 * (a == b)

    difference = wins(first) - wins(second)
    by_positive, by_negative = difference @ other, own @ difference
    mean = own @ by_positive
    variance = sum(
        np.square(share * (values - mean)).sum() * len(share) / (len(share) - 1)
        for share, values in ((own, by_positive), (other, by_negative))
    )
    assert auc_difference_error(label, first, second, weight) == pytest.approx(np.sqrt(variance))


def test_rows_of_weight_0_are_left_out_and_the_unit_does_not_count() -> None:
    label, first, second = draw(300)
    weight = np.random.default_rng(2).integers(3, size=300).astype(float)
    some = weight > 0
    error = auc_difference_error(label, first, second, weight)
    assert error == auc_difference_error(label[some], first[some], second[some], weight[some])
    assert error == pytest.approx(auc_difference_error(label, first, second, 100 * weight))
    assert auc_difference_error(label, first, second, np.full(300, 2.0)) == pytest.approx(
        auc_difference_error(label, first, second)
    )


def test_booleans_are_labels_too() -> None:
    label, first, second = draw(100)
    assert auc_difference_error(label == 1, first, second) == auc_difference_error(label, first, second)


def test_the_error_of_log_losses_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        shared = rng.exponential(size=500)
        return shared + 0.1 * rng.normal(size=500), shared + 0.2 * rng.normal(size=500)

    differences = [first.mean() - second.mean() for first, second in (draw() for _ in range(2000))]
    first, second = draw()
    assert log_loss_difference_error(first, second) == pytest.approx(np.std(differences), rel=0.12)
    assert log_loss_difference_error(first, first) == 0


def test_rows_of_weight_0_and_the_unit_of_weights_change_nothing_of_it() -> None:
    rng = np.random.default_rng(1)
    first, second, weight = rng.exponential(size=(3, 300))
    some = rng.random(300) < 0.5
    error = log_loss_difference_error(first, second, np.where(some, weight, 0.0))
    assert error == pytest.approx(log_loss_difference_error(first[some], second[some], weight[some]))
    assert error == pytest.approx(log_loss_difference_error(first, second, np.where(some, 100 * weight, 0.0)))
    assert log_loss_difference_error(first, second, np.full(300, 2.0)) == pytest.approx(
        log_loss_difference_error(first, second)
    )


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_one_row_of_a_class_says_nothing_of_the_error(positives: int) -> None:
    label = np.repeat([1, 0], [positives, 10 - positives])
    first, second = np.random.default_rng(0).random((2, 10))
    assert auc_difference_error(label, first, second) is None
    twice, halved = np.concatenate([label, 1 - label]), np.repeat([1.0, 0.0], 10)
    assert auc_difference_error(twice, np.tile(first, 2), np.tile(second, 2), halved) is None
