"""A run in the terminal: a line a stage, with a bar, a rate and a clock, and the result as a table."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nasrec_automl.budget import limits_in_words
from nasrec_automl.pipeline.outcomes import FinalOutcome, read_result
from nasrec_automl.pipeline.progress import Tell
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.status import StageStatus, run_status
from nasrec_automl.pipeline.tables import plain_table
from nasrec_automl.space import SearchSpace

_REFRESH = 0.5
NEWS = 60.0
"""Seconds after which a new note is worth a line: the longest work, such as the check of scores, has no tenths."""

Find = Callable[[RunFolder], list[StageStatus]]
_STYLES = {"done": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "waiting": "dim"}


def stage_table(run: RunFolder, find: Find = run_status) -> RenderableType:
    """Every stage with its state, bar, rate, time and latest figures, and the budget, where there is one."""
    table = Table.grid(padding=(0, 2))
    for status in find(run):
        progress = status.progress
        done, total = (progress.done, progress.total) if progress else (0, 1)
        table.add_row(
            Text(status.name, style="bold" if status.state == "running" else ""),
            Text(status.state, style=_STYLES[status.state]),
            ProgressBar(total=total, completed=total if status.state == "done" else done, width=24),
            Text(f"{done:,}/{total:,} {progress.unit}" if progress else ""),
            Text(_rate(status)),
            Text(_seconds(status)),
            Text(_note(status), style="dim"),
        )
    limits = run.job.budget.limits
    return Group(table, Text(f"budget: {limits_in_words(limits)}", style="dim")) if limits else table


def _rate(status: StageStatus) -> str:
    rate = None if status.progress is None or status.state == "done" else status.progress.rate
    if rate is None:
        return ""
    return f"{rate:,.1f}/s" if rate >= 1 else f"{1 / rate:,.1f} s each"


def _seconds(status: StageStatus) -> str:
    return "" if status.progress is None else f"{status.progress.seconds:,.0f} s"


def _note(status: StageStatus) -> str:
    if status.waits_for is not None:
        return f"waits for {status.waits_for}"
    if status.error is not None:
        return status.error
    return status.progress.note if status.progress else ""


@contextmanager
def live_view(run: RunFolder, console: Console, find: Find = run_status) -> Iterator[None]:
    """Show the stages while the block runs; where there is no terminal, a line whenever one has changed.

    Args:
        run: the run.
        console: where to show them.
        find: says which stages there are, and what they do.
    """
    if not console.is_terminal:
        with _printed(run, console, find):
            yield
        return
    with Live(get_renderable=lambda: stage_table(run, find), console=console, refresh_per_second=1 / _REFRESH):
        yield


@contextmanager
def _printed(run: RunFolder, console: Console, find: Find) -> Iterator[None]:
    stop = threading.Event()
    printer = _Printer(run, console, find)

    def watch() -> None:
        while not stop.wait(_REFRESH):
            printer.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        printer.look()


@contextmanager
def told(console: Console, begun: str) -> Iterator[Tell]:
    """Show what work says of itself while the block runs; where there is no terminal, a line a minute.

    Args:
        console: where to show it.
        begun: what it does at first.
    """
    printed = time.monotonic()
    with console.status(f"{escape(begun)} ...") as status:

        def tell(words: str) -> None:
            nonlocal printed
            status.update(f"{escape(words)} ...")
            if not console.is_terminal and time.monotonic() - printed >= NEWS:
                printed = time.monotonic()
                console.print(words, soft_wrap=True, highlight=False, markup=False, emoji=False)

        yield tell


class _Printer:
    """Prints what changed: a stage's state, another tenth of it, or its note, where that has stood a minute."""

    def __init__(self, run: RunFolder, console: Console, find: Find) -> None:
        self.run = run
        self.console = console
        self._find = find
        self._seen: set[tuple[str, str, int]] = set()
        self._told: dict[str, tuple[float, str]] = {}  # when each stage was printed last, and its note then

    def look(self) -> None:
        for status in self._find(self.run):
            progress = status.progress
            if status.state == "waiting" or progress is None:
                continue
            tenth = 10 if status.state == "done" else 10 * progress.done // max(1, progress.total)
            line = (status.name, status.state, tenth)
            at, note = self._told.get(status.name, (0.0, ""))
            if line not in self._seen or (progress.note != note and time.monotonic() - at >= NEWS):
                self._seen.add(line)
                self._told[status.name] = time.monotonic(), progress.note
                figures = (f"{progress.done:,}/{progress.total:,} {progress.unit}", _rate(status), _seconds(status))
                self.console.print(
                    f"{status.name}: {', '.join(filter(None, (status.state, *figures, progress.note)))}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )


def result_table(run: RunFolder) -> RenderableType:
    """The result beside the baselines and the other contenders."""
    result, final = read_result(run), FinalOutcome.of_ended(run.final)
    table = plain_table(escape(f"{run.job.name}: {result['dataset']}"))
    table.add_column("model", no_wrap=True)
    for column in ("validation\nlog loss", "validation\nAUC", "test\nlog loss", "test\nAUC", "multiply\nadds"):
        table.add_column(column, justify="right", no_wrap=True)
    for contender in final.contenders:
        wins = contender.name == final.winner
        test = [f"{result['test'][key]:.4f}" for key in ("log_loss", "auc")] if wins else ["", ""]
        table.add_row(
            escape(f"{contender.name} *" if wins else contender.name),
            *(f"{contender.validation[key]:.4f}" for key in ("log_loss", "auc")),
            *test,
            f"{contender.macs:,}",
            style="bold" if wins else "",
        )
    baselines = result["baselines"]
    for baseline in baselines:
        table.add_row(
            baseline["name"],
            *(f"{baseline[part][key]:.4f}" for part in ("validation", "test") for key in ("log_loss", "auc")),
            "",
        )
    chosen_on = " and ".join(final.chosen_on)
    notes = [
        f"* the winner. Validation: trained without validation rows, measured on {chosen_on}, which chose the winner. "
        "Test: trained on validation too, the winner and gradient boosting without the hpo part."
    ]
    better = [each["name"] for each in baselines if each["test"]["log_loss"] <= result["test"]["log_loss"]]
    if better:
        notes.append(
            f"On test the winner is no better than {' and '.join(better)}: trainings may be too short "
            "(retrain.max_epochs) or too few (retrain.trials), or the rows too few for a network."
        )
    if final.teachers:
        teachers = ", ".join(final.teachers)
        notes.append(f"Candidates learned from teachers too ({teachers}), which had learned from labels alone.")
    return Group(table, Text("\n".join(notes), style="dim"))


def model_lines(run: RunFolder) -> list[str]:
    """Where the model of a finished run is, and whether what was exported is of an earlier one."""
    from nasrec_automl.data.preprocessing import PREPROCESSING_FILE

    folder = shlex.quote(str(run.path))
    if not (run.best / PREPROCESSING_FILE).is_file():
        winner = FinalOutcome.of_ended(run.final).winner
        return [f"Model:              gone from {run.best}; `nasrec-automl retrain {folder} {winner}` trains it again"]
    lines, written = [f"Model:              {run.best}"], run.final.stat().st_mtime
    if any(path.stat().st_mtime < written for path in run.exported.glob("*")):
        lines.append(
            f"Export:             of an earlier model; `nasrec-automl export {folder}` writes that of this one"
        )
    return lines


def tune_table(run: RunFolder) -> RenderableType:
    """What the tune stage found: settings of the supernet with their rank correlation, the best first."""
    from nasrec_automl.pipeline.tune import tuned
    from nasrec_automl.ranking import tau_error
    from nasrec_automl.search.attributes import LOG_LOSS, written
    from nasrec_automl.search.tune import settings_of

    trials, supernet = tuned(run), run.job.supernet
    epochs = run.job.tune.epochs
    title = f"{run.job.name}: supernets" if epochs is None else f"{run.job.name}: supernets of {epochs} epoch(s)"
    table = Table(title=title, title_justify="left")
    for column in ("trial", "learning\nrate", "path\nwarm-up", "Kendall's\ntau", "best\nscore"):
        table.add_column(column, justify="right", no_wrap=True)
    for trial in trials:
        settings = settings_of(trial.params, run.job.tune)
        own = all(settings[name] == getattr(supernet, name) for name in settings)
        best_score = written(trial).get(LOG_LOSS)  # a trial that somebody added has none
        table.add_row(
            f"{trial.number} *" if own else str(trial.number),
            f"{settings['learning_rate']:.4g}",
            f"{settings['path_warm_up']:.3f}",
            f"{trial.values[0]:.3f}" if trial.values else "diverged",
            "" if best_score is None else f"{best_score:.4f}",
        )
    notes = ["* the job's own settings."]
    if judged := max((written(trial).get("architectures", 0) for trial in trials), default=0):
        notes[0] += (
            f" Tau compares scores with trainings from scratch of {judged} architectures; for unrelated orders it "
            f"strays by {tau_error(judged):.2f}."
        )
    if trials and trials[0].values:
        best = ", ".join(f"{name}: {value:.4g}" for name, value in settings_of(trials[0].params, run.job.tune).items())
        notes.append(f"The best, for the job in a new run_folder: supernet: {{{best}}}")
    return Group(table, Text("\n".join(notes), style="dim"))


def rank_table(run: RunFolder) -> RenderableType:
    """What the rank stage found: statistics of the scores' order, and what they are to be compared with."""
    from nasrec_automl.pipeline.rank import rank_content
    from nasrec_automl.report.rank_page import ranking_lines, ranking_sentence

    content = rank_content(run)
    table = Table(title=escape(f"{content.title}: {content.dataset}"), title_justify="left")
    for column in ("statistic", "value", "95 % interval", "meaning"):
        table.add_column(column, justify="right" if column == "value" else "left", no_wrap=column != "meaning")
    for line in ranking_lines(content.ranking):
        table.add_row(*line)
    return Group(table, Text(ranking_sentence(content.ranking, content.left_out), style="dim"))


def space_table(space: SearchSpace) -> RenderableType:
    """What a search space chooses, label by label."""
    table = Table()
    for column in ("label", "choices", "values"):
        table.add_column(column, justify="right" if column == "choices" else "left")
    for label, choices in space.labels.items():
        shown = ", ".join(str(choice) for choice in choices[:8]) + (", ..." if len(choices) > 8 else "")
        table.add_row(label, str(len(choices)), shown)
    size = Decimal(space.cardinality)  # more than a float holds, of many blocks
    head = f"{space.name}: {space.blocks} blocks, {len(space.labels)} labels, {size:.2e} architectures"
    return Group(Text(head), table)
