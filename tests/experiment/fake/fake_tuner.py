"""The tuner over the fake pipeline."""

import fake_pipeline

from nasrec_automl.experiment.trial_stages import Pipeline
from nasrec_automl.experiment.tuner import StageTuner


class FakeTuner(StageTuner):
    def _pipeline(self) -> Pipeline:
        return fake_pipeline
