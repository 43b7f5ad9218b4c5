"""Trains one architecture by a job's data and retrain sections alone, without a search; the test part stays closed.

python examples/train_final.py examples/criteo/final.yaml criteo-full
python examples/train_final.py examples/criteo/final.yaml runs/criteo-full/best/architecture.json
"""

import argparse

from nasrec_automl.config import load_job
from nasrec_automl.pipeline.named import retrain_named
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, run_job


def main() -> None:
    parser = argparse.ArgumentParser(description="Train one architecture by a job, without a search.")
    parser.add_argument("job", help="the job file")
    parser.add_argument("name", help="a published architecture, a hand design, or an architecture's JSON file")
    arguments = parser.parse_args()
    run = RunFolder(load_job(arguments.job))
    run_job(run, (STAGES["data"],))
    for line in retrain_named(run, arguments.name).lines:
        print(line)


if __name__ == "__main__":
    main()
