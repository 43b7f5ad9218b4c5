"""Try the best architectures of one study first in another, such as that of a run on newer data.

The spaces must have the same labels and choices. What is enqueued waits in the target study: the run's workers take it
before anything that a sampler proposes.
"""

import argparse

import optuna
from optuna.trial import TrialState

from nasrec_automl.search import open_storage


def warm_start(source: optuna.Study, target: optuna.Study, count: int) -> int:
    """Enqueue the `count` best trials of `source` in `target`, but for those that it has already."""
    finished = source.get_trials(states=(TrialState.COMPLETE,))
    waiting = len(target.get_trials(states=(TrialState.WAITING,)))
    for trial in sorted(finished, key=lambda trial: trial.value)[:count]:
        origin = f"{source.study_name}, trial {trial.number}"
        target.enqueue_trial(trial.params, user_attrs={"warm_start": origin}, skip_if_exists=True)
    return len(target.get_trials(states=(TrialState.WAITING,))) - waiting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="database of the study to take from, such as sqlite:///runs/old/studies.db")
    parser.add_argument("source_study", help="its name, such as old-search")
    parser.add_argument("target", help="database of the study to enqueue in")
    parser.add_argument("target_study", help="its name")
    parser.add_argument("--count", type=int, default=16, help="how many (16)")
    asked = parser.parse_args()
    source = optuna.load_study(study_name=asked.source_study, storage=asked.source)
    # By the package: it waits longer for the locks of the run's workers than Optuna's 5 seconds for SQLite.
    target = optuna.load_study(study_name=asked.target_study, storage=open_storage(asked.target))
    print(f"enqueued {warm_start(source, target, asked.count)} architectures in {asked.target_study}")


if __name__ == "__main__":
    main()
