"""What README and docs say holds: their blocks run, their tables are those of the code."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
import yaml
from nni.experiment.config import ExperimentConfig
from pydantic import BaseModel

import nasrec_automl
from nasrec_automl.architecture import Architecture
from nasrec_automl.cli import _parser
from nasrec_automl.config import Job, load_job
from nasrec_automl.data.movielens_tables import GENRES
from nasrec_automl.data.table_schema import load_table_schema
from nasrec_automl.experiment.launch import run_of
from nasrec_automl.pipeline.export import export_run
from nasrec_automl.pipeline.run_folder import RunFolder
from nasrec_automl.pipeline.stages import run_job
from nasrec_automl.space import load_search_space
from tests.benchmarks.__main__ import main as benchmarks
from tests.data.readers.rows import write, write_public_sets
from tests.warm import run_warm

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("examples/*/README.md"))]

# They start servers; tests/experiment starts real experiments, tests/pipeline a real dashboard.
NOT_RUN = (
    ". .venv/bin/activate",
    "nnictl create --config examples/quickstart/experiment.yml --port 8080",
    "optuna-dashboard sqlite:///runs/quickstart/studies.db --artifact-dir runs/quickstart/artifacts --port 8081",
)

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> Iterator[Any]:
    for page in PAGES:
        for number, (language, text) in enumerate(BLOCK.findall(page.read_text()), 1):
            if language in languages:
                yield pytest.param(text, id=f"{page.name}-{number}")


def write_movielens(folder: Path) -> None:
    """Made-up people and films in GroupLens' form, and ratings that depend on both."""
    draw = random.Random(0)
    folder.mkdir()
    jobs = ("engineer", "student", "librarian", "writer")
    users = [
        f"{i}|{draw.randint(18, 60)}|{draw.choice('MF')}|{draw.choice(jobs)}|{draw.choice(['10115', '90210'])}"
        for i in range(1, 81)
    ]
    films = []
    for item in range(1, 121):
        flags = "|".join(str(int(draw.random() < 0.15)) for _ in GENRES)
        films.append(f"{item}|Film {item} ({1950 + item % 50})|01-Jan-1995||http://example.org|{flags}")
    ratings = []
    for user in range(1, 81):
        for item in draw.sample(range(1, 121), 50):
            rating = min(5, max(1, round(draw.gauss(2 + item % 5 / 2 + user % 3 / 2, 1))))
            ratings.append(f"{user}\t{item}\t{rating}\t{881_000_000 + draw.randrange(10_000_000)}")
    for name, lines in (("u.user", users), ("u.item", films), ("u.data", ratings)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")


def write_raw_files(folder: Path) -> None:
    """Few rows in each format that docs/data.md names."""
    write_public_sets(folder)
    clicks = [f"{row},{row % 3 % 2},shop{row % 7},{row * 0.5},{1_700_000_000 + row}" for row in range(800)]
    for name, rows in {"clicks": clicks[:400], "later": clicks[400:]}.items():
        write(folder / f"{name}.csv", ["row_id,clicked,shop,price,at", *rows])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, write_job: Callable[..., Path]) -> Path:
    """Where the docs' reader stands: the examples, and the quickstart's run of made-up ratings, exported."""
    folder = tmp_path_factory.mktemp("reader")
    example = folder / "examples" / "quickstart"
    write_movielens(folder / "ml-100k")
    write_raw_files(folder)
    job = write_job(
        example,
        name="quickstart",
        run_folder="../../runs/quickstart",
        data={"source": "movielens", "input": "../../ml-100k", "options": {}},
    )
    for name in ("rows.csv", "tuner.yml"):
        shutil.copy(ROOT / "examples" / "quickstart" / name, example)
    run = RunFolder(load_job(job))
    run_job(run)
    export_run(run, "onnx")
    export_run(run, "torch")
    return folder


