from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from nasrec_automl.errors import SpaceError
from nasrec_automl.hyper_space import HyperSpace, load_hyper_space

FOLDER = Path(__file__).parents[1] / "search_spaces" / "hpo"
RATE = {"learning_rate": 0.1}


def space(**fields: Any) -> HyperSpace:
    return HyperSpace.model_validate({**RATE, **fields})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_that_ships_loads_and_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# For ")
    loaded = load_hyper_space(path.stem.replace("_", "-"))
    assert loaded == load_hyper_space(path)
    assert HyperSpace.model_validate_json(loaded.model_dump_json()) == loaded


def test_short_forms() -> None:
    assert space(dropout=0.1) == space(dropout=[0.1]) == space(dropout={"choices": [0.1]})
    assert space(table_cap=[None, 100]).table_cap.choices == (None, 100)
    assert space(table_cap=None) == space()
    assert space(layer_norm=False).layer_norm.choices == (False,)


def test_what_is_noted_of_a_space_is_that_space() -> None:
    assert HyperSpace.model_validate(space().model_dump(mode="json")) == space()
    for one in (True, False, [False, True], [None, True]):
        noted = space(layer_norm=one).model_dump(mode="json")
        assert HyperSpace.model_validate(noted) == space(layer_norm=one) != space()


def test_a_rate_stands_for_every_optimizer() -> None:
    both = ["adam", "sgd"]
    assert space(optimizer=both) == space(optimizer=both, learning_rate={"adam": 0.1, "sgd": 0.1})


def test_numbers_without_a_dot_are_numbers() -> None:
    loaded = HyperSpace.model_validate(yaml.safe_load("{learning_rate: [1e-3, 1e-2]}"))
    assert loaded.learning_rate["adagrad"].choices == (1e-3, 1e-2)


@pytest.mark.parametrize(
    ("one", "start"),
    [
        ({"low": 0.01, "high": 1, "log": True}, 0.1),
        ({"low": 0.2, "high": 0.4}, 0.3),
        ({"low": 0.2, "high": 0.4, "default": 0.2}, 0.2),
        ({"low": 0.07, "high": 0.07, "log": True}, 0.07),
        ([0.3, 0.1], 0.3),
        ({"choices": [0.3, 0.1], "default": 0.1}, 0.1),
    ],
)
def test_what_trainings_begin_with(one: Any, start: float) -> None:
    assert space(learning_rate=one).learning_rate["adagrad"].start() == pytest.approx(start, abs=1e-12)


@pytest.mark.parametrize(
    ("one", "starts"),
    [
        ({"low": 0.0, "high": 0.6, "default": 0.1, "taught": 0.0}, (0.1, 0.0)),
        ({"low": 0.0, "high": 0.6, "taught": 0.2}, (0.3, 0.2)),
        ({"low": 0.0, "high": 0.6, "default": 0.1}, (0.1, 0.1)),
        ({"choices": [0.1, 0.0], "taught": 0.0}, (0.1, 0.0)),
        (0.1, (0.1, 0.1)),
    ],
)
def test_those_with_teachers_may_begin_elsewhere(one: Any, starts: tuple[float, float]) -> None:
    dropout = space(dropout=one).dropout
    assert (dropout.start(), dropout.start(taught=True)) == pytest.approx(starts, abs=1e-12)
    again = HyperSpace.model_validate_json(space(dropout=one).model_dump_json()).dropout
    assert again.start(taught=True) == dropout.start(taught=True)


@pytest.mark.parametrize(
    ("said", "starts"),
    [
        ({"default": 10_000, "taught": None}, (10_000, None)),
        ({"default": 10_000}, (10_000, 10_000)),
        ({"default": None, "taught": 10_000}, (None, 10_000)),
        ({"taught": 10_000}, (None, 10_000)),
        ({}, (None, None)),
    ],
)
def test_a_choice_that_is_null_may_be_what_they_begin_with(said: Any, starts: tuple[Any, Any]) -> None:
    cap = space(table_cap={"choices": [None, 10_000], **said}).table_cap
    assert (cap.start(), cap.start(taught=True)) == starts
    again = HyperSpace.model_validate_json(space(table_cap=cap).model_dump_json()).table_cap
    assert (again.start(), again.start(taught=True)) == starts


def test_whole_numbers_begin_with_one_that_may_be_drawn() -> None:
    assert space(embedding_dim={"low": 4, "high": 28, "step": 8}).embedding_dim.start() in (4, 12, 20, 28)
    assert space(embedding_dim={"low": 4, "high": 28, "step": 8, "default": 12}).embedding_dim.start() == 12
    assert isinstance(space(batch_size={"low": 64, "high": 1000, "log": True}).batch_size.start(), int)


