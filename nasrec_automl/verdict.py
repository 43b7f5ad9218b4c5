"""How far the scores of a search can be trusted, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from nasrec_automl.architecture import Architecture
from nasrec_automl.ranking import Ranking
from nasrec_automl.space import SearchSpace


class Trust(StrEnum):
    """How far a run goes by its scores when it chooses what is trained from scratch."""

    FULL = "full"
    """By them alone: they surely rank better than size does, or nothing is known."""

    HALF = "half"
    """By them in turns with predictions: that they rank better than size does may be chance."""

    NONE = "none"
    """By predictions alone: scores rank no better than size does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a run's check of its scores found.

    Attributes:
        architectures: parameters of all that were trained from scratch for it.
        log_losses: the mean of each; None where a training of it diverged.
        ranking: how well the scores rank the architectures whose trainings all ended well and whose score is finite;
            None where these are too few for an order.
    """

    architectures: Sequence[Mapping[str, Any]]
    log_losses: Sequence[float | None]
    ranking: Ranking | None

    @property
    def trust(self) -> Trust:
        """How far the scores are trusted; where nothing is known, a run goes on as without a check."""
        if self.ranking is None or self.ranking.surely_beats_size:
            return Trust.FULL
        return Trust.HALF if self.ranking.beats_size else Trust.NONE

    @property
    def left_out(self) -> int:
        """How many architectures the ranking leaves out; where there is none, how many had a training that diverged."""
        return (
            self.log_losses.count(None) if self.ranking is None else len(self.log_losses) - self.ranking.architectures
        )

    def in_space(self, space: SearchSpace) -> list[Architecture]:
        """The architectures that were trained, of the run's space."""
        return [space.from_params(params) for params in self.architectures]

    def to_plain(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "trust": self.trust,
            "ranking": None if self.ranking is None else self.ranking.to_plain(),
            "architectures": [dict(params) for params in self.architectures],
            "log_losses": list(self.log_losses),
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_plain` wrote."""
        ranking = content["ranking"]
        return cls(
            architectures=content["architectures"],
            log_losses=content["log_losses"],
            ranking=None if ranking is None else Ranking.from_plain(ranking),
        )
