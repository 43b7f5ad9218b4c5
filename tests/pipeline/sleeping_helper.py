"""A helper that does nothing, for `test_helpers.py`."""

import time

from nasrec_automl.pipeline.helpers import given_job

print(given_job().name, flush=True)
time.sleep(600)
