import numpy as np
import pytest
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from nasrec_automl.evaluation.mean_labels import MeanLabels, cross_fitted

SIZES = (40, 7)


def rows(count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    ids = np.column_stack([draw.integers(0, size - 1, count) for size in SIZES])
    return ids, (draw.random(count) < 0.2 + 0.6 * (ids[:, 0] % 2)).astype(np.int8)


@pytest.mark.parametrize("smooth", [0.5, 20.0])
def test_without_weights_it_is_scikit_learns_encoder(smooth: float) -> None:
    ids, label = rows()
    encoder = TargetEncoder(target_type="binary", smooth=smooth, cv=KFold(5, shuffle=True, random_state=3))
    crossed = cross_fitted(ids, label, None, sizes=SIZES, smooth=smooth, seed=3)
    np.testing.assert_allclose(crossed, encoder.fit_transform(ids, label))
    means = MeanLabels.fit(ids, label, None, sizes=SIZES, smooth=smooth)
    unknown = np.array([[SIZES[0] - 1, SIZES[1] - 1], [0, 0]])
    np.testing.assert_allclose(means.transform(unknown), encoder.transform(unknown))


def test_a_row_of_weight_3_is_three_rows_and_one_of_weight_0_is_none() -> None:
    ids, label = rows()
    weight = np.random.default_rng(1).integers(0, 4, len(label))
    weighted = MeanLabels.fit(ids, label, weight.astype(float), sizes=SIZES, smooth=20.0)
    repeated = MeanLabels.fit(ids.repeat(weight, axis=0), label.repeat(weight), None, sizes=SIZES, smooth=20.0)
    for one, other in zip(weighted.means, repeated.means, strict=True):
        np.testing.assert_allclose(one, other)


def test_no_rows_own_label_changes_its_feature() -> None:
    ids, label = rows()
    weight = np.random.default_rng(1).random(len(label))
    before = cross_fitted(ids, label, weight, sizes=SIZES, smooth=2.0, seed=3)
    turned = label.copy()
    turned[7] = 1 - turned[7]
    np.testing.assert_array_equal(cross_fitted(ids, turned, weight, sizes=SIZES, smooth=2.0, seed=3)[7], before[7])
