"""New processes that need not import torch, NNI and Lightning again: forks of one that has.

For code of which only the running is of interest. Where its start is, or what it imports, a new Python is right.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["nasrec_automl.nni_plugin", "nasrec_automl.pipeline.stages", "nasrec_automl.cli"])


def run_warm(
    code: str | Path,
    *arguments: object,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run Python's code, or a script, in a process of its own, and wait for its end.

    Args:
        code: its text, or the path of a script.
        *arguments: what follows in `sys.argv`.
        cwd: where it runs; here by default.
        environment: changes to this process's variables. They are set when torch, NNI and Lightning are imported.
        timeout: in seconds.

    Returns:
        What `subprocess.run` returns: exit status and outputs. A signal's number is the status, negative.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="warm") as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        process = start_warm(code, *arguments, outputs=outputs, cwd=cwd, environment=environment)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(str(code), timeout)
        stdout, stderr = (path.read_text() for path in outputs)
        return subprocess.CompletedProcess(str(code), process.exitcode, stdout, stderr)


def start_warm(
    code: str | Path,
    *arguments: object,
    outputs: Sequence[Path],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """The same without waiting: the process, which has a `pid`. Its outputs are these files."""
    variables = {**os.environ, **(environment or {})}
    argv = [str(code) if isinstance(code, Path) else "-c", *map(str, arguments)]
    process = _CONTEXT.Process(target=_run, args=(code, argv, variables, str(cwd or Path.cwd()), list(outputs)))
    process.start()
    return process


def _run(code: str | Path, argv: list[str], variables: dict[str, str], cwd: str, outputs: list[Path]) -> None:
    for path, stream in zip(outputs, (1, 2), strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    sys.argv[:] = argv
    if isinstance(code, Path):
        sys.path[0] = str(code.parent)
        runpy.run_path(str(code), run_name="__main__")
    else:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(code, "<code>", "exec"), namespace)