def run_there(command: list[str], place: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(place), "NNI_CONFIG_DIR": str(place / "nni")}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_warm_there(code: str, place: Path, *words: str) -> None:
    done = run_warm(code, *words, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr


def lines_of(text: str) -> list[str]:
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def test_there_is_something_to_run() -> None:
    assert len(list(blocks("python"))) >= 6
    assert len(list(blocks("sh"))) >= 3
    found = [line for block in blocks("sh") for line in lines_of(block.values[0])]
    assert set(NOT_RUN) <= set(found), "a command that is not run is not in the docs either"
    assert not list(blocks("bash", "console", "shell", "py")), "blocks are ```python or ```sh, so that they are run"


@pytest.mark.parametrize("text", list(blocks("python")))
def test_python_blocks_run(text: str, place: Path) -> None:
    if "nni" in text:  # what it imports in which order matters
        run_there([sys.executable, "-c", text], place)
    else:
        run_warm_there(text, place)


@pytest.mark.parametrize("text", list(blocks("sh")))
def test_shell_blocks_run(text: str, place: Path) -> None:
    for line in lines_of(text):
        program, *words = shlex.split(line)
        if program == "nasrec-automl":
            run_warm_there("from nasrec_automl.cli import main; main()", place, *words)
        elif line not in NOT_RUN:
            run_there(["bash", "-ec", line], place)


def shown_commands(program: str) -> Iterator[Any]:
    """What pages show of a program's commands in indented lines, which are not run."""
    for page in (*LINKED, ROOT / "tests" / "benchmarks" / "README.md"):
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(rf"^ {{4,}}(?:\w+=\S+ )*{program} (.*)$", text, re.MULTILINE):
            words = shlex.split(line.partition(" > ")[0], comments=True)
            yield pytest.param(words, id=f"{page.parent.name}/{page.name} {' '.join(words)}")


@pytest.mark.parametrize("words", list(shown_commands("nasrec-automl")))
def test_shown_commands_are_understood(words: list[str]) -> None:
    assert _parser().parse_args(words).run


@pytest.mark.parametrize("words", list(shown_commands("python -m tests.benchmarks")))
def test_shown_benchmarks_are_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    understood = ArgumentParser.parse_args

    class UnderstoodError(Exception):
        pass

    def parse_args(*given: Any) -> None:
        understood(*given)
        raise UnderstoodError

    if words[0] in ("baselines", "results"):
        pytest.importorskip("torch_rechub")
    monkeypatch.setattr(ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", ["tests.benchmarks", *words])
    with pytest.raises(UnderstoodError):
        benchmarks()


def test_the_readers_model_tells_the_rows_apart(place: Path) -> None:
    run_there(["nasrec-automl", "predict", "--model", "runs/quickstart/best", "--input",
               "examples/quickstart/rows.csv", "--output", "probabilities.csv"], place)  # fmt: skip
    lines = (place / "probabilities.csv").read_text().splitlines()
    assert lines[0] == "probability"
    assert len(set(lines)) == 4


@pytest.mark.parametrize("text", list(blocks("yaml")))
def test_yaml_blocks_are_jobs_spaces_or_schemas(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    content = yaml.safe_load(text)
    if "blocks" in content:
        assert load_search_space(path).name == content["name"]
    elif "trialCommand" in content:  # lines for an NNI experiment that a reader has
        whole = yaml.safe_load((ROOT / "examples" / "existing_nni_pipeline" / "experiment.yml").read_text()) | content
        path.write_text(yaml.safe_dump(whole | {"searchSpaceFile": str(ROOT / content["searchSpaceFile"])}))
        assert ExperimentConfig.load(path).canonical_copy().trial_command == content["trialCommand"]
    elif "label" in content:
        assert load_table_schema(path).name == content.get("name", "table")
    else:
        assert load_job(path).name == content["name"]


def test_json_is_an_architecture_of_the_space_above_it(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "spaces.md").read_text()
    ((_, text),) = [block for block in BLOCK.findall(page) if block[0] == "json"]
    spaces = [content for language, content in BLOCK.findall(page) if language == "yaml" and "blocks" in content]
    (tmp_path / "space.yaml").write_text(spaces[-1])
    architecture = Architecture.from_json(text, load_search_space(tmp_path / "space.yaml"))
    assert json.loads(architecture.to_json()) == json.loads(text)


def test_what_the_example_holds_loads() -> None:
    example = ROOT / "examples" / "quickstart"
    job = load_job(example / "job.yaml")
    assert job.run_folder == ROOT / "runs" / "quickstart"
    assert load_search_space(job.space).blocks == 4
    assert run_of(example / "experiment.yml").job == job


def test_the_manifest_for_kubernetes_is_yaml_with_a_kind_and_a_name_each() -> None:
    manifest = (ROOT / "examples" / "kubernetes" / "search.yaml").read_text()
    found = [(content["kind"], content["metadata"]["name"]) for content in yaml.safe_load_all(manifest)]
    assert len(set(found)) == len(found) == 5


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs both make them."""
    found = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def broken_links(page: Path) -> Iterator[str]:
    for target, _, anchor in re.findall(r"\]\(([^)#:]*)(#([^)]*))?\)", page.read_text()):
        to = page.parent / target if target else page
        if not to.exists() or (anchor and anchor not in headings(to)):
            yield f"{target}#{anchor}" if anchor else target


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    assert not list(broken_links(page))


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_pages_link_to_other_pages_alone(page: Path) -> None:
    assert "](../" not in page.read_text(), "`make docs` knows no other files"


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A `name`, and its path\n\n```sh\n# no heading\n```\n")
    (tmp_path / "page.md").write_text(
        "## Here\n[a](there.md) [b](there.md#a-name-and-its-path) [c](#here) [d](https://example.org/#x) "
        "[e](gone.md) [f](gone.md#here) [g](there.md#no-heading) [h](#nowhere)"
    )
    assert list(broken_links(tmp_path / "page.md")) == ["gone.md", "gone.md#here", "there.md#no-heading", "#nowhere"]


# docs/job.md against the models


def sections() -> dict[str, dict[str, str]]:
    """Each table of docs/job.md: its keys and the text of their defaults."""
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in (ROOT / "docs" / "job.md").read_text().splitlines():
        if line.startswith("## "):
            name = line[3:].strip("`").replace("Top level", "")
            found[name] = {}
        elif line.startswith("| `"):
            keys, default, _ = (cell.strip() for cell in line.strip("|").split("|", 2))
            names = re.findall(r"`([^`]+)`", keys)
            values = split(default) if len(names) > 1 else [default]
            found[name] |= dict(zip(names, values, strict=True))
    return found


def split(text: str) -> list[str]:
    return [part.strip() for part in text.split(", ")]


def models() -> dict[str, dict[str, Any]]:
    """The same of the models: keys of each section, those of a section's section with a dot."""
    found: dict[str, dict[str, Any]] = {"": {}}
    for name, field in Job.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            found[name] = dict(fields(model))
        else:
            found[""][name] = field.default
    return found


def fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if kind is not NoneType]
        if name == "head":
            # The default variant last: what both have, it decides.
            for kind in reversed(kinds[1:]):
                yield from ((f"head.{inner}", default) for inner, default in fields(get_args(kind)[0]))
        elif name in ("verdict", "defaults"):
            yield from ((f"{name}.{inner}", default) for inner, default in fields(kinds[0]))
        else:
            yield field.alias or name, field.default


def test_every_field_of_a_job_is_in_the_docs_and_no_other() -> None:
    assert {name: set(keys) for name, keys in sections().items()} == {
        name: set(keys) for name, keys in models().items()
    }


def test_defaults_are_those_of_the_code() -> None:
    for section, keys in sections().items():
        for key, text in keys.items():
            default, where = models()[section][key], f"{section}.{key}: {text}"
            plain = text.strip("`")
            if isinstance(default, bool):
                assert plain == str(default).lower(), where
            elif isinstance(default, int | float):
                assert float(plain) == default, where
            elif isinstance(default, str):
                assert plain == default, where
            elif isinstance(default, tuple):
                assert (split(plain.strip("[]")) if plain else []) == [str(value) for value in default], where
            elif isinstance(default, BaseModel):
                low, high = (float(value) for value in plain.split(" to "))
                assert (low, high) == (default.low, default.high), where


def test_every_command_is_in_the_docs_and_no_other() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    table = page.partition("| command |")[2].partition("\n\n")[0]
    named = [text for row in table.splitlines()[2:] for text in re.findall(r"`([^`]+)`", row.split("|")[1])]
    listed = {" ".join(word for word in text.split() if word.islower()) for text in named}
    assert {text for text in listed if not text.startswith("--")} == set(command_paths(_parser()))


def command_paths(parser: ArgumentParser) -> Iterator[str]:
    """Every command that does something, `data report` as such."""
    groups = [action.choices for action in parser._actions if isinstance(action, _SubParsersAction)]
    for name, inner in (item for choices in groups for item in choices.items()):
        below = list(command_paths(inner))
        yield from (f"{name} {path}" for path in below)
        if not below:
            yield name


def test_the_reference_shows_every_public_name() -> None:
    shown = set(re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE))
    for name in nasrec_automl.__all__:
        assert f"nasrec_automl.{nasrec_automl._HOME[name]}" in shown, name
    for module in shown:
        __import__(module)


def test_the_reference_shows_what_pages_and_examples_import() -> None:
    shown = re.findall(r"^::: (\S+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    texts = [text for page in PAGES for language, text in BLOCK.findall(page.read_text()) if language == "python"]
    texts += [path.read_text() for path in ROOT.glob("examples/**/*.py")]
    found = {name for text in texts for name in re.findall(r"^ *from (nasrec_automl\.\S+) import", text, re.MULTILINE)}
    assert {name for name in found if not any(one == name or one.startswith(f"{name}.") for one in shown)} == set()


def test_rows_of_the_example_have_the_columns_that_the_model_asks_for(place: Path) -> None:
    header = (ROOT / "examples" / "quickstart" / "rows.csv").read_text().splitlines()[0].split(",")
    expected = json.loads((place / "runs/quickstart/best/preprocessing.json").read_text())
    assert {column["name"] for column in expected["categorical"]} - {c["name"] for c in expected["derived"]} <= set(
        header
    )
