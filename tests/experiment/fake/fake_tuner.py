"""The tuner over the fake pipeline."""

from collections.abc import Mapping
from typing import Any

import fake_pipeline

from nasrec_automl.experiment.tuner import StageTuner


class FakeTuner(StageTuner):
    def _stages(self) -> Mapping[str, Any]:
        return fake_pipeline.STAGES
