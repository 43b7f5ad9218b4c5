"""The trial command over the fake pipeline."""

import sys

import fake_pipeline

from nasrec_automl.experiment.trial import main

sys.exit(main(sys.argv[1:], stages=fake_pipeline.STAGES))
