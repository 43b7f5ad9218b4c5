"""Which process owns a folder, or is at work in it: locks that end with their process, and signs of life."""

from __future__ import annotations

import fcntl
import os
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from nasrec_automl.errors import InUseError, RunFolderError
from nasrec_automl.heartbeat import LOST_AFTER, heartbeat
from nasrec_automl.processes import is_alive, own_host, start_of

_OWNER = re.compile(r"process (\d+) on (.+?), since [\dT:-]{19}\+00:00, started ([\d.]+) s after the boot")
"""What a lock file says of its owner."""


class LockedFolder(ABC):
    """A folder that one process at a time owns, as a whole or a stage of it."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder."""

    @contextmanager
    def lock(self, name: str = "run", *, inside: Path | None = None) -> Iterator[None]:
        """Own the folder, or one stage of it, until the block ends or this process dies.

        With `inside`, a folder of the run, that one alone is owned, and `in_use` does not see it. On a shared folder
        this holds between machines where the file system's locks do (NFS 4 does).

        Raises:
            InUseError: another process owns it, and the message says which.
            RunFolderError: the folder cannot be written or locked.
        """
        try:
            folder = inside or self.path
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f".{name}.lock"
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise self._cannot_write(error) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                another = ", or set another run_folder" if inside is None else ""
                raise InUseError(f"{folder}: in use by {_owner(file)}; wait until it ends{another}") from None
            except OSError as error:
                raise RunFolderError(
                    f"{self.path}: the file system cannot lock files ({error.strerror}); mount it so that it can, or "
                    "set another run_folder"
                ) from None
            file.truncate(0)
            file.write(_this_process())
            file.flush()
            try:
                # The file's time tells other hosts that this one is alive.
                with heartbeat(lambda: os.utime(path)):
                    yield
            finally:
                file.truncate(0)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Be seen by `in_use` until the block ends or this process dies, without owning anything.

        Raises:
            RunFolderError: the folder cannot be written.
        """
        path = self.path / f".worker-{uuid.uuid4().hex}.lock"
        try:
            for left in self.path.glob(".worker-*.lock"):
                if _owner_lives(left, on=own_host()) is False:  # it was killed
                    left.unlink(missing_ok=True)
            path.write_text(_this_process(), encoding="utf-8")
        except OSError as error:
            raise self._cannot_write(error) from None
        try:
            with heartbeat(lambda: os.utime(path)):
                yield
        finally:
            path.unlink(missing_ok=True)

    def in_use(self) -> set[str]:
        """What living processes own, `run` or the name of a stage, or `worker-` and more where one is at work.

        No lock is touched.
        """
        return {path.name[1:].removesuffix(".lock") for path in self.path.glob(".*.lock") if _owner_lives(path)}

    def _cannot_write(self, error: OSError) -> RunFolderError:
        return RunFolderError(f"{self.path}: cannot write the run folder ({error.strerror or error})")


def _owner_lives(path: Path, *, on: str | None = None) -> bool | None:
    """Whether the process that a lock's file names is alive; None where it names none (yet), or none on this host."""
    try:
        text, signed = path.read_text(encoding="utf-8"), path.stat().st_mtime
    except FileNotFoundError:  # of a worker that has just ended
        return None
    owner = _OWNER.fullmatch(text.strip())
    if owner is None:
        return None
    pid, host, started = owner.groups()
    if on not in (None, host):
        return None
    return is_alive(int(pid), float(started)) if host == own_host() else time.time() - signed < LOST_AFTER


def _this_process() -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {own_host()}, since {now}, started {start_of():.2f} s after the boot"


def _owner(file: TextIO) -> str:
    file.seek(0)
    text = re.sub(r"@[0-9a-f]+(?=, since)|, started .*", "", file.read().strip())  # these say nothing to people
    return text or "another process"
