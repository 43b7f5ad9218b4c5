"""Go on with a run's search by another of Optuna's samplers, scoring with the run's supernet."""

import argparse

import optuna
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

from nasrec_automl import objective
from nasrec_automl.config import load_job
from nasrec_automl.search import open_storage

SAMPLERS = {"tpe": TPESampler, "random": RandomSampler, "nsga2": NSGAIISampler}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="the run's job file")
    parser.add_argument("--sampler", choices=SAMPLERS, default="tpe")
    parser.add_argument("--trials", type=int, default=20)
    asked = parser.parse_args()
    job = load_job(asked.job)
    # By the package: it waits longer for the locks of the run's workers than Optuna's 5 seconds for SQLite.
    study = optuna.load_study(
        study_name=f"{job.name}-search",
        storage=open_storage(job.storage_url),
        sampler=SAMPLERS[asked.sampler](seed=job.seed),
    )
    before = study.best_value
    study.optimize(objective(job.run_folder), n_trials=asked.trials)
    print(f"best log loss {before:.4f} before, {study.best_value:.4f} after {asked.trials} trials of {asked.sampler}")


if __name__ == "__main__":
    main()
