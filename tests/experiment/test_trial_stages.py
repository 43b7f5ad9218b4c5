import subprocess
import sys
from types import ModuleType

import pytest

from nasrec_automl.experiment.trial_stages import TRIAL_STAGES, load_stages, next_stage, trial_stage
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES


def test_trials_run_every_stage_of_the_pipeline_once_and_in_order() -> None:
    assert [stage for stages in TRIAL_STAGES.values() for stage in stages] == list(load_stages())


def test_the_count_of_a_shared_stage_reaches_no_other() -> None:
    for stages in TRIAL_STAGES.values():
        assert len(stages) == 1 or not any(STAGES[stage].parallel for stage in stages)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_leads_to_the_trial_that_runs_it(stage: str) -> None:
    assert stage in TRIAL_STAGES[trial_stage(stage)]


def test_the_next_stage_is_the_first_that_is_not_done(run: RunFolder, pipeline: ModuleType) -> None:
    for name, stage in pipeline.STAGES.items():
        found = next_stage(run, pipeline.STAGES)
        assert found is not None
        assert found.name == name
        stage.run(run)
    assert next_stage(run, pipeline.STAGES) is None


def test_the_stages_are_imported_when_asked_for() -> None:
    code = """
import sys
from nasrec_automl.experiment.trial_stages import load_stages, trial_stage
trial_stage("report")
assert not {"torch", "optuna", "nni"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
