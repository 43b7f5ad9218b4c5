import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import OneHotEncoder

from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError


def test_the_seed_decides_everything() -> None:
    first, again, other = (make_synthetic(500, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    pd.testing.assert_series_equal(first.label, again.label)
    assert first.notes == again.notes
    assert not first.frame.equals(other.frame)


def test_sizes_and_rate_are_as_asked() -> None:
    made = make_synthetic(20_000, 3, fields=5, dense=2)
    assert len(made.frame) == len(made.label) == 20_000
    assert list(made.frame) == ["dense1", "dense2", "field1", "field2", "field3", "field4", "field5"]
    assert abs(made.label.mean() - 0.3) < 0.01
    assert make_synthetic(50, 3, dense=0).dense == {}


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"fields": 2}, {"dense": -1}, {"base_rate": 1.0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=f"but|got.*{next(iter(wrong))}={next(iter(wrong.values()))}"):
        make_synthetic(**{"rows": 10, "seed": 0, **wrong})


@pytest.mark.parametrize("seed", [0, 1])
def test_interactions_matter(seed: int) -> None:
    made = make_synthetic(30_000, seed)
    fitted = Preprocessing.fit(made.frame, dense=made.dense, categorical=made.categorical)
    dense, ids = fitted.transform(made.frame)
    singles = hstack([OneHotEncoder().fit_transform(ids), csr_matrix(dense)]).tocsr()
    linear = LogisticRegression(max_iter=500).fit(singles, made.label)
    # Fitted and scored on the same rows: what is out of reach here no sum of single effects reaches.
    reached = log_loss(made.label, linear.predict_proba(singles)[:, 1])
    oracle = float(made.notes["oracle_log_loss"])
    rate = made.label.mean()
    constant = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert oracle < reached - 0.05 < constant - 0.05
