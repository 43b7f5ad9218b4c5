"""What each stage with a study is held to."""

from collections.abc import Callable, Mapping

import pytest

from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.settings import final_settings, retrain_settings, search_settings, training_settings
from tests.pipeline.changed import changed

Settings = Callable[[RunFolder], Mapping[str, object]]


@pytest.mark.parametrize(
    ("settings", "section", "free", "held"),
    [
        (search_settings, "search", ["architectures", "timeout"], {"population": 6, "max_rows": 50}),
        (retrain_settings, "retrain", ["trials", "timeout", "final_seeds"], {"top_k": 9, "patience": 9, "teachers": 0}),
        (training_settings, "retrain", ["trials", "top_k", "pruner", "teachers"], {"patience": 9, "max_epochs": 9}),
        (final_settings, "retrain", ["top_k", "patience"], {"final_seeds": 9}),
    ],
)
def test_what_may_change_and_what_may_not(
    finished_run: RunFolder, settings: Settings, section: str, free: list[str], held: dict[str, object]
) -> None:
    own = settings(finished_run)
    assert not {f"{section}.{name}" for name in free} & own.keys()
    for name, value in held.items():
        assert settings(changed(finished_run, section, **{name: value})) != own, name


def test_what_latency_depends_on_holds_a_search_that_minimises_it_alone(finished_run: RunFolder) -> None:
    timed = changed(finished_run, "search", objectives=("log_loss", "latency_ms"))
    assert search_settings(timed)["budget.batch_size"] == timed.job.budget.batch_size
    assert "budget.batch_size" not in search_settings(finished_run)
