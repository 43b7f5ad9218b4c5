"""Calls of the command line, as a user makes them."""

import io
import signal
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from nasrec_automl.cli import main


@dataclass
class Done:
    code: int
    out: str
    error: str


def call(*arguments: object) -> Done:
    out, error = io.StringIO(), io.StringIO()
    code = 0
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    with redirect_stdout(out), redirect_stderr(error):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return Done(code, out.getvalue(), error.getvalue())


def refused(*arguments: object, naming: str) -> str:
    """The command ends with exit code 2 and one sentence that names what is wrong."""
    done = call(*arguments)
    assert done.code == 2, done
    lines = [line for line in done.error.splitlines() if "nasrec-automl: " in line]
    assert len(lines) == 1, done.error
    assert lines[0].startswith("nasrec-automl: ")
    assert naming in lines[0], lines[0]
    assert "Traceback" not in done.error + done.out
    return lines[0]


def files(folder: Path) -> dict[Path, bytes]:
    """What a folder holds, but for the note of who owns it."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.name.endswith(("-wal", "-shm"))
    }
