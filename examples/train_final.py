"""Trains one architecture by a job's data and retrain sections alone, without a search; the test part stays closed.

python examples/train_final.py examples/criteo/final.yaml criteo-full
python examples/train_final.py examples/criteo/final.yaml runs/criteo-full/best/architecture.json
"""

import argparse

from nasrec_automl.config import load_job
from nasrec_automl.errors import NasRecError
from nasrec_automl.pipeline.named import find_architecture, retrain_named
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, run_job


def main() -> None:
    parser = argparse.ArgumentParser(description="Train one architecture by a job, without a search.")
    parser.add_argument("job", help="the job file")
    parser.add_argument("name", help="a published architecture, a hand design, or an architecture's JSON file")
    arguments = parser.parse_args()
    try:
        run = RunFolder(load_job(arguments.job))
        find_architecture(run, arguments.name)  # before the data are prepared, which may take hours
        run_job(run, (STAGES["data"],))
        model = retrain_named(run, arguments.name)
    except NasRecError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for line in model.lines:
        print(line)


if __name__ == "__main__":
    main()
