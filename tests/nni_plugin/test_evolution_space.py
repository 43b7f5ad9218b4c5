from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import nni
import optuna
import pytest
import torch

from nasrec_automl.errors import SpaceError, StudyError
from nasrec_automl.nni_plugin import NasRecSpace, OptunaEvolution
from nasrec_automl.nni_plugin.nas import ModelSpace, RawFormatModelSpace
from nasrec_automl.testing.examples import tiny_schema, tiny_space
from tests.nni_plugin.evolution_studies import Engine, complete, run


def test_a_study_of_something_else_is_refused(tmp_path: Path, runs: ModuleType) -> None:
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=1, identity={"data": "a"}))
    with pytest.raises(StudyError, match="has data 'a', but 'b' is expected"):
        run(runs.make_experiment(tmp_path, lambda model: None, identity={"data": "b"}))


@pytest.mark.parametrize(
    ("name", "other", "entry"),
    [
        ("tiny_space", tiny_space().model_copy(update={"max_inputs": 1}), "choices"),
        ("tiny_schema", tiny_schema().model_copy(update={"embedding_dim": 4}), "features"),
    ],
)
def test_scores_of_another_space_or_other_features_are_another_study(
    tmp_path: Path, runs: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, other: Any, entry: str
) -> None:
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=1))
    monkeypatch.setattr(runs, name, lambda: other)
    with pytest.raises(StudyError, match=f"has {entry} '"):
        run(runs.make_experiment(tmp_path, lambda model: None))


def test_scores_of_another_supernet_are_another_study(
    tmp_path: Path, runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=1))
    run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=2))
    assert len(complete(tmp_path)) == 2, "of equal weights"
    monkeypatch.setattr(runs, "NasRecSpace", lambda *of: NasRecSpace(*of, seed=7))
    with pytest.raises(StudyError, match=r"has weights '\w{16}', but '\w{16}' is expected \(.*one supernet's scores"):
        run(runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=3))
    alone = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema()), None)
    with pytest.raises(StudyError, match=r"has weights '\w{16}', but 'of each model its own, .*' is expected"):
        OptunaEvolution(storage=f"sqlite:///{tmp_path / 'studies.db'}").initialize(alone, Engine())


@pytest.mark.parametrize("options", [{"layer_norm": False}, {"dropout": 0.1}])
def test_so_are_those_of_models_that_begin_otherwise(tmp_path: Path, options: dict[str, Any]) -> None:
    def initialize(**options: Any) -> None:
        space = RawFormatModelSpace(NasRecSpace(tiny_space(), tiny_schema(), **options), None)
        OptunaEvolution(storage=f"sqlite:///{tmp_path / 'studies.db'}").initialize(space, Engine())

    initialize()
    initialize(seed=3)  # which a user of seeds may change: that is noise
    with pytest.raises(StudyError, match="its own, with LayerNorm, dropout 0', but 'of each model its own, with"):
        initialize(**options)


def test_so_are_those_of_other_weights_around_it(
    tmp_path: Path, runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def around(scale: float) -> Around:
        made = Around()
        made.register_buffer("scale", torch.tensor(scale))
        return made

    for scale in (1.0, 1.0, 2.0):
        monkeypatch.setattr(runs, "NasRecSpace", lambda *of, scale=scale: around(scale))
        experiment = runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-1.0), trials=1)
        if scale == 1.0:
            run(experiment)
    with pytest.raises(StudyError, match="has weights"):
        run(experiment)


class Around(ModelSpace):
    """A space that holds another, without choices of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.click = NasRecSpace(tiny_space(), tiny_schema())

    def extra_oneshot_hooks(self, strategy: Any) -> list[Any]:
        return self.click.extra_oneshot_hooks(strategy)

    def forward(self, dense: Any, ids: Any) -> Any:
        return 2 * self.click(dense, ids)


def test_it_searches_a_space_that_another_one_holds(
    tmp_path: Path, runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "NasRecSpace", lambda *of: Around())
    experiment = runs.make_experiment(tmp_path, lambda model: nni.report_final_result(-runs.log_loss(model)), trials=4)
    run(experiment)
    done = complete(tmp_path)
    assert len(done) == 4
    model = experiment.strategy.model_space.freeze(done[0].params).executable_model()
    assert isinstance(model, Around)
    assert runs.log_loss(model) == pytest.approx(done[0].value)


def test_models_of_a_space_that_another_one_holds_may_be_trained_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, space = Engine(), RawFormatModelSpace(Around(), None)
    monkeypatch.setattr("nasrec_automl.nni_plugin.evolution.time.sleep", lambda _: engine.end(engine.models[-1]))
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    OptunaEvolution(storage=storage, trials=4, population_size=4, tournament_size=2)(space, engine)
    assert len(complete(tmp_path)) == 4
    study = optuna.load_study(study_name="nasrec-nni", storage=storage)
    assert study.user_attrs["nasrec:weights"] == "of each model its own, with LayerNorm, dropout 0"


def test_another_model_space_is_named(tmp_path: Path) -> None:
    class Other(ModelSpace):
        pass

    strategy = OptunaEvolution(storage=f"sqlite:///{tmp_path / 'studies.db'}")
    with pytest.raises(SpaceError, match=r"searches a NasRecSpace, .* but a Other holds 0; .*RegularizedEvolution"):
        strategy.initialize(RawFormatModelSpace(Other(), None), Engine())
