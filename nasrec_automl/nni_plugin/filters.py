"""The `filter` of NNI's strategies as a budget, and a budget as such a filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nasrec_automl.architecture import Architecture
from nasrec_automl.budget import Budget
from nasrec_automl.errors import JobError
from nasrec_automl.nni_plugin.mutables import from_sample
from nasrec_automl.nni_plugin.nas import RangeProfilerFilter
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace

Sample = Mapping[str, Any]

MadeFilter = Budget | Callable[[Sample], bool] | None

Filter = MadeFilter | Mapping[str, Any]
"""What `filter` of a strategy may be: a budget, or what NNI's `RandomOneShot` takes. That is a function of a sample,
such as a `RangeProfilerFilter`, or a dict of its arguments (`profiler`, `min`, `max`)."""


def make_filter(given: Filter) -> MadeFilter:
    """Check the `filter` of a strategy before anything is trained; a dict becomes a `RangeProfilerFilter`.

    Raises:
        JobError: it is not a filter.
        TypeError, ValueError: a dict is not of `RangeProfilerFilter`'s arguments, as NNI says.
    """
    if isinstance(given, Mapping):
        made: Callable[[Sample], bool] = RangeProfilerFilter(**given)
        return made
    if given is None or isinstance(given, Budget) or callable(given):
        return given
    raise JobError(
        f"filter must be a Budget, a function of a sample or a dict of profiler, min and max, but it is {given!r}"
    )


def budget_filter(budget: Budget, space: SearchSpace) -> Callable[[Sample], bool]:
    """A budget in NNI's form: a function that takes a sample and says whether it is inside.

    Args:
        budget: the budget.
        space: the space of the samples.
    """

    def admits(sample: Sample) -> bool:
        return budget.admits(from_sample(space, sample))

    return admits


def budget_of(given: MadeFilter, schema: FeatureSchema, *, layer_norm: bool) -> Budget | None:
    """The `filter` of a strategy as a budget; None if there is no filter.

    Args:
        given: the filter.
        schema: the features.
        layer_norm: whether operators end in a LayerNorm; not read for a budget, which has its own.
    """
    if given is None or isinstance(given, Budget):
        return given

    def accepts(architecture: Architecture) -> bool:
        return bool(given(dict(architecture.params)))

    return Budget(schema, layer_norm=layer_norm, accepts=accepts)
