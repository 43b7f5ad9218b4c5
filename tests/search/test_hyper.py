from __future__ import annotations

import math

from optuna.distributions import CategoricalDistribution, FloatDistribution

from nasrec_automl.config import FloatRange, RetrainConfig
from nasrec_automl.search.hyper import Hyper, default_params, retrain_distributions

CONFIG = RetrainConfig()


def test_distributions_are_the_jobs_ranges() -> None:
    assert retrain_distributions(["a", "b"], CONFIG) == {
        "architecture": CategoricalDistribution(("a", "b")),
        "learning_rate": FloatDistribution(0.01, 0.2, log=True),
        "weight_decay": FloatDistribution(1e-7, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.6),
        "batch_size": CategoricalDistribution((256, 512, 1024)),
    }


def test_defaults_are_the_middle_and_little_dropout() -> None:
    params = default_params("a", CONFIG)
    assert math.isclose(params["learning_rate"], math.sqrt(0.01 * 0.2))
    assert math.isclose(params["weight_decay"], 1e-9**0.5)
    assert params["dropout"] == 0.0
    assert Hyper.of(params, CONFIG).batch_size == 512


def test_a_single_batch_size_is_no_parameter() -> None:
    config = RetrainConfig(batch_size=(128,))
    params = default_params("a", config)
    assert "batch_size" not in params
    assert "batch_size" not in retrain_distributions(["a"], config)
    assert Hyper.of(params, config).batch_size == 128


def test_a_range_of_one_value_holds_its_middle() -> None:
    for value in (0.01, 0.02, 0.03, 0.07, 1e-7):
        config = RetrainConfig(learning_rate=FloatRange(low=value, high=value, log=True))
        assert default_params("a", config)["learning_rate"] == value


def test_a_linear_range_may_begin_at_zero() -> None:
    config = RetrainConfig(weight_decay=FloatRange(low=0.0, high=0.2))
    assert default_params("a", config)["weight_decay"] == 0.1
