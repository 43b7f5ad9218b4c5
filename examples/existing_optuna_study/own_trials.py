"""Bring an architecture that you have measured yourself into a run's search, and let it score those you are curious of.

`add_trial` takes your value as it is: it must be the same quantity, the log loss in nats on the same rows.
`enqueue_trial` leaves the scoring to the run's workers.
"""

import argparse

import optuna

from nasrec_automl import load_architecture, load_search_space
from nasrec_automl.config import load_job
from nasrec_automl.search import distributions, open_storage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="the run's job file")
    parser.add_argument("architecture", help="JSON file of an architecture of the job's space")
    parser.add_argument("--value", type=float, help="its log loss; without one, the run's workers score it")
    parser.add_argument(
        "--wish", metavar="LABEL=CHOICE", help="one more, with this choice; the rest is drawn by its worker"
    )
    asked = parser.parse_args()
    job = load_job(asked.job)
    space = load_search_space(job.space)
    # By the package: it waits longer for the locks of the run's workers than Optuna's 5 seconds for SQLite.
    study = optuna.load_study(study_name=f"{job.name}-search", storage=open_storage(job.storage_url))
    architecture, labels = load_architecture(asked.architecture, space), distributions(space)
    if asked.value is None:
        study.enqueue_trial(architecture.params, user_attrs={"wish": asked.architecture}, skip_if_exists=True)
    else:
        study.add_trial(optuna.create_trial(params=architecture.params, distributions=labels, value=asked.value))
    if asked.wish is not None:
        label, _, text = asked.wish.partition("=")
        choices = [choice for choice in labels[label].choices if str(choice) == text] if label in labels else []
        if not choices:
            parser.error(f"--wish {asked.wish}: no choice of the space {space.name}, such as block1/dense_op=fc")
        study.enqueue_trial({label: choices[0]}, user_attrs={"wish": asked.wish})
    waiting, scored = (
        len(study.get_trials(states=(state,)))
        for state in (optuna.trial.TrialState.WAITING, optuna.trial.TrialState.COMPLETE)
    )
    print(f"{waiting} trials wait", end="")
    print(f": set search.architectures to {scored + waiting} or more, and run the job again" if waiting else "")


if __name__ == "__main__":
    main()
