"""The command line: every command answers, and a wrong argument is named with exit code 2."""

import errno
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nasrec_automl.cli import INTERRUPTED
from nasrec_automl.pipeline.status import STAGE_NAMES
from tests.command_line import call, refused

COMMANDS = [
    *(
        ["prepare"],
        ["run"],
        ["worker"],
        ["experiment"],
        ["demo"],
        ["rank"],
        ["tune-supernet"],
        ["status"],
        ["report"],
        ["compare"],
        ["retrain"],
        ["predict"],
        ["evaluate"],
        ["export"],
        ["schema"],
        ["data"],
        ["space"],
        ["space", "show"],
        ["schema", "infer"],
        ["data", "report"],
        ["data", "verify"],
    ),
]


@pytest.mark.parametrize("module", ["nasrec_automl", "nasrec_automl.cli"])
def test_a_module_that_is_run_is_the_command(module: str) -> None:
    command = [sys.executable, "-m", module, "run", "nowhere.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nowhere.yaml: no such job file" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["space", "show", "nasrec-full", "--nni"],  # more than a buffer
        ["space", "show", "nasrec-full"],  # rich
        ["schema", "infer", "clicks.csv"],  # less than a buffer: written as the program ends
    ],
)
def test_who_has_read_enough_sees_no_traceback(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clicks.csv").write_text("clicked,shop\n" + "0,a\n1,b\n" * 20)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with subprocess.Popen(
        [sys.executable, "-m", "nasrec_automl", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


FULL = """
import sys
import nasrec_automl.space
from nasrec_automl.cli import main

def full(name):
    try:
        with open("/dev/full", "w") as file:
            file.write(name)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "/dev/full") from None

nasrec_automl.space.load_search_space = full
main(sys.argv[1:])
"""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str]) -> None:
    done = call(*command, "--help")
    assert done.code == 0
    assert f"example: nasrec-automl {' '.join(command)} " in " ".join(done.out.split())


def test_help_and_version_of_all() -> None:
    done = call("--help")
    listed = re.findall(r"^    ([a-z-]+)(?: {2,}|$)", done.out, re.MULTILINE)
    assert sorted(listed) == sorted({command[0] for command in COMMANDS})
    assert "example: nasrec-automl run" in done.out
    assert call("--version").out.startswith("nasrec-automl ")


def test_it_runs_as_a_module_too() -> None:
    command = [sys.executable, "-m", "nasrec_automl", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("nasrec-automl ")


def test_a_run_may_end_after_any_stage() -> None:
    assert "{" + ",".join(STAGE_NAMES) + "}" in call("run", "--help").out.replace("\n", "").replace(" ", "")


def test_without_a_command_or_with_a_wrong_one() -> None:
    assert call().code == 2
    assert call("nothing").code == 2
    assert call("predict", "--model", "x").code == 2


def test_a_full_disk_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, "space", "show", "nasrec-small"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (
        done.stderr.strip()
        == "nasrec-automl: /dev/full: no space left; free some and start again: what has finished is kept"
    )


@pytest.mark.parametrize(
    ("files", "naming"),
    [
        (("/a/b.txt",), "nasrec-automl: /a/b.txt: permission denied; look at the path"),
        (("/a/.b.txt.part", None, "/a/b.txt"), "nasrec-automl: /a/b.txt: permission denied; look at the path"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    files: tuple[str | None, ...], naming: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise OSError(errno.EACCES, "Permission denied", *files)

    monkeypatch.setattr("nasrec_automl.space.load_search_space", fail)
    refused("space", "show", "nasrec-small", naming=naming)


def test_an_error_of_no_file_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError("something else")

    monkeypatch.setattr("nasrec_automl.space.load_search_space", fail)
    with pytest.raises(OSError, match="something else"):
        call("space", "show", "nasrec-small")


@pytest.mark.parametrize("rows", ["1", "many"])
def test_a_largest_table_has_two_rows(rows: str) -> None:
    done = call("prepare", "criteo", "--hash-above", rows, "--output", "prepared")
    assert done.code == 2
    assert f"argument --hash-above: expected a whole number from 2 on, but it is '{rows}'" in done.error


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_worker_counts_from_one(count: str) -> None:
    done = call("worker", "run", "--count", count)
    assert done.code == 2
    assert "expected a whole number from 1 on" in done.error


def test_what_a_worker_does_not_count_is_said() -> None:
    assert "to finish at most, without those of the check and of teachers" in " ".join(
        call("worker", "--help").out.split()
    )


@pytest.mark.parametrize("port", ["0", "65536", "99999", "http"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    done = call("demo", "experiment.yml", "--port", port)
    assert done.code == 2
    assert f"argument --port: expected a whole number from 1 to 65535, but it is '{port}'" in done.error


@pytest.mark.parametrize("share", ["2", "-0.1", "nan", "few"])
def test_a_share_that_is_none_is_named(share: str) -> None:
    done = call("prepare", "criteo", f"--max-rejected={share}", "--output", "prepared")
    assert done.code == 2
    assert "expected a share from 0 to 1" in done.error


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_command_that_is_told_to_stop_in_a_training_says_so(
    tmp_path: Path, write_job: Callable[..., Path], number: signal.Signals
) -> None:
    job = write_job(tmp_path, supernet={"epochs": 1000, "patience": 0})
    progress = tmp_path / "run" / "progress" / "supernet.json"
    command = [sys.executable, "-m", "nasrec_automl", "run", job]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (progress.is_file() and json.loads(progress.read_text())["done"] > 3):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(number)
        _, error = process.communicate()
    assert (process.returncode, INTERRUPTED) == (130, 130)
    assert "Stopped; the same command goes on from here." in error
    assert not (tmp_path / "run" / "supernet" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("command", "function"),
    [("run", "nasrec_automl.pipeline.stages.run_job"), ("rank", "nasrec_automl.pipeline.rank.rank_scores")],
)
@pytest.mark.parametrize(("said", "workers"), [([], 1), (["--workers", "3"], 3)])
def test_workers_are_those_that_were_asked_for(
    tmp_path: Path,
    write_job: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    function: str,
    said: list[str],
    workers: int,
) -> None:
    asked: list[int] = []

    def stopped(*_: object, workers: int, view: object) -> None:
        asked.append(workers)
        raise KeyboardInterrupt

    monkeypatch.setattr(function, stopped)
    assert call(command, write_job(tmp_path), *said).code == INTERRUPTED
    assert asked == [workers]


def test_a_command_that_keeps_nothing_says_so_where_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nasrec_automl.space.load_search_space", stopped)
    done = call("space", "show", "nasrec-full")
    assert (done.code, "Stopped; the same command starts anew." in done.error) == (INTERRUPTED, True)
