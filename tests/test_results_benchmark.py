"""docs/results.md is what docs/results/*.json say; targets and baselines are judged right both ways."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nasrec_automl.config import load_job
from nasrec_automl.errors import DataError
from nasrec_automl.ranking import judge_ranking
from tests.benchmarks.results import command
from tests.benchmarks.results.datasets import COMPARED, DATASETS, ROOT
from tests.benchmarks.results.figures import scatter, ticks
from tests.benchmarks.results.page import PAGES, STEPS, json_path, write_pages
from tests.benchmarks.results.tables import (
    ablation_table,
    baseline_table,
    rank_table,
    short_table,
    standing,
    summary_table,
)

MACHINE = "a machine, 2 threads"


def made_up_rank(noise: float, *, architectures: int = 30, seeds: int = 3) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    truth = np.linspace(0.50, 0.53, architectures)
    losses = truth[:, None] + draw.normal(scale=0.001, size=(architectures, seeds))
    scores = truth + 0.02 + draw.normal(scale=noise, size=architectures)
    parameters = draw.integers(10_000, 200_000, size=architectures)
    ranking = judge_ranking(scores, losses, parameters, parameters[::-1], resamples=50)
    points = [
        {"key": f"k{i}", "score": scores[i], "losses": losses[i].tolist(), "parameters": int(parameters[i])}
        for i in range(architectures)
    ]
    return {"dataset": "made up", "machine": MACHINE, "ranking": ranking.to_plain(), "architectures": points}


def made_up_ablations() -> dict[str, Any]:
    def variant(name: str, group: str, tau: float | None, less: float | None) -> dict[str, Any]:
        around = {} if tau is None else {"low": tau - 0.1, "high": tau + 0.1}
        return {
            "variant": name,
            "group": group,
            "tau": {"value": tau, "low": None, "high": None, **around},
            "spearman": tau,
            "less_ours": None if less is None else {"value": less, "low": less - 0.05, "high": less + 0.05},
            "log_loss": 0.55,
            "seconds": 61.2,
            "notes": [],
        }

    return {
        "dataset": "made up",
        "machine": MACHINE,
        "architectures": 30,
        "truth_seeds": 3,
        "seeds": 2,
        "variants": [
            variant("as the job says", "ours", 0.61, None),
            variant("any-path", "path sampling", 0.48, -0.13) | {"tau_deviation": 0.04, "less_ours_deviation": 0.06},
            variant("single-path", "path sampling", None, None),
            {"variant": "full-path", "group": "path sampling", "notes": ["its supernet's training diverged"]},
        ],
    }


def row(method: str, loss: float, auc: float, less: tuple[float, float] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "method": method,
        "log_loss": {"mean": loss, "deviation": 0.001},
        "auc": {"mean": auc, "deviation": 0.002},
        "chosen": [{"name": f"{method} {search}", "trials": 10 + search, "seconds": 60.4} for search in range(3)],
    }
    if less is not None:
        found["less_ours"] = {
            "log_loss": {"mean": less[0], "error": 0.001},
            "auc": {"mean": less[1], "error": 0.001},
        }
    return found


def made_up_baselines(*others: dict[str, Any], searches: int = 3, seeds: int = 5) -> dict[str, Any]:
    return {
        "dataset": "made up",
        "split": "random",
        "test_rows": 10_000,
        "searches": searches,
        "seeds": seeds,
        "machine": MACHINE,
        "methods": [row("winner of a run", 0.53, 0.8), *others],
    }


WORSE, LEVEL, BETTER = (
    row("worse", 0.54, 0.78, (0.01, -0.02)),
    row("level", 0.531, 0.80, (0.001, -0.0019)),
    row("better", 0.52, 0.81, (-0.01, 0.01)),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The repository's pages, with nothing measured."""
    (tmp_path / "docs").mkdir()
    for name in PAGES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    write_pages(tmp_path)
    return tmp_path


def keep(root: Path, dataset: str, step: str, content: dict[str, Any]) -> None:
    path = json_path(root, dataset, step)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def shown(root: Path, name: str) -> list[str]:
    return sorted(path.name for path in (root / "docs" / name).glob("results-*"))


def test_the_committed_pages_are_those_of_the_committed_files(tmp_path: Path) -> None:
    for name in PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    if (ROOT / "docs" / "results").is_dir():
        shutil.copytree(ROOT / "docs" / "results", tmp_path / "docs" / "results")
    write_pages(tmp_path)
    again = "run: python -m tests.benchmarks results --steps page"
    for name in PAGES:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), again
    assert shown(tmp_path, "pictures") == shown(ROOT, "pictures"), again
    for name in shown(ROOT, "pictures"):
        assert (tmp_path / "docs/pictures" / name).read_text() == (ROOT / "docs/pictures" / name).read_text(), again