@pytest.mark.parametrize(
    ("one", "start"),
    [
        ({"choices": [1000, None], "default": None}, None),
        ({"choices": [1000, None], "default": 1000}, 1000),
        ([1000, None], 1000),
        ([None, 1000], None),
        ({"choices": [None, 1000], "default": 1000}, 1000),
        ({"choices": [1000, 2000], "default": None}, 1000),
    ],
)
def test_null_is_a_default_where_it_is_a_choice(one: Any, start: int | None) -> None:
    first = space(table_cap=one)
    assert first.table_cap.start() == start
    for again in (
        HyperSpace.model_validate_json(first.model_dump_json()),
        HyperSpace.model_validate(first.model_dump()),
    ):
        assert again == first
        assert again.table_cap.start() == start


@pytest.mark.parametrize(("one", "single"), [(3, True), ([3, 4], False), ({"low": 3, "high": 3}, True)])
def test_a_single_value_is_known_as_one(one: Any, single: bool) -> None:
    assert space(batch_size=one).batch_size.single == single


@pytest.mark.parametrize(
    ("fields", "where", "why"),
    [
        ({"learning_rate": {"low": 0.2, "high": 0.1}}, ("learning_rate", "adagrad"), "low .0.2. must not exceed"),
        ({"learning_rate": {"low": 0.2}}, ("learning_rate", "adagrad"), "numbers low and high"),
        ({"learning_rate": 0}, ("learning_rate", "adagrad", "choices", 0), "greater than 0"),
        ({"weight_decay": {"low": 0, "high": 1, "log": True}}, ("weight_decay",), "above 0 where log"),
        ({"weight_decay": {"low": 0, "high": 1, "step": 1}}, ("weight_decay",), "whole numbers"),
        ({"dropout": {"low": 0, "high": 1}}, ("dropout", "high"), "less than 1"),
        ({"dropout": {"low": 0, "high": 0.5, "default": 0.6}}, ("dropout",), "must lie within"),
        ({"dropout": {"low": 0, "high": 0.5, "taught": 0.6}}, ("dropout",), r"taught \(0.6\) must lie within"),
        ({"dropout": {"choices": [0.1, 0.2], "taught": 0}}, ("dropout",), r"taught \(0.0\) must be one of the choices"),
        (
            {"batch_size": {"low": 256, "high": 1024, "step": 256, "default": 600}},
            ("batch_size",),
            r"default \(600\) must be a whole number of steps \(256\) above low \(256\), such as 512",
        ),
        (
            {"batch_size": {"low": 4, "high": 32, "step": 8}},
            ("batch_size",),
            r"high \(32\) must be a whole number of steps \(8\) above low \(4\), such as 28",
        ),
        ({"batch_size": [256, 0]}, ("batch_size", "choices", 1), "greater than or equal to 1"),
        ({"batch_size": []}, ("batch_size",), "expected choices"),
        ({"batch_size": [4, 4]}, ("batch_size",), "distinct"),
        ({"batch_size": {"choices": [4, 8], "default": 16}}, ("batch_size",), "one of the choices"),
        ({"batch_size": {"choices": [4], "low": 4, "high": 8}}, ("batch_size",), "both"),
        ({"embedding_dim": 1.5}, ("embedding_dim", "choices", 0), "integer"),
        ({"table_cap": 1}, ("table_cap", "choices", 0), "greater than or equal to 2"),
        ({"optimizer": "adamw"}, ("optimizer", "choices", 0), "'adagrad', 'adam' or 'sgd'"),
        ({"optimizer": {"low": "adam", "high": "sgd"}}, ("optimizer",), "expected choices"),
        ({"optimizer": ["adam", "sgd"], "learning_rate": {"adam": 0.1}}, (), "for each optimizer"),
        ({"layer_norm": "yes"}, ("layer_norm", "choices", 0), "valid boolean"),
        ({"layer_norm": {"low": False, "high": True}}, ("layer_norm",), "numbers low and high"),
        ({"momentum": 0.9}, ("momentum",), "not permitted"),
    ],
)
def test_what_is_wrong_is_named(fields: Any, where: tuple[Any, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as error:
        space(**fields)
    assert [one["loc"] for one in error.value.errors()] == [where]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with pytest.raises(SpaceError, match=r"no hyper-parameter space .*retrain-adagrad, retrain-default"):
        load_hyper_space(path)
    path.write_text("a: [")
    with pytest.raises(SpaceError, match=r"mine\.yaml: not a YAML file"):
        load_hyper_space(path)
    path.write_text("dropout: 0.1")
    with pytest.raises(SpaceError, match=r"mine\.yaml: learning_rate: this field is required"):
        load_hyper_space(path)
