"""The trial command for a search space in NNI's JSON form: one architecture a trial, chosen by a tuner of NNI's own.

`python -m nasrec_automl.experiment.architecture_trial RUN` scores it with the weights of the run's supernet; with
`--from-scratch` it is trained instead. The reported metric, `default`, is a log loss: to be MINIMISED.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nasrec_automl.architecture import Architecture
from nasrec_automl.errors import JobError, NasRecError
from nasrec_automl.experiment.trial_process import Reporter, leave, run_trial
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.space import load_search_space

if TYPE_CHECKING:
    from nasrec_automl.evaluation import Score
    from nasrec_automl.training.metrics import Metrics

FROM_SCRATCH = "--from-scratch"

_OF_TUNERS = {"TRIAL_BUDGET", "load_checkpoint_dir", "save_checkpoint_dir"}
"""What NNI's tuners add to the labels that they chose: Hyperband and BOHB the first, PBT the two others. A trial has no
use for them: it is scored or trained in full."""


def main(arguments: Sequence[str]) -> int:
    """Run one trial.

    Args:
        arguments: path of a run folder whose supernet is trained; with `--from-scratch` beside it the architecture is
            trained instead, and prepared data are enough.

    Returns:
        The exit code: 0, or 1 with the error on stderr.
    """
    return run_trial(lambda parameters, reporter: _run(arguments, parameters, reporter))


def _run(arguments: Sequence[str], parameters: Mapping[str, Any], reporter: Reporter) -> dict[str, float]:
    paths = [argument for argument in arguments if argument != FROM_SCRATCH]
    if len(paths) != 1:
        raise JobError(
            f"trialCommand: expected a run folder and nothing but {FROM_SCRATCH} beside it, but the arguments are "
            f"{list(arguments)}"
        )
    run = RunFolder.open(paths[0])
    params = {label: value for label, value in parameters.items() if label not in _OF_TUNERS}
    architecture = load_search_space(run.job.space).from_params(params)
    if FROM_SCRATCH in arguments:
        return _train(run, architecture, reporter)
    return _score(run, architecture)


def _score(run: RunFolder, architecture: Architecture) -> dict[str, float]:
    from nasrec_automl.pipeline.evaluator import make_evaluator
    from nasrec_automl.search.scoring import unscored_reason

    score = make_evaluator(run).evaluate(architecture)
    # A trial that succeeds without a result leaves NNI's Evolution with one individual less, a failed one does not.
    if not math.isfinite(score.log_loss):
        raise NasRecError(unscored_reason(architecture, score.log_loss))
    return _values(score)


def _train(run: RunFolder, architecture: Architecture, reporter: Reporter) -> dict[str, float]:
    from nasrec_automl.pipeline.scratch import default_hyper, train_by_job
    from nasrec_automl.pipeline.teachers import taught_label

    def on_validation(step: int, metrics: Metrics) -> None:
        reporter.intermediate(_values(metrics))

    label = taught_label(run)
    hyper = default_hyper(run.job, taught=label is not None)
    trained = train_by_job(run, architecture, hyper, on_validation, label=label)
    return _values(trained.metrics)


def _values(metrics: Metrics | Score) -> dict[str, float]:
    values = {"log_loss": metrics.log_loss, "auc": metrics.auc, "standard_error": metrics.standard_error}
    return {name: value for name, value in values.items() if value is not None}


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
