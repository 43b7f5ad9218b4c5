"""Results of several runs beside each other, and what their jobs do differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nasrec_automl.pipeline.files import read_json
from nasrec_automl.pipeline.outcomes import FinalOutcome
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import check_has_result
from nasrec_automl.pipeline.tables import plain_table

_OF_THE_RUN = ("name", "run_folder", "storage")
"""What differs between any two runs, and changes no result."""


def compare_runs(runs: Sequence[RunFolder]) -> RenderableType:
    """The winner of each run with its log losses, AUC and cost, and the settings in which the jobs differ.

    Settings are those that the folders note, not those of a job file that was edited since. Rows and studies may be
    gone.

    Args:
        runs: with a result each, in the order of the lines.

    Raises:
        RunFolderError: one of them has no result yet, or its job asks for more since.
    """
    for run in runs:
        check_has_result(run)
    runs = [RunFolder.open(run.path) for run in runs]
    names = _names(runs)
    table = _table("run", "winner")
    for column in ("validation\nlog loss", "test\nlog loss", "test\nAUC", "multiply\nadds", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for run, name in zip(runs, names, strict=True):
        result = read_json(run.result)
        table.add_row(
            escape(name),
            escape(FinalOutcome.of_ended(run.final).winner),
            f"{result['validation']['log_loss']:.4f}",
            *(f"{result['test'][key]:.4f}" for key in ("log_loss", "auc")),
            f"{result['macs']:,}",
            f"{sum(result['seconds'].values()):,.0f}",
        )
    parts = [table]
    if settings := _differences([run.job.model_dump(mode="json", by_alias=True) for run in runs]):
        differing = _table("setting", *map(escape, names))
        for key, values in settings.items():
            differing.add_row(escape(key), *("" if value is None else escape(str(value)) for value in values))
        parts.append(differing)
    return Group(*parts, Text(_note(runs), style="dim"))


def _note(runs: Sequence[RunFolder]) -> str:
    outcomes = [FinalOutcome.of_ended(run.final) for run in runs]
    if len({outcome.measured_rows for outcome in outcomes}) > 1:
        return "These runs are measured on other rows: their log losses do not compare."
    seeds = "Runs that differ by their seed alone say how far chance goes."
    if len({tuple(outcome.chosen_on) for outcome in outcomes}) > 1:
        return (
            "Validation does not compare: where scores failed their check it has more rows (search and choice, and not "
            f"choice alone). Who chooses by test no longer knows what to expect of new rows. {seeds}"
        )
    return (
        "To choose one of these models, compare validation: who chooses by test no longer knows what to expect of new "
        f"rows. {seeds}"
    )


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """What tells the runs apart: the jobs' names, or the folders' names, or else the folders' paths."""
    kinds = ([run.job.name for run in runs], [run.path.name for run in runs])
    return next((names for names in kinds if len({*names}) == len(runs)), [str(run.path) for run in runs])


def _differences(jobs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values of each job by the key of the setting, where they are not all the same."""
    flat = [dict(_flat(job)) for job in jobs]
    keys = dict.fromkeys(key for one in flat for key in one if key not in _OF_THE_RUN)
    values = {key: [one.get(key) for one in flat] for key in keys}
    return {key: found for key, found in values.items() if any(one != found[0] for one in found)}


def _flat(section: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _table(*columns: str) -> Table:
    table = plain_table()
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
