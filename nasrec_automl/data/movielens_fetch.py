"""Fetching MovieLens-100k: its tables are text inside a wheel on PyPI, which is read, not installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from nasrec_automl.data.files import write_bytes
from nasrec_automl.data.movielens_tables import GROUPLENS_FILES, RECBOLE_FILES, has_files
from nasrec_automl.errors import DataError

_REQUIREMENT = "recbole==1.2.1"
_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
_INSIDE = "recbole/dataset_example/ml-100k"
_TIMEOUT_S = 300


def fetch_movielens(folder: Path | str) -> None:
    """Put the three tables into `folder`; does nothing where those of either distribution are there already.

    Raises:
        DataError: they cannot be downloaded, or what came is not the expected file.
    """
    folder = Path(folder)
    if has_files(folder, GROUPLENS_FILES) or has_files(folder, RECBOLE_FILES):
        return
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _download(Path(temporary), folder)
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256:
            raise DataError(f"{wheel.name} is not the expected file (its SHA-256 differs); {_by_hand(folder)}")
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(f"{_INSIDE}/{name}") for name in RECBOLE_FILES}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_bytes(folder / name, content)


def _download(into: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(into), _REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        problem = (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    wheels = list(into.glob("*.whl"))
    if problem or not wheels:
        raise DataError(f"MovieLens-100k could not be downloaded ({problem or 'no file'}); {_by_hand(folder)}")
    return wheels[0]


def _by_hand(folder: Path) -> str:
    return (
        f"put {', '.join(GROUPLENS_FILES)} of GroupLens' ml-100k, or {', '.join(RECBOLE_FILES)}, "
        f"into {folder} and run again"
    )
