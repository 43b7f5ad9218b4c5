"""Names of what this package writes into studies and trials. All share one prefix, Optuna's own style.

Readers without this package installed (pandas, the dashboard) see them as plain user attributes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PREFIX = "nasrec:"

SCHEMA_VERSION = "nasrec:schema_version"
"""Of the study: version of everything else written here."""

OBJECTIVES = "objectives"
"""Of the study's identity: what it minimises, where that is more than one value."""

LOG_LOSS = "log_loss"
"""The first objective. The others are costs, under the names of `nasrec_automl.budget`."""

DASHBOARD = "nasrec:dashboard"
"""Of the study: ids of the artifacts that were written for Optuna's dashboard."""

WEIGHTS_HASH = "nasrec:weights"
"""Of the study of a search: hash of the supernet's weights that its scores were computed with. A supernet that is
trained again, on another machine or with another version, has other weights."""

STEP = "step"
"""Of a training, the name under the prefix: the step whose weights it kept."""

KEY = "nasrec:key"
"""Of a trial: what it tries, as a short text. In the search the architecture's key; in the retrain study a hash of
candidate and hyper-parameters; in the tune study a hash of the settings; in the other studies of trainings the
architecture's key, a hyphen and the number of the seed. Workers finish no key of a study twice."""

STOPPED = "nasrec:stopped"
"""Of a finished trial of the search: whether its value is an estimate from a part of the rows."""

PRUNED = "pruned"
"""Of a pruned trial of the search, the name under the prefix: whether its evaluation wanted that."""

WORKER = "nasrec:worker"
"""Of a trial: who runs it, `host@digest:pid:process start:unique id`; one id a trial."""

ALIVE = "nasrec:alive"
"""Of a trial: when its worker last gave a sign of life, in seconds since 1970 (Optuna's times are local ones).

Of a trial that is complete or pruned: when it ended."""

ATTEMPT = "nasrec:attempt"
"""Of a trial that is tried again: how many of its key had failed before."""

TAKER = "nasrec:taker"
"""Of a trial that a user has enqueued: the worker that was about to take it, which may have died before it signed."""

WISH = "nasrec:wish"
"""Of a trial that was enqueued again: the number that it had when its user enqueued it, and how often the parameters
that the user left open have been drawn anew."""

FAILURE = "nasrec:failure"
"""Of a failed trial: the kind of failure, one of the four below."""

REASON = "nasrec:reason"
"""Of a failed or pruned trial: a sentence."""

STALE, INTERRUPTED, ERROR, ABANDONED = "stale", "interrupted", "error", "abandoned"
"""Kinds of failure: its process died; it was stopped (Ctrl-C); it raised; another worker was first."""


def written(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes that this package wrote to a trial, by their names without the prefix."""
    return {name.removeprefix(PREFIX): one for name, one in trial.user_attrs.items() if name.startswith(PREFIX)}


def is_ours(trial: FrozenTrial) -> bool:
    """Whether this package has written to a trial: users add trials of their own."""
    return bool(written(trial))
