"""What a report says, as plain values. Strings are plain text: whoever renders them escapes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.parts import Part
from nasrec_automl.ranking import Ranking
from nasrec_automl.verdict import Verdict

if TYPE_CHECKING:
    from nasrec_automl.search import Hyper

Origin = Literal["search", "predictor", "hand design", "earlier run", "check"]
"""Where a candidate comes from: the search took it for its score (`search`) or for its prediction (`predictor`), the
run that this one continues ended with it (`earlier run`), or the check of the scores trained it (`check`). Where
several hold, the last of these counts. A hand design is always a `hand design`."""

ResultKind = Origin | Literal["baseline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One validation of the supernet while it is trained.

    Attributes:
        step: training steps done.
        log_loss: validation log loss, in nats.
        auc: validation AUC.
        train_loss: log loss of the training batches since the point before, if known.
    """

    step: int
    log_loss: float
    auc: float
    train_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredArchitecture:
    """One architecture that the weight-sharing evaluator has scored.

    Attributes:
        number: its trial's number in the search study; the order of the search.
        key: the architecture's key.
        log_loss: its score, in nats.
        standard_error: of the score; None where it is not known: of a trial that a user added, or that an evaluator
            scored which gives none.
        auc: AUC on the rows that were read; None where it is not known.
        macs: multiply-adds per example.
        parameters: parameters of the subnet, embedding tables included.
        hand: the hand design's name, for those that were enqueued.
        rows: how many rows were read, if known.
        stopped: whether these are not all: the score is then an estimate.
        latency_ms: of the subnet, where it was measured.
        architecture: the architecture itself, where its trial's parameters are a point of the space.
    """

    number: int
    key: str
    log_loss: float
    standard_error: float | None
    auc: float | None
    macs: int
    parameters: int
    hand: str | None = None
    rows: int | None = None
    stopped: bool = False
    latency_ms: float | None = None
    architecture: Architecture | None = None

    @property
    def name(self) -> str:
        """The hand design's name, or the key."""
        return self.hand or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainTrial:
    """One training from scratch of the retrain study.

    Attributes:
        number: the trial's number in the study.
        architecture: the architecture's `ScoredArchitecture.name`.
        log_loss: the trial's value in nats; None where it has none.
        state: how it ended, `complete` or `pruned`.
        hyper: its hyper-parameters, none left to the job.
        curve: (place in the schedule, in validations; log loss), ascending.
    """

    number: int
    architecture: str
    log_loss: float | None
    state: str
    hyper: Hyper
    curve: Sequence[tuple[int, float]] = ()

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.state == "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One line of the result table; every line is measured on the same split.

    Attributes:
        name: of the model.
        kind: where it comes from: as candidates' origin, or a baseline.
        wins: whether it is the winner, which one row is.
        log_loss: on validation, trained without validation rows.
        auc: on the same rows.
        test_log_loss: on test, where it was measured.
        test_auc: on test, where it was measured.
        macs: multiply-adds per example.
        parameters: all of them.
        less_winner_error: standard error of its log loss less the winner's, on the same rows.
        test_less_winner_error: the same on test, by measure (`log_loss` and `auc`).
    """

    name: str
    kind: ResultKind
    log_loss: float
    auc: float
    wins: bool = False
    test_log_loss: float | None = None
    test_auc: float | None = None
    macs: int | None = None
    parameters: int | None = None
    less_winner_error: float | None = None
    test_less_winner_error: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def is_hand_design(self) -> bool:
        """Whether people designed it."""
        return self.kind == "hand design"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Rows with similar predictions; where rows have weights, means and shares are weighted ones.

    Attributes:
        predicted: their mean prediction.
        observed: the share of them that were clicked.
        rows: how many they are.
        error: standard error of `observed`, where rows have weights; else it follows from the number of rows.
    """

    predicted: float
    observed: float
    rows: int
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedArchitecture:
    """An architecture whose score is compared with trainings from scratch.

    Attributes:
        key: the architecture's key.
        params: its parameters.
        score: log loss by the weight-sharing evaluator, in nats.
        standard_error: of the score, if known.
        losses: log loss of each training from scratch.
        parameters: parameters of the subnet, embedding tables included.
        macs: multiply-adds per example.
        trained_steps: in how many steps of the supernet its weights were trained, on average, if known.
    """

    key: str
    params: Mapping[str, Any]
    score: float
    standard_error: float | None
    losses: Sequence[float]
    parameters: int
    macs: int
    trained_steps: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RankContent:
    """What the page on a ranking shows.

    Attributes:
        title: the run's name.
        dataset: name of the dataset.
        ranking: the statistics.
        architectures: what they are of.
        score_rows: rows that scores are measured on.
        truth_rows: rows that trainings are measured on.
        left_out: further architectures, of which a training diverged or failed, or whose score is not finite.
    """

    title: str
    dataset: str
    ranking: Ranking
    architectures: Sequence[JudgedArchitecture]
    score_rows: int
    truth_rows: int
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything that a report shows. Empty sequences and None are fine: the report says what is missing.

    Attributes:
        title: headline of the page, such as the run's name.
        dataset: name of the dataset.
        winner: the architecture that was chosen.
        winner_name: how the other values name it: its key, or the hand design's name.
        facts: what was run, in order: table sizes, rows of each part, seeds, seconds by stage.
        supernet: validation while the supernet was trained.
        entropies: by part, the log loss of who knows its share of ones and nothing else, in nats.
        search: scored architectures.
        objectives: what the search minimised, `log_loss` first; costs are attributes of `ScoredArchitecture`.
        score_rows: rows that an architecture of the search is scored on, where it is not stopped early.
        verdict: what the check of the scores found, where there was one.
        prunes: whether candidates go through successive halving where the scores are not trusted.
        retrain: trainings from scratch.
        results: the result table.
        chosen_on: names of the parts that the winner was chosen on, and that validation is measured on.
        baseline_rows: how many rows each baseline was fitted to at most, where there are more.
        teachers: the architectures whose predictions were mixed into the labels of the candidates.
        final_teachers: the same for the winner's last trainings; these networks were trained on all their rows.
        test_readings: how often test was read; more than once where a finished run was continued, or one was killed
            while test was read.
        calibration: of the winner on test.
        how_to_go_on: shell commands, in order.
    """

    title: str
    dataset: str
    winner: Architecture
    winner_name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    supernet: Sequence[CurvePoint] = ()
    entropies: Mapping[Part, float] = field(default_factory=dict)
    search: Sequence[ScoredArchitecture] = ()
    objectives: Sequence[str] = ("log_loss",)
    score_rows: int | None = None
    verdict: Verdict | None = None
    prunes: bool = True
    retrain: Sequence[RetrainTrial] = ()
    results: Sequence[ResultRow] = ()
    chosen_on: Sequence[str] = ("choice",)
    baseline_rows: int | None = None
    teachers: Sequence[str] = ()
    final_teachers: Sequence[str] = ()
    test_readings: int = 1
    calibration: Sequence[CalibrationBin] = ()
    how_to_go_on: Sequence[str] = ()
