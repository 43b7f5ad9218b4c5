import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import OneHotEncoder

from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError
from tests.data.learned import fit


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


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"fields": 2}, {"dense": -1}, {"base_rate": 1.0}, {"order": 4}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(DataError, match=f"got .*{next(iter(wrong))}={next(iter(wrong.values()))}"):
        make_synthetic(**{"rows": 10, "seed": 0, **wrong})


@pytest.mark.parametrize("seed", [0, 1])
def test_interactions_matter(seed: int) -> None:
    made = make_synthetic(30_000, seed)
    fitted = fit(made.frame, dense=made.dense, categorical=made.categorical)
    dense, ids = fitted.transform(made.frame)
    singles = hstack([OneHotEncoder().fit_transform(ids), csr_matrix(dense)]).tocsr()
    linear = LogisticRegression(max_iter=500).fit(singles, made.label)
    # Fitted and scored on the same rows: what is out of reach here no sum of single effects reaches.
    reached = log_loss(made.label, linear.predict_proba(singles)[:, 1])
    oracle = float(made.notes["oracle_log_loss"])
    rate = made.label.mean()
    constant = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert oracle < reached - 0.05 < constant - 0.05


def test_the_default_rows_stay_what_they_were() -> None:
    made = make_synthetic(20_000, 3)
    digest = hashlib.sha256(made.frame.to_csv(index=False).encode() + made.label.to_numpy(np.uint8).tobytes())
    assert digest.hexdigest() == "30dea77710291a2161edaf19740dc5db08c0dfb17e10bd3182b0fd161482de61"


@pytest.mark.parametrize("seed", [0, 1])
def test_notes_tell_what_each_order_is_worth(seed: int) -> None:
    first, second, third = (make_synthetic(30_000, seed, order=order).notes for order in (1, 2, 3))
    assert first["oracle_log_loss"] == pytest.approx(float(first["order1_log_loss"]), abs=1e-9)
    assert second["oracle_log_loss"] == pytest.approx(float(second["order2_log_loss"]), abs=1e-9)
    assert second["oracle_log_loss"] < second["order1_log_loss"] - 0.05
    assert third["oracle_log_loss"] < third["order2_log_loss"] - 0.01 < third["order1_log_loss"] - 0.05
    assert [notes["order"] for notes in (first, second, third)] == [1, 2, 3]


def test_without_interactions_a_regression_reaches_what_the_notes_say() -> None:
    made = make_synthetic(30_000, 0)
    singles = hstack(
        [OneHotEncoder().fit_transform(made.frame[list(made.categorical)]), np.log1p(made.frame[["dense1"]].fillna(0))]
    )
    linear = LogisticRegression(max_iter=500).fit(singles, made.label)
    reached = log_loss(made.label, linear.predict_proba(singles)[:, 1])
    # Scored on the rows it was fitted on, it gains about half a parameter a row.
    assert reached + singles.shape[1] / (2 * len(made.label)) == pytest.approx(
        float(made.notes["order1_log_loss"]), abs=0.003
    )


def test_few_rows_have_finite_notes() -> None:
    for seed in range(20):
        notes = make_synthetic(3, seed).notes
        assert np.isfinite([float(notes[name]) for name in ("order1_log_loss", "order2_log_loss")]).all()
