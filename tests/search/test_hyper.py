from __future__ import annotations

import math
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nasrec_automl.hyper_space import HyperSpace, load_hyper_space
from nasrec_automl.search.hyper import Hyper, applying, default_params, retrain_distributions

DEFAULT = load_hyper_space("retrain-default")


def space(**fields: Any) -> HyperSpace:
    return HyperSpace.model_validate({"learning_rate": {"low": 0.01, "high": 0.1}, **fields})


def test_distributions_are_the_spaces() -> None:
    assert retrain_distributions(["a", "b"], DEFAULT) == {
        "architecture": CategoricalDistribution(("a", "b")),
        "optimizer": CategoricalDistribution(("adagrad", "adam", "sgd")),
        "weight_decay": FloatDistribution(1e-6, 3e-3, log=True),
        "embedding_decay": FloatDistribution(3e-6, 3e-3, log=True),
        "dropout": FloatDistribution(0.0, 0.6),
        "batch_size": CategoricalDistribution((256, 512, 1024)),
        "layer_norm": CategoricalDistribution((False, True)),
        "learning_rate/adagrad": FloatDistribution(0.03, 0.5, log=True),
        "learning_rate/adam": FloatDistribution(3e-4, 1e-2, log=True),
        "learning_rate/sgd": FloatDistribution(0.1, 3.0, log=True),
    }


def test_whole_numbers_have_ranges_too() -> None:
    one = space(embedding_dim={"low": 4, "high": 32, "step": 4}, batch_size={"low": 64, "high": 1024, "log": True})
    found = retrain_distributions(["a"], one)
    assert found["embedding_dim"] == IntDistribution(4, 32, step=4)
    assert found["batch_size"] == IntDistribution(64, 1024, log=True)
    assert default_params("a", one, taught=False)["batch_size"] == 256


def test_a_trial_has_the_learning_rate_of_its_optimizer() -> None:
    found = retrain_distributions(["a"], DEFAULT)
    rates = {name for name in applying(found, {"optimizer": "adam"}) if name.startswith("learning_rate")}
    assert rates == {"learning_rate/adam"}
    assert not [name for name in applying(found, {}) if name.startswith("learning_rate")]
    assert Hyper.of({"optimizer": "adam", "learning_rate/adam": 0.002}, DEFAULT).learning_rate == 0.002
    # Another optimiser's is not read.
    assert Hyper.of({"optimizer": "sgd", "learning_rate/adam": 0.002}, DEFAULT).learning_rate == math.sqrt(0.1 * 3)


def test_one_optimizer_is_no_parameter_and_its_rate_has_the_plain_name() -> None:
    found = retrain_distributions(["a"], space())
    assert found == {"architecture": CategoricalDistribution(("a",)), "learning_rate": FloatDistribution(0.01, 0.1)}
    assert applying(found, {}) == found
    assert Hyper.of({"learning_rate": 0.02}, space()).learning_rate == 0.02


def test_defaults_come_first() -> None:
    params = default_params("a", DEFAULT, taught=False)
    assert params.keys() == applying(retrain_distributions(["a"], DEFAULT), params).keys()
    assert (params["learning_rate/adagrad"], params["weight_decay"]) == (0.2, 1e-5)
    hyper = Hyper.of(params, DEFAULT)
    assert (hyper.optimizer, hyper.dropout, hyper.batch_size) == ("adagrad", 0.1, 512)
    assert (hyper.weight_decay, hyper.embedding_decay) == (1e-5, 3e-4)
    assert (hyper.embedding_dim, hyper.table_cap, hyper.layer_norm) == (None, None, False)


def test_those_with_teachers_begin_with_less_against_learning_by_heart() -> None:
    alone, taught = (default_params("a", DEFAULT, taught=taught) for taught in (False, True))
    assert {name: (alone[name], taught[name]) for name in alone if alone[name] != taught[name]} == {
        "embedding_decay": (3e-4, 3e-5),
        "dropout": (0.1, 0.0),
    }
    rates = space(learning_rate={"low": 0.01, "high": 0.1, "taught": 0.02})
    assert default_params("a", rates, taught=True)["learning_rate"] == 0.02


def test_what_is_no_parameter_has_the_spaces_one_value() -> None:
    assert Hyper.of({}, space(layer_norm=False)).layer_norm is False
    assert Hyper.of({}, space(embedding_decay=1e-3)).embedding_decay == 1e-3
    assert (Hyper.of({}, space()).layer_norm, Hyper.of({}, space()).embedding_decay) == (None, None)
    assert Hyper.of({}, space()).embedding_decay is None


def test_what_is_no_parameter_has_the_spaces_value() -> None:
    one = space(batch_size=128, table_cap=50, embedding_dim=4)
    params = default_params("a", one, taught=False)
    assert params.keys() == {"architecture", "learning_rate"}
    hyper = Hyper.of(params, one)
    assert (hyper.batch_size, hyper.table_cap, hyper.embedding_dim, hyper.weight_decay) == (128, 50, 4, 0.0)
