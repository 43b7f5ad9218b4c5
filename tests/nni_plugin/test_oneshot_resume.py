"""A one-shot training whose process was killed, and what it goes on from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nasrec_automl.nni_plugin.oneshot_resume import newest_checkpoint, place_checkpoints, resume_state

RUN = Path(__file__).with_name("oneshot_run.py")


def start(folder: Path, home: Path, *steps: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", str(RUN), str(folder), *map(str, steps)]
    # NNI lists experiments in a folder of its own under HOME.

    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "HOME": str(home)}
    )


def lines(process: subprocess.Popen[str]) -> dict[str, str]:
    output, _ = process.communicate()
    assert process.returncode == 0
    split = [line.split(" ", 1) for line in output.splitlines()]
    return {words[0]: words[1] for words in split if len(words) == 2}


def first_step(process: subprocess.Popen[str], *, until: int) -> int:
    """Read steps until one has begun; NNI logs there too."""
    assert process.stdout is not None
    first = None
    for line in process.stdout:
        if line.startswith("step "):
            step = int(line.split()[1])
            first = step if first is None else first
            if step >= until:
                return first
    raise AssertionError("the run ended early")


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_unbroken(tmp_path: Path) -> None:
    whole = lines(start(tmp_path / "whole", tmp_path / "home-whole"))
    folder, home = tmp_path / "broken", tmp_path / "home-broken"
    begun = []
    for until in (8, 16):
        process = start(folder, home, until)
        begun.append(first_step(process, until=until))
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = lines(start(folder, home))
    assert begun[0] == 0
    assert begun[1] == 8, "the second run began where the first one's checkpoint is"
    assert last["first"] == "16", "the third where the second one's is"
    assert last["weights"] == whole["weights"]
    assert last["top"] == whole["top"]
    again = lines(start(folder, home))
    assert again["first"] == "None", "it was at its end"
    assert again["weights"] == whole["weights"]
    assert again["top"] == whole["top"]


def write(path: Path, step: int) -> str:
    path.parent.mkdir(exist_ok=True)
    torch.save({"global_step": step}, path)
    return str(path)


def test_the_newest_checkpoint_has_the_most_steps_and_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept"
    state = {"checkpoint_folder": str(folder), "begun": "0.0"}
    earlier = write(tmp_path / "earlier.ckpt", 9)
    assert newest_checkpoint(state) is None
    assert newest_checkpoint({}) is None
    write(folder / "b.ckpt", 8)
    assert newest_checkpoint({**state, "ckpt_path": earlier}) == earlier
    ten = write(folder / "a.ckpt", 10)
    assert newest_checkpoint({**state, "ckpt_path": earlier}) == ten
    torn = Path(write(folder / "c.ckpt", 12))
    torn.write_bytes(torn.read_bytes()[:100])
    assert newest_checkpoint(state) == ten
    assert "c.ckpt cannot be read and is passed over" in caplog.text
    assert newest_checkpoint({"ckpt_path": str(torn)}) is None
    for gone in ("last", str(tmp_path / "gone.ckpt"), str(tmp_path)):
        assert newest_checkpoint({"ckpt_path": gone}) is None
        assert newest_checkpoint({**state, "ckpt_path": gone}) == ten


def test_another_experiments_checkpoints_in_a_shared_folder_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    before = Path(write(folder / "before.ckpt", 1000))
    state = {"checkpoint_folder": str(folder), "begun": str(before.stat().st_mtime + 1)}
    assert newest_checkpoint(state) is None
    own = write(folder / "own.ckpt", 10)
    os.utime(own, (float(state["begun"]), float(state["begun"]) + 1))
    assert newest_checkpoint(state) == own


def trainer(dirpath: str | None, log_dir: str | None = None) -> Any:
    return SimpleNamespace(
        checkpoint_callback=SimpleNamespace(dirpath=dirpath), log_dir=log_dir, default_root_dir="/root-dir"
    )


@pytest.mark.parametrize(
    ("dirpath", "log_dir", "folder"),
    [
        ("/mine", "/logs", "/mine"),
        (None, "/logs/version_3", "/logs/version_3/checkpoints"),
        (None, None, "/root-dir/checkpoints"),
    ],
)
def test_the_state_says_where_checkpoints_will_be(dirpath: str | None, log_dir: str | None, folder: str) -> None:
    made = trainer(dirpath, log_dir)
    place_checkpoints(made)
    assert made.checkpoint_callback.dirpath == folder
    state = {"checkpoint_folder": folder, "begun": "12.5"}
    assert resume_state(made, {}, 12.5) == state
    assert resume_state(made, {"ckpt_path": "/x"}, 12.5) == {**state, "ckpt_path": "/x"}


def test_a_trainer_without_checkpoints_has_no_state() -> None:
    bare = SimpleNamespace(checkpoint_callback=None)
    place_checkpoints(bare)
    assert resume_state(bare, {}, 12.5) == {}
