"""What the stages note at their end, in one small file each: what later stages, and whoever reads a run, go by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nasrec_automl.errors import RunFolderError
from nasrec_automl.pipeline.files import read_json, write_json, write_json_once
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.verdict import Verdict


@contextmanager
def of_this_version(path: Path, advice: str = "delete it, and the next run makes it anew") -> Iterator[None]:
    """Say of a file that another version wrote, whose content the block cannot read, what to do.

    Args:
        path: of the file.
        advice: what to do.

    Raises:
        RunFolderError: in place of what the block raises.
    """
    try:
        yield
    except (ValidationError, KeyError, TypeError, AttributeError):
        raise RunFolderError(f"{path}: is of another version of nasrec-automl; {advice}") from None


class _Outcome(BaseModel):
    model_config = ConfigDict(frozen=True)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What is noted; nothing where the stage has not ended.

        Raises:
            RunFolderError: the file is not whole, or of another version.
        """
        content = read_json(path)
        if content is None:
            return None
        with of_this_version(path):
            return cls.model_validate(content)

    @classmethod
    def of_ended(cls, path: Path) -> Self:
        """What a stage has noted that has ended."""
        found = cls.read(path)
        assert found is not None
        return found

    def write(self, path: Path) -> None:
        """Note it: whole, or not at all."""
        write_json(path, self.model_dump(mode="json"))


class SearchOutcome(_Outcome):
    """What the search handed on: `RunFolder.top`.

    Attributes:
        target: how many architectures the job asked for.
        timeout: the job's.
        scored: how many had a score inside the budget.
        budget: the job's, as `RunFolder.noted_budget`.
        top: parameters of the architectures to train from scratch, the best first.
        predicted: keys of those that a predictor chose.
        earlier: parameters of the winner of the run that this one continues.
        retrain: name of the study of the candidates, which depends on all of these.
    """

    target: int
    timeout: str | None
    scored: int
    budget: dict[str, Any]
    top: list[dict[str, Any]]
    predicted: list[str]
    earlier: list[dict[str, Any]]
    retrain: str = ""


class RetrainOutcome(_Outcome):
    """What the retrain stage ended with: `RunFolder.retrain_done`.

    Attributes:
        study: name of the study of these candidates.
        target: how many trainings the job asked for, or one for each candidate.
        timeout: the job's.
        trainings: how many had ended.
    """

    study: str
    target: int
    timeout: str | None
    trainings: int


class NotedContender(BaseModel):
    """A contender as it is noted.

    Attributes:
        name: its key, or a hand design's name.
        validation: log loss and AUC on the rows that chose the winner.
        macs: multiply-adds for a row.
        parameters: how many it has.
        latency_ms: where the job's budget measures it.
        less_winner_error: standard error of its log loss less the winner's; None of the winner.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    validation: dict[str, float]
    macs: int
    parameters: int
    latency_ms: float | None = None
    less_winner_error: float | None


class FinalOutcome(_Outcome):
    """How the winner was chosen and trained, and what else test says: `RunFolder.final`, beside `RunFolder.result`.

    Attributes:
        retrain: the trainings among which the winner was chosen.
        winner: its name.
        chosen_on: the parts of the data that chose it.
        measured_rows: digest of the labels of validation and test.
        teachers: names of the candidates' teachers.
        final_teachers: names of those that have learned from validation rows too.
        contenders: the best first.
        test_readings: how many times test was read.
        calibration: bins of `nasrec_automl.report.CalibrationBin`.
    """

    retrain: RetrainOutcome
    winner: str
    chosen_on: list[str]
    measured_rows: str
    teachers: list[str]
    final_teachers: list[str]
    contenders: list[NotedContender]
    test_readings: int
    calibration: list[dict[str, Any]]


def read_result(run: RunFolder) -> dict[str, Any]:
    """What the final stage has measured, of a run whose final stage has ended.

    Raises:
        RunFolderError: another version wrote it.
    """
    found: dict[str, Any] = read_json(run.result)
    with of_this_version(run.result):
        _ = found["baselines"]  # earlier versions noted one alone, under another name
    return found


def read_verdict(run: RunFolder) -> Verdict | None:
    """What the check of the scores found; None where there was none.

    Raises:
        RunFolderError: another version wrote it.
    """
    found = read_json(run.verdict)
    if found is None:
        return None
    # Without it, a search that has ended would go on as one that had no check.
    with of_this_version(run.verdict, "run the job in another run_folder"):
        return Verdict.from_plain(found)


def note_verdict(run: RunFolder, verdict: Verdict) -> None:
    """Keep it; of workers that end the check at once the first one's stays, and all go by it."""
    write_json_once(run.verdict, verdict.to_plain())