def test_jobs_differ_in_their_data_alone() -> None:
    jobs = [load_job(dataset.job) for dataset in DATASETS.values()]
    plain = [job.model_dump(exclude={"name", "run_folder", "data"}) for job in jobs]
    assert all(one == plain[0] for one in plain)
    assert len({job.run_folder for job in jobs}) == len({str(job.data) for job in jobs}) == len(jobs)
    for job in jobs:  # a run by hand is the first of the three searches
        assert command.searches(job, ROOT / "runs" / "results" / job.name, 1)[0].path == job.run_folder
    assert jobs[0].space == "quickstart"
    written = [yaml.safe_load(dataset.job.read_text()) for dataset in DATASETS.values()]
    assert all(set(one) == {"name", "run_folder", "space", "data", "search", "retrain", "rank"} for one in written)


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        ([], ["--workers", "1"]),
        (["--samplers"], ["--samplers", "--workers", "1"]),
        (["--samplers", "tpe", "--workers", "2"], ["--samplers", "tpe", "--workers", "2"]),
    ],
)
def test_baselines_are_compared_as_is_asked_for(
    options: list[str], passed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command as baselines

    called: list[list[str]] = []

    def compares(arguments: list[str]) -> None:
        called.append(arguments)
        Path(arguments[arguments.index("--output") + 1]).write_text("{}")

    monkeypatch.setattr(baselines, "main", compares)
    command.main(["--only", "synthetic", "--steps", "baselines", "--folder", str(tmp_path), *options])
    (arguments,) = called
    assert arguments[arguments.index("--output") + 2 :] == passed


def test_what_is_not_measured_is_said_to_be_missing(root: Path) -> None:
    text = (root / "docs" / "results.md").read_text()
    assert text.count("\nNot measured yet.\n") == len(DATASETS) * len(STEPS)
    assert "| flights | not measured yet | not measured yet |" in (root / "docs" / "results.md").read_text()
    assert "| flights |" not in (root / "README.md").read_text()
    assert "](pictures/results-" not in text

    keep(root, "flights", "rank", made_up_rank(0.001))
    write_pages(root)
    text = (root / "docs" / "results.md").read_text()
    assert text.count("\nNot measured yet.\n") == len(DATASETS) * len(STEPS) - 1
    assert "![flights: scores against log losses from scratch](pictures/results-flights-rank.svg)" in text
    assert shown(root, "pictures") == ["results-flights-rank.svg"]

    json_path(root, "flights", "rank").unlink()  # nothing stays of what is not there any more
    write_pages(root)
    assert shown(root, "pictures") == []
    assert (root / "docs" / "results.md").read_text().count("\nNot measured yet.\n") == len(DATASETS) * len(STEPS)


def by_hand(text: str) -> str:
    return re.sub(r"(<!-- generated: \S+ -->).*?(<!-- end -->)", r"\1\2", text, flags=re.DOTALL)


def test_text_by_hand_stays_and_a_second_call_changes_nothing(root: Path) -> None:
    page = root / "docs" / "results.md"
    page.write_text(page.read_text().replace("## What is measured\n", "## What is measured\n\nBy hand.\n"))
    before = by_hand(page.read_text())
    keep(root, "synthetic", "rank", made_up_rank(0.001))
    keep(root, "synthetic", "ablations", made_up_ablations())
    keep(root, "synthetic", "baselines", made_up_baselines(WORSE, LEVEL, BETTER))
    write_pages(root)
    first = page.read_text()
    assert "## What is measured\n\nBy hand.\n" in first
    assert by_hand(first) == before
    write_pages(root)
    assert page.read_text() == first
    for picture in shown(root, "pictures"):
        drawn = ET.parse(root / "docs" / "pictures" / picture).getroot()
        assert drawn.tag.endswith("svg")
        assert not [element for element in drawn.iter() if element.tag.endswith("script")]
        assert f"](pictures/{picture})" in first
    assert len(shown(root, "pictures")) == 3


def test_a_marker_that_lacks_or_is_unknown_is_an_error(root: Path) -> None:
    page = root / "docs" / "results.md"
    page.write_text(page.read_text().replace("generated: flights-rank", "generated: flights-rang"))
    with pytest.raises(DataError, match=r"lack \['flights-rank'\], and have \['flights-rang'\]"):
        write_pages(root)


def line(table: str, name: str) -> list[str]:
    (found,) = (text for text in table.splitlines() if text.startswith(f"| {name} |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_targets_of_ranks_are_judged_both_ways() -> None:
    good, bad = made_up_rank(0.0005), made_up_rank(0.03)
    for rank, word in ((good, "reached"), (bad, "not reached")):
        table = rank_table(rank, DATASETS["flights"])
        assert line(table, "Kendall's tau")[3:] == ["0.6", word]
        assert line(table, "share of the ceiling")[3:] == ["80%", word]
        assert line(table, "tau of size")[3:] == ["", ""]
        assert table.startswith(f"30 architectures, 3 seeds each. Machine: {MACHINE}.")
    # Between the targets of MovieLens and of flights.
    between = json.loads(json.dumps(good))
    between["ranking"]["tau"]["value"] = 0.55
    assert line(rank_table(between, DATASETS["flights"]), "Kendall's tau")[3:] == ["0.6", "not reached"]
    assert line(rank_table(between, DATASETS["movielens"]), "Kendall's tau")[3:] == ["0.5", "reached"]


def test_a_share_of_a_ceiling_that_may_be_chance_reaches_nothing() -> None:
    rank = made_up_rank(0.0005)
    rank["ranking"]["ceiling"] = {"value": 0.1, "low": -0.1, "high": 0.3}
    assert line(rank_table(rank, DATASETS["flights"]), "share of the ceiling")[3:] == ["80%", "not shown"]
    assert "| no ceiling (target 80%) |" in summary_table({"flights": {"rank": rank}}, [DATASETS["flights"]])


def test_one_seed_has_no_ceiling_to_be_reached() -> None:
    table = rank_table(made_up_rank(0.001, seeds=1), DATASETS["flights"])
    assert "ceiling" not in table
    assert "1 seed each" in table


def test_ours_is_ahead_by_two_standard_errors_or_is_not() -> None:
    assert [standing(one, metric) for one in (WORSE, LEVEL, BETTER) for metric in ("log_loss", "auc")] == [
        *["ahead"] * 2,
        *["level"] * 2,
        *["behind"] * 2,
    ]
    table = baseline_table(made_up_baselines(WORSE, LEVEL, BETTER))
    assert [text.split("|")[1].strip() for text in table.splitlines() if "±" in text] == [
        *["better", "**winner of a run**"],
        *["level", "worse"],
    ]
    assert (
        "ahead of 1 of 3 methods in log loss and of 1 in AUC. Target, ahead of all of them in both: not reached"
        in table
    )
    assert line(table, "worse") == [
        *["worse", "0.5400 ± 0.0010", "+0.0100 ± 0.0010", "ahead"],
        *["0.7800 ± 0.0020", "-0.0200 ± 0.0010", "ahead", "10, 11, 12", "60, 60, 60"],
    ]
    every = [WORSE | {"method": name} for name in COMPARED]
    assert "both: reached." in baseline_table(made_up_baselines(*every))
    assert "both: not reached." in baseline_table(made_up_baselines(*every, LEVEL))


def test_ahead_of_some_methods_is_not_ahead_of_all() -> None:
    missing = [name for name in COMPARED if name not in ("DCNv2", "best hand design")]
    table = baseline_table(made_up_baselines(WORSE | {"method": "DCNv2"}, WORSE | {"method": "best hand design"}))
    assert f"both: not shown without {', '.join(missing)}." in table
    assert "both: not shown without" in baseline_table(made_up_baselines())


def test_what_is_to_be_beaten_is_what_the_command_measures() -> None:
    pytest.importorskip("torch_rechub", reason="needs the extra bench")
    from tests.benchmarks.baselines import command

    defaults = [name for name, sampler in command.OTHER_SEARCHES.items() if sampler in ("random", "tpe")]
    assert {*COMPARED} == {command._HAND, *defaults, *command.METHODS}


@pytest.mark.parametrize("few", [{"searches": 2}, {"seeds": 4}])
def test_few_searches_or_seeds_reach_nothing(few: dict[str, int]) -> None:
    table = baseline_table(made_up_baselines(WORSE, **few))
    assert "too few for a claim, which needs 3 searches and 5 seeds. Target" in table
    assert "both: not reached." in table


def test_ablations_show_what_there_is() -> None:
    table = ablation_table(made_up_ablations())
    cells = line(table, "path sampling | any-path")[2:]
    assert cells == ["0.48 ± 0.04 (0.38 to 0.58)", "0.48", "-0.13 ± 0.06 (-0.18 to -0.08)", "0.5500", "61"]
    assert line(table, "path sampling | full-path")[2:] == ["", "n/a", "", "n/a", "n/a"]
    assert table.endswith("\n\n- `full-path`: its supernet's training diverged.")
    assert table.startswith("30 architectures, 3 trainings of each; 2 supernets a variant.")
    assert "| ours | as the job says | 0.61 (0.51 to 0.71) | 0.61 |  | 0.5500 | 61 |" in table
    assert "| path sampling | single-path |  | n/a |  | 0.5500 | 61 |" in table


def test_the_summary_names_the_best_other() -> None:
    steps = {"rank": made_up_rank(0.0005), "baselines": made_up_baselines(WORSE, LEVEL)}
    table = summary_table({"flights": steps}, [DATASETS["flights"], DATASETS["synthetic"]])
    cells = line(table, "flights")
    assert cells[1].endswith("(target 0.6)")
    assert cells[3:] == ["0.5300, 0.8000", "level: 0.5310, 0.8000", "1 and 1 of 2"]
    assert set(line(table, "synthetic")[1:]) == {"not measured yet"}


def test_the_short_table_says_where_ours_stands_beside_the_best_other() -> None:
    part = row("part", 0.529, 0.81, (-0.001, 0.01))
    table = short_table(
        {
            "flights": {"baselines": made_up_baselines(WORSE, BETTER, LEVEL)},
            "synthetic": {"baselines": made_up_baselines(WORSE, part)},
            "movielens": {"rank": made_up_rank(0.0005)},
        }
    )
    assert line(table, "flights") == ["flights", "0.5300, 0.8000", "better: 0.5200, 0.8100", "behind", "3 of 9 methods"]
    assert line(table, "synthetic")[3] == "level in log loss, behind in AUC"
    assert "MovieLens" not in table


def test_trainings_that_went_wrong_lie_on_the_edge_with_their_value() -> None:
    rank = made_up_rank(0.001)
    rank["architectures"][3]["losses"] = [2.0, 4.0, 4.5]
    svg = scatter(rank, "made up")
    assert ">3.5</text>" in svg
    heights = sorted(float(circle.get("cy", "")) for circle in circles(svg)[:30])  # the legend's follow
    assert heights[0] == 44
    assert heights[-1] - heights[1] > 200, "the others keep their room"


def circles(svg: str) -> list[ET.Element]:
    return [element for element in ET.fromstring(svg).iter() if element.tag.endswith("circle")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-0.011, 0.021, [-0.01, -0.005, 0.0, 0.005, 0.01, 0.015, 0.02])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_the_command_measures_in_order_and_writes_the_page(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three searches that differ in seed and folder; each step's result is kept before the next begins."""
    called: list[tuple[str, str]] = []
    made_up = {
        "rank": made_up_rank(0.001),
        "ablations": made_up_ablations(),
        "baselines": made_up_baselines(WORSE),
    }

    def measure(step: str) -> Any:
        def measured(runs: list[Any], folder: Path, quick: bool) -> dict[str, Any]:
            called.append((folder.name, step))
            assert [run.job.seed for run in runs] == [2018, 2019, 2020]
            assert [run.path for run in runs] == [folder.resolve() / f"seed-{seed}" for seed in (2018, 2019, 2020)]
            plain = [run.job.model_dump(exclude={"seed", "run_folder"}) for run in runs]
            assert plain == [load_job(DATASETS[folder.name].job).model_dump(exclude={"seed", "run_folder"})] * 3
            return made_up[step]

        return measured

    monkeypatch.setattr(command, "ROOT", root)
    monkeypatch.setattr(command, "_MEASURE", {step: measure(step) for step in STEPS})
    folder = ["--folder", str(tmp_path / "runs")]
    command.main(["--only", "synthetic", "flights", "--steps", "baselines", "rank", *folder])
    assert called == [(name, step) for name in ("synthetic", "flights") for step in ("rank", "baselines")]
    assert not (root / "docs" / "results").exists(), "the page was not asked for"

    called.clear()
    command.main(["--steps", "page", *folder])
    assert not called
    assert sorted(path.name for path in (root / "docs" / "results").iterdir()) == [
        f"{name}-{step}.json" for name in ("flights", "synthetic") for step in ("baselines", "rank")
    ]
    assert "results-flights-rank.svg" in (root / "docs" / "results.md").read_text()

    # Without the runs the page is that of the kept files.
    before = (root / "docs" / "results.md").read_text()
    shutil.rmtree(tmp_path / "runs")
    command.main(["--steps", "page", *folder])
    assert (root / "docs" / "results.md").read_text() == before


def test_a_quick_page_is_not_the_repositorys(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks of the few rows of a quick call, for real."""
    monkeypatch.setattr(command, "ROOT", root)
    before = {name: (root / name).read_text() for name in PAGES}
    command.main(["--quick", "--steps", "rank", "page", "--folder", str(tmp_path / "runs")])
    page = tmp_path / "runs" / "quick" / "page"
    # Of the four one may diverge: a training has few steps.
    assert re.search(r"^[34] architectures, 1 seed each", (page / "docs" / "results.md").read_text(), re.MULTILINE)
    kept = json.loads(json_path(page, "synthetic", "rank").read_text())
    assert "params" not in kept["architectures"][0]
    assert re.search(r"\d threads?, torch", kept["machine"])
    assert {name: (root / name).read_text() for name in PAGES} == before
    assert not (root / "docs" / "results").exists()
