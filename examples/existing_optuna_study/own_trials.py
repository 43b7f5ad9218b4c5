"""Bring an architecture that you have measured yourself into a run's search, and let it score those you are curious of.

`add_trial` takes your value as it is: it must be the same quantity, the log loss in nats on the same rows.
`enqueue_trial` leaves the scoring to the run's workers.
"""

import argparse

import optuna

from nasrec_automl import load_architecture, load_search_space
from nasrec_automl.config import load_job
from nasrec_automl.search import distributions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="the run's job file")
    parser.add_argument("architecture", help="JSON file of an architecture of the job's space")
    parser.add_argument("--value", type=float, help="its log loss; without one, the run's workers score it")
    asked = parser.parse_args()
    job = load_job(asked.job)
    space = load_search_space(job.space)
    study = optuna.load_study(study_name=f"{job.name}-search", storage=job.storage_url)
    architecture = load_architecture(asked.architecture, space)
    if asked.value is None:
        study.enqueue_trial(architecture.params, user_attrs={"wish": asked.architecture}, skip_if_exists=True)
    else:
        labels = distributions(space)
        study.add_trial(optuna.create_trial(params=architecture.params, distributions=labels, value=asked.value))
    # Parameters that are left open are drawn by the worker.
    study.enqueue_trial({"block1/dense_op": "dot_product"}, user_attrs={"wish": "a dot product first"})
    waiting = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    print(f"{len(waiting)} trials wait; raise search.architectures by as many and run the job again")


if __name__ == "__main__":
    main()
