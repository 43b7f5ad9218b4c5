import dataclasses
import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from nasrec_automl.data.package_files import PackageFiles
from nasrec_automl.errors import DataError

CONTENT = {"a.csv": b"x\n1\n", "b.csv": b"y\n2\n", "other.txt": b"no"}


def write_package(path: Path) -> PackageFiles:
    """Write a made-up wheel or source archive, and describe two of its files."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in CONTENT.items():
                wheel.writestr(f"inside/{name}", content)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for name, content in CONTENT.items():
                member = tarfile.TarInfo(f"inside/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageFiles(
        name="Made up", requirement="made-up==1.0", sha256=sha256, inside="inside", files=("a.csv", "b.csv")
    )


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for pip, which finds the one package in `tmp_path`; returns what was required."""
    required: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert "--no-deps" in command
        required.append(Path(command[command.index("--requirement") + 1]).read_text())
        into = Path(command[command.index("--dest") + 1])
        into.mkdir()
        (package,) = tmp_path.glob("made_up*")
        (into / package.name).write_bytes(package.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return required


@pytest.mark.parametrize("package", ["made_up-1.0-py3-none-any.whl", "made_up-1.0.tar.gz"])
def test_the_named_files_are_taken_out(tmp_path: Path, requirements: list[str], package: str) -> None:
    files = write_package(tmp_path / package)
    files.fetch(tmp_path / "new" / "folder", "by hand")
    found = {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()}
    assert found == {name: CONTENT[name] for name in files.files}
    assert requirements == [f"made-up==1.0 --hash=sha256:{files.sha256}\n"]


def test_another_file_is_refused(tmp_path: Path, requirements: list[str]) -> None:
    files = write_package(tmp_path / "made_up-1.0.tar.gz")
    with pytest.raises(DataError, match=r"made_up-1\.0\.tar\.gz is not the expected file .*; by hand"):
        dataclasses.replace(files, sha256="0" * 64).fetch(tmp_path / "folder", "by hand")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: retry\nERROR: no network\n  Got it\n", "ERROR: no network"),
        ("odd\nlast\n", "last"),
        ("", "no message"),
    ],
)
def test_a_failed_download_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, reason: str) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", stderr)

    monkeypatch.setattr(subprocess, "run", run)
    files = write_package(tmp_path / "made_up-1.0.tar.gz")
    with pytest.raises(DataError, match=rf"^Made up could not be downloaded \({reason}\); by hand$"):
        files.fetch(tmp_path / "folder", "by hand")
