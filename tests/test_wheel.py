"""The wheel, built of the source distribution, holds all packages and the spaces, and works without the tree."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

USE = """
import nasrec_automl
print(nasrec_automl.__file__)
from importlib.resources import files
print(files("nasrec_automl.search_spaces").joinpath("nasrec-full.yaml"))
from nasrec_automl import load_architecture, load_search_space
import nasrec_automl.cli, nasrec_automl.config
assert load_search_space("nasrec-full").blocks == 7
assert load_search_space("nasrec-small").blocks == 7
assert load_architecture("criteo-full").key
from nasrec_automl.hyper_space import load_hyper_space
assert load_hyper_space("retrain-default").table_cap.single
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built of a copy, so that the tree stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "tree"
    copy.mkdir()
    for name in ("nasrec_automl", "search_spaces"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    # Without `--wheel` it is built of the source distribution, which so holds all that it needs.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_every_file_of_the_tree_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "nasrec_automl").rglob("*.py")}
    data = {
        f"nasrec_automl/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "search_spaces").rglob("*")
        if path.suffix in (".py", ".yaml", ".json")
    }
    assert code <= names, "a package is missing in pyproject.toml"
    assert data <= names
    assert "nasrec_automl/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "search_spaces"))]


def test_it_brings_the_command_and_the_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    of_itself = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    assert "nasrec-automl = nasrec_automl.cli:main" in archive.read(of_itself["entry_points.txt"]).decode()
    assert archive.read(of_itself["LICENSE"]).decode() == (ROOT / "LICENSE").read_text()


@pytest.mark.slow
def test_installed_alone_it_finds_its_spaces(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(wheel)], check=True, timeout=120)
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [Path(line).is_relative_to(target) for line in done.stdout.splitlines()] == [True, True]
