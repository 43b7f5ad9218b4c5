"""A budget: what an architecture may cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from nasrec_automl.architecture import Architecture
from nasrec_automl.cost import profile
from nasrec_automl.errors import BudgetError
from nasrec_automl.schema import FeatureSchema

MACS, PARAMETERS, LATENCY = "macs", "parameters", "latency_ms"

_WORDS = {MACS: "{:,} multiply-adds", PARAMETERS: "{:,} parameters", LATENCY: "{:.4g} ms"}


class Budget:
    """Limits of an architecture's cost. Without a limit it admits everything.

    Multiply-adds and parameters are counted and cheap; latency, which is not, is measured last and once a key.

    Args:
        schema: the features.
        macs: most multiply-adds per example.
        parameters: most parameters, embedding tables included. The tables are the same for all architectures.
        latency_ms: most milliseconds that `latency` may return.
        layer_norm: whether operators end in a LayerNorm.
        latency: milliseconds of one forward pass of an architecture's subnet. Where it is given, latency is a cost,
            with a limit or without.
        accepts: any other condition; asked last.

    Raises:
        BudgetError: a limit is not positive, or latency has a limit and nothing measures it.

    Example:
        >>> from nasrec_automl import FeatureSchema, load_architecture
        >>> budget = Budget(FeatureSchema.from_sizes(dense=13, table_sizes=[1000] * 26), macs=1_000_000)
        >>> budget.admits(load_architecture("criteo-full")), budget.excess(load_architecture("criteo-full"))
        (False, {'macs': 464681})
        >>> print(budget)
        at most 1,000,000 multiply-adds
    """

    def __init__(
        self,
        schema: FeatureSchema,
        *,
        macs: int | None = None,
        parameters: int | None = None,
        latency_ms: float | None = None,
        layer_norm: bool = True,
        latency: Callable[[Architecture], float] | None = None,
        accepts: Callable[[Architecture], bool] | None = None,
    ) -> None:
        limits = {MACS: macs, PARAMETERS: parameters, LATENCY: latency_ms}
        self.limits: Mapping[str, float] = {name: limit for name, limit in limits.items() if limit is not None}
        for name, limit in self.limits.items():
            if not limit > 0:
                raise BudgetError(f"{name} must be above 0, but it is {limit}")
        if latency_ms is not None and latency is None:
            raise BudgetError(f"a budget of {latency_ms} ms needs something that measures: pass `latency`")
        self.schema = schema
        self._layer_norm = layer_norm
        self._measure = latency
        self._accepts = accepts
        self._latencies: dict[str, float] = {}

    def __str__(self) -> str:
        """The limits in words."""
        return limits_in_words(self.limits)

    @property
    def has_condition(self) -> bool:
        """Whether there is a condition beside the limits."""
        return self._accepts is not None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the costs that it knows."""
        return (MACS, PARAMETERS) if self._measure is None else (MACS, PARAMETERS, LATENCY)

    @property
    def is_slow(self) -> bool:
        """Whether to admit an architecture takes more than counting."""
        return LATENCY in self.limits or self.has_condition

    def counted(self, architecture: Architecture) -> dict[str, int]:
        """Multiply-adds and parameters of an architecture, limited or not."""
        cost = profile(architecture, self.schema, layer_norm=self._layer_norm)
        return {MACS: cost.macs, PARAMETERS: cost.parameters}

    def costs(self, architecture: Architecture) -> dict[str, float]:
        """What is known of an architecture: multiply-adds, parameters, and the latency where something measures it."""
        costs: dict[str, float] = {**self.counted(architecture)}
        if self._measure is not None:
            costs[LATENCY] = self._latency(architecture)
        return costs

    def excess(self, architecture: Architecture) -> dict[str, float]:
        """By how much an architecture exceeds which limits; empty where it exceeds none.

        Latency is left out where a counted cost is over already: nothing is measured for it.
        """
        over = {
            name: cost - self.limits[name] for name, cost in self._limited(architecture) if cost > self.limits[name]
        }
        if not over and LATENCY in self.limits:
            late = self._latency(architecture) - self.limits[LATENCY]
            over.update({LATENCY: late} if late > 0 else {})
        return over

    def admits(self, architecture: Architecture) -> bool:
        """Whether an architecture is inside the budget."""
        return not self.excess(architecture) and (self._accepts is None or self._accepts(architecture))

    def fullness(self, architecture: Architecture, *, macs: float = math.inf) -> float:
        """The largest share that a counted cost has of its limit; above 1 where one is over.

        Args:
            architecture: any.
            macs: one more limit, on multiply-adds.
        """
        counted = self.counted(architecture)
        shares = [cost / self.limits[name] for name, cost in counted.items() if name in self.limits]
        return max([*shares, counted[MACS] / macs])

    def _limited(self, architecture: Architecture) -> list[tuple[str, int]]:
        """Counted costs that have a limit."""
        if not self.limits.keys() & {MACS, PARAMETERS}:
            return []
        return [(name, cost) for name, cost in self.counted(architecture).items() if name in self.limits]

    def _latency(self, architecture: Architecture) -> float:
        assert self._measure is not None  # the constructor sees to it
        key = architecture.key
        if key not in self._latencies:
            self._latencies[key] = self._measure(architecture)
        return self._latencies[key]


def limits_in_words(limits: Mapping[str, float]) -> str:
    """Limits with their units.

    Example:
        >>> limits_in_words({"macs": 1_000_000, "latency_ms": 5})
        'at most 1,000,000 multiply-adds, 5 ms'
    """
    return "at most " + ", ".join(in_words(name, limit) for name, limit in limits.items()) if limits else "no limit"


def in_words(name: str, cost: float) -> str:
    """A cost with its unit: `macs`, `parameters` or `latency_ms`.

    Example:
        >>> in_words("macs", 1464681), in_words("latency_ms", 3.14159)
        ('1,464,681 multiply-adds', '3.142 ms')
    """
    return _WORDS[name].format(cost)
