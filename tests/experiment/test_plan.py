from __future__ import annotations

from types import ModuleType

import pytest

from nasrec_automl.errors import NasRecError
from nasrec_automl.experiment.plan import Pause, Plan
from nasrec_automl.pipeline.run_folder import RunFolder


@pytest.fixture
def plan(run: RunFolder, pipeline: ModuleType) -> Plan:
    return Plan(run, pipeline.STAGES)


def do(run: RunFolder, pipeline: ModuleType, *stages: str, count: int | None = None) -> None:
    for stage in stages:
        pipeline.STAGES[stage].run(run, count=count)


def end(plan: Plan, id_: int, *, success: bool = True, late: bool = False) -> None:
    plan.end(id_, success=success, out_of_time=lambda: late, last_words=lambda: "disk is full")


def test_issues_each_stage_once_disk_says_so(plan: Plan, run: RunFolder, pipeline: ModuleType) -> None:
    assert plan.take(0) == {"stage": "supernet"}
    do(run, pipeline, "data", "supernet")
    # NNI may ask for the next trial before it says that the last one ended.
    assert plan.take(1) == {"stage": "search", "count": 5}
    end(plan, 0)
    do(run, pipeline, "search")
    assert plan.take(2) == {"stage": "retrain", "count": 3}
    do(run, pipeline, "retrain")
    assert plan.take(3) == {"stage": "final"}
    do(run, pipeline, "final")
    assert plan.take(4) is Pause.WAIT
    do(run, pipeline, "report")
    assert plan.take(5) is Pause.DONE


@pytest.mark.parametrize("stage", ["supernet", "final"])
def test_one_trial_at_a_time_where_a_stage_is_not_parallel(
    plan: Plan, run: RunFolder, pipeline: ModuleType, stage: str
) -> None:
    if stage == "final":
        do(run, pipeline, "data", "supernet", "search", "retrain")
    assert plan.take(0) == {"stage": stage}
    assert plan.take(1) is Pause.WAIT


def test_shares_a_parallel_stage_out_once(plan: Plan, run: RunFolder, pipeline: ModuleType) -> None:
    do(run, pipeline, "data", "supernet")
    do(run, pipeline, "search", count=2)
    assert [plan.take(id_) for id_ in range(3)] == [
        {"stage": "search", "count": 5},
        {"stage": "search", "count": 3},
        Pause.WAIT,
    ]
    do(run, pipeline, "search", count=3)
    end(plan, 1)
    assert plan.take(3) is Pause.WAIT


def test_gives_out_again_what_a_failed_trial_was_given(retrying: RunFolder, pipeline: ModuleType) -> None:
    plan = Plan(retrying, pipeline.STAGES)
    do(retrying, pipeline, "data", "supernet")
    plan.take(0)
    plan.take(1)
    do(retrying, pipeline, "search", count=1)
    end(plan, 0, success=False)
    assert plan.take(2) == {"stage": "search", "count": 5}


def test_a_stage_that_fails_too_often_is_an_error(retrying: RunFolder, pipeline: ModuleType) -> None:
    plan = Plan(retrying, pipeline.STAGES)
    for id_ in range(2):
        assert plan.take(id_) == {"stage": "supernet"}
        end(plan, id_, success=False)
    with pytest.raises(NasRecError, match=r"the supernet stage failed 2 times in a row; .*disk is full"):
        plan.take(2)


def test_what_ends_all_trials_at_once_is_one_failure(retrying: RunFolder, pipeline: ModuleType) -> None:
    plan = Plan(retrying, pipeline.STAGES)
    do(retrying, pipeline, "data", "supernet")
    assert all(isinstance(plan.take(id_), dict) for id_ in range(2))
    for id_ in range(2):
        end(plan, id_, success=False)
    assert all(isinstance(plan.take(id_), dict) for id_ in (2, 3)), "they are tried again once"
    for id_ in (2, 3):
        end(plan, id_, success=False)
    with pytest.raises(NasRecError, match="the search stage failed 2 times in a row"):
        plan.take(4)


def test_a_success_forgives_failures(retrying: RunFolder, pipeline: ModuleType) -> None:
    plan = Plan(retrying, pipeline.STAGES)
    do(retrying, pipeline, "data", "supernet")
    for id_ in range(0, 8, 2):
        assert isinstance(plan.take(id_), dict)
        end(plan, id_, success=False)
        assert isinstance(plan.take(id_ + 1), dict)
        do(retrying, pipeline, "search", count=1)
        end(plan, id_ + 1)


def test_a_trial_that_does_nothing_is_a_failure(plan: Plan) -> None:
    plan.take(0)
    end(plan, 0)
    with pytest.raises(NasRecError, match="the supernet stage failed; its last trial said: nothing"):
        plan.take(1)


def test_a_failure_whose_words_cannot_be_read_is_a_failure_still(plan: Plan) -> None:
    def gone() -> str:
        raise OSError("connection refused")

    plan.take(0)
    with pytest.raises(OSError, match="refused"):
        plan.end(0, success=False, out_of_time=lambda: False, last_words=gone)
    with pytest.raises(NasRecError, match="the supernet stage failed; its last trial said: nothing"):
        plan.take(1)


def test_ends_of_unknown_trials_are_ignored(plan: Plan) -> None:
    end(plan, 7, success=False)
    assert plan.take(0) == {"stage": "supernet"}


def test_a_trial_out_of_time_that_left_more_to_go_on_with_is_no_failure(
    plan: Plan, run: RunFolder, pipeline: ModuleType
) -> None:
    do(run, pipeline, "data")
    for id_ in range(3):
        assert plan.take(id_) == {"stage": "supernet"}
        (run.path / f"checkpoint-supernet-{id_}").touch()
        end(plan, id_, success=False, late=True)
    do(run, pipeline, "supernet")
    for id_ in range(3, 6):
        assert plan.take(id_) == {"stage": "search", "count": 5}
        do(run, pipeline, "search", count=1)
        end(plan, id_, success=False, late=True)


def test_trials_out_of_time_that_left_nothing_are_an_error_that_says_what_to_do(
    retrying: RunFolder, pipeline: ModuleType
) -> None:
    plan = Plan(retrying, pipeline.STAGES)
    for id_ in range(2):
        assert plan.take(id_) == {"stage": "supernet"}
        end(plan, id_, success=False, late=True)
    with pytest.raises(NasRecError, match=r"supernet stage failed 2 times.*raise experiment\.max_trial_duration"):
        plan.take(2)


def test_a_failure_is_one_whatever_was_kept(plan: Plan, run: RunFolder) -> None:
    plan.take(0)
    (run.path / "checkpoint-supernet-0").parent.mkdir(parents=True, exist_ok=True)
    (run.path / "checkpoint-supernet-0").touch()
    end(plan, 0, success=False)
    with pytest.raises(NasRecError, match="the supernet stage failed; its last trial said: disk is full"):
        plan.take(1)
