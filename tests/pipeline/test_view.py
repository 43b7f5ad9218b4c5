"""A run in the terminal."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from nasrec_automl.config import load_job
from nasrec_automl.pipeline.base import Stage
from nasrec_automl.pipeline.files import read_json, write_json
from nasrec_automl.pipeline.outcomes import FinalOutcome, NotedContender, RetrainOutcome
from nasrec_automl.pipeline.progress import Progress, ProgressWriter
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import STAGES, run_job
from nasrec_automl.pipeline.status import STAGE_NAMES, StageStatus
from nasrec_automl.pipeline.view import _Printer, live_view, model_lines, result_table, space_table, stage_table
from nasrec_automl.space import load_search_space


def shown(content: RenderableType, width: int = 160) -> str:
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(content)
    return console.export_text()


def test_a_line_for_each_stage(finished_run: RunFolder) -> None:
    lines = [line for line in shown(stage_table(finished_run)).splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == list(STAGE_NAMES)
    assert all("done" in line for line in lines)
    assert "20/20 architectures" in lines[2]
    assert "6/6 trainings" in lines[3]


def test_what_waits_says_for_what(copied_run: RunFolder) -> None:
    copied_run.top.unlink()
    lines = [line for line in shown(stage_table(copied_run)).splitlines() if line.strip()]
    assert "interrupted" in lines[2]
    assert all("waits for search" in line for line in lines[3:])


def test_a_run_that_is_stopped_ends_with_what_was_interrupted(
    copied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(stage: Stage, run: RunFolder, *_: Any) -> None:
        ProgressWriter(run.progress(stage.name), unit="architectures", total=20, done=3)
        raise KeyboardInterrupt

    copied_run.top.unlink()
    monkeypatch.setattr(type(STAGES["search"]), "_run", stop)
    console = Console(width=160, file=io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        run_job(copied_run, view=live_view(copied_run, console))
    assert isinstance(console.file, io.StringIO)
    assert "search: interrupted" in console.file.getvalue().splitlines()[-1]


def test_the_result_stands_beside_the_baselines_and_the_contenders(finished_run: RunFolder) -> None:
    result, final = read_json(finished_run.result), read_json(finished_run.final)
    text = shown(result_table(finished_run))
    winner = next(line for line in text.splitlines() if f"{final['winner']} *" in line)
    for part in ("validation", "test"):
        for quality in ("log_loss", "auc"):
            assert f"{result[part][quality]:.4f}" in winner
            assert all(f"{baseline[part][quality]:.4f}" in text for baseline in result["baselines"])
    assert f"{result['macs']:,}" in winner
    for contender in final["contenders"]:
        assert contender["name"] in text
    assert "gradient boosting" in text
    assert "logistic regression" in text
    teachers = ", ".join(final["teachers"])
    assert f"Candidates learned from teachers too ({teachers}), which had learned from labels alone." in text


def test_the_result_is_whole_in_80_columns(copied_run: RunFolder) -> None:
    final = read_json(copied_run.final)
    for contender in final["contenders"]:
        contender["macs"] = 12_345_678
    write_json(copied_run.final, final)
    lines = shown(result_table(copied_run), width=80).splitlines()
    assert sum("12,345,678" in line for line in lines) == len(final["contenders"])
    assert not any("…" in line for line in lines)


def test_a_model_that_is_gone_and_an_export_of_an_earlier_one_are_told(copied_run: RunFolder) -> None:
    assert model_lines(copied_run) == [f"Model:              {copied_run.best}"]
    copied_run.exported.mkdir()
    (copied_run.exported / "model.onnx").touch()
    assert len(model_lines(copied_run)) == 1
    os.utime(copied_run.exported / "model.onnx", (0, 0))
    _, line = model_lines(copied_run)
    assert line.endswith(f"of an earlier model; `nasrec-automl export {copied_run.path}` writes that of this one")
    copied_run.best.rename(copied_run.path / "elsewhere")
    (line,) = model_lines(copied_run)
    winner = read_json(copied_run.final)["winner"]
    assert line.endswith(f"best; `nasrec-automl retrain {copied_run.path} {winner}` trains it again")


def test_names_are_shown_as_they_are(tmp_path: Path, write_job: Callable[..., Path]) -> None:
    run = RunFolder(load_job(write_job(tmp_path)))
    quality = {"log_loss": 0.5, "auc": 0.7}
    both = {"validation": quality, "test": quality}
    worse = {"log_loss": 0.6, "auc": 0.6}
    baselines = [{"name": "a", **both}, {"name": "b", **both}, {"name": "c", "validation": worse, "test": worse}]
    write_json(run.result, {"dataset": "a[/b]", "baselines": baselines, **both})
    FinalOutcome(
        retrain=RetrainOutcome(study="s", target=1, timeout=None, trainings=1),
        measured_rows="",
        winner="x[red]",
        chosen_on=["search", "choice"],
        teachers=[],
        final_teachers=[],
        contenders=[
            NotedContender(name="x[red]", validation=quality, macs=1, parameters=1, less_winner_error=None),
        ],
        test_readings=1,
        calibration=[],
    ).write(run.final)
    text = shown(result_table(run))
    assert "tiny: a[/b]" in text
    assert "x[red] *" in text
    assert "teachers" not in text
    assert "measured on search and choice, which chose the winner" in text
    assert "On test the winner is no better than a and b: trainings may be too short (retrain.max_epochs)" in text
    write_json(run.result, {"dataset": "a[/b]", "baselines": [], **both})
    assert "On test" not in shown(result_table(run))


def test_without_a_terminal_it_prints_what_changes(copied_run: RunFolder) -> None:
    copied_run.report.unlink()
    console = Console(record=True, width=160, force_terminal=False, file=io.StringIO())
    with live_view(copied_run, console):
        run_job(copied_run)
    lines = console.export_text().splitlines()
    assert lines[0].startswith("data: done, 1/1 data sets")
    assert lines[-1].startswith("report: done")
    assert len(lines) == len(set(lines))


def test_without_a_terminal_long_work_without_tenths_is_heard_of(
    finished_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, Any] = {}
    progress = Progress(done=0, total=20, unit="architectures", started=0, reached=0, updated=1, seconds=1)

    def find(run: RunFolder) -> list[StageStatus]:
        return [StageStatus("search", "running", None, progress.model_copy(update={"note": said["note"]}))]

    monkeypatch.setattr("nasrec_automl.pipeline.view.time.monotonic", lambda: said["now"])
    console = Console(record=True, width=160, force_terminal=False, file=io.StringIO())
    printer = _Printer(finished_run, console, find)
    for now, note in [(0, "1 of 9"), (59, "2 of 9"), (60, "3 of 9"), (119, "4 of 9"), (120, "4 of 9"), (999, "4 of 9")]:
        said |= {"now": now, "note": note}
        printer.look()
    notes = [line.rpartition(", ")[2] for line in console.export_text().splitlines()]
    assert notes == ["1 of 9", "3 of 9", "4 of 9"]


def test_a_clock_runs_beside_the_rate(finished_run: RunFolder) -> None:
    def find(run: RunFolder) -> list[StageStatus]:
        progress = Progress(done=8, total=20, unit="architectures", started=0, reached=4, updated=4, seconds=71)
        return [StageStatus("search", state, None, progress) for state in ("running", "done")]

    running, done = shown(stage_table(finished_run, find)).splitlines()
    assert running.split()[-4:] == ["architectures", "2.0/s", "71", "s"]
    assert done.split()[-3:] == ["architectures", "71", "s"]
    console = Console(record=True, width=160, force_terminal=False, file=io.StringIO())
    _Printer(finished_run, console, find).look()
    assert console.export_text().splitlines() == [
        "search: running, 8/20 architectures, 2.0/s, 71 s",
        "search: done, 8/20 architectures, 71 s",
    ]


def test_in_a_terminal_it_shows_all_stages(copied_run: RunFolder) -> None:
    console = Console(record=True, width=160, force_terminal=True, file=io.StringIO())
    with live_view(copied_run, console):
        pass
    text = console.export_text()
    assert all(name in text for name in STAGE_NAMES)


def test_a_space_of_any_size_can_be_counted() -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(space_table(load_search_space("nasrec-full").model_copy(update={"blocks": 60})))
    assert "60 blocks" in capture.get()
    assert "e+" in capture.get().splitlines()[0]
