"""Data files that lie inside a package on PyPI, which is downloaded and read, not installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nasrec_automl.data.files import write_bytes
from nasrec_automl.errors import DataError

_TIMEOUT_S = 300


@dataclass(frozen=True, kw_only=True)
class PackageFiles:
    """Some files of one distribution of a package.

    Attributes:
        name: of the data set, for messages.
        requirement: package and version, such as `recbole==1.2.1`.
        sha256: of the wheel or the source archive (`.tar.gz`) that holds the files.
        inside: their folder there.
        files: their names.
    """

    name: str
    requirement: str
    sha256: str
    inside: str
    files: Sequence[str]

    def fetch(self, folder: Path, by_hand: str) -> None:
        """Put the files into `folder`.

        Args:
            folder: made if it is missing.
            by_hand: how a user gets the files without the download, for messages.

        Raises:
            DataError: the package cannot be downloaded, or what came is not the expected file.
        """
        with tempfile.TemporaryDirectory() as temporary:
            package = self._download(Path(temporary), by_hand)
            if hashlib.sha256(package.read_bytes()).hexdigest() != self.sha256:
                raise DataError(f"{package.name} is not the expected file (its SHA-256 differs); {by_hand}")
            contents = self._contents(package)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_bytes(folder / name, content)

    def _download(self, into: Path, by_hand: str) -> Path:
        # pip compares the hash before it asks a source archive for its metadata, which runs the archive's setup.py.
        pinned, packages = into / "requirements.txt", into / "packages"
        pinned.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--disable-pip-version-check", "--dest", str(packages), "--requirement", str(pinned)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
            problem = _reason(done.stderr) if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        found = list(packages.glob("*"))
        if problem or not found:
            raise DataError(f"{self.name} could not be downloaded ({problem or 'no file'}); {by_hand}")
        return found[0]

    def _contents(self, package: Path) -> Mapping[str, bytes]:
        if package.suffix == ".whl":
            with zipfile.ZipFile(package) as wheel:
                return {name: wheel.read(f"{self.inside}/{name}") for name in self.files}
        with tarfile.open(package) as archive:
            members = {name: archive.extractfile(f"{self.inside}/{name}") for name in self.files}
            return {name: member.read() for name, member in members.items() if member is not None}


def _reason(stderr: str) -> str:
    """Return the line of pip's messages that says why: its first error, else the last line."""
    lines = stderr.strip().splitlines() or ["no message"]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1]).strip()
