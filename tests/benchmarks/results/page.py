"""The generated parts of docs/results.md and README.md: a function of docs/results/*.json alone.

They stand between `<!-- generated: NAME -->` and `<!-- end -->`. All other text is written by hand and stays.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.files import read_json, write_text
from tests.benchmarks.results.datasets import DATASETS
from tests.benchmarks.results.figures import differences, scatter, taus
from tests.benchmarks.results.tables import (
    MISSING,
    Found,
    ablation_table,
    baseline_table,
    other_methods,
    rank_table,
    short_table,
    standing,
    summary_table,
)

STEPS = ("rank", "ablations", "baselines")
"""What is measured of each data set."""

PAGES = ("README.md", "docs/results.md")
_PART = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_CAPTIONS = {
    "rank": "scores against log losses from scratch",
    "ablations": "Kendall's tau by variant",
    "baselines": "log loss of each method less ours",
}


def json_path(root: Path, dataset: str, step: str) -> Path:
    """Where the measurement of a step is kept, that the page is made of."""
    return root / "docs" / "results" / f"{dataset}-{step}.json"


def write_pages(root: Path) -> None:
    """Write the generated parts of both pages, and the pictures; those that nothing shows any more go.

    Args:
        root: the repository, or a folder with `README.md` and `docs/results.md`.

    Raises:
        DataError: a page has markers that nothing is generated for, or lacks some.
    """
    found = measured(root)
    texts = {name: (root / name).read_text(encoding="utf-8") for name in PAGES}
    written = parts(found)
    placed = {name for text in texts.values() for name in _names(text)}
    if placed != set(written):
        lacking, foreign = sorted(set(written) - placed), sorted(placed - set(written))
        raise DataError(
            f"{' and '.join(PAGES)} must have a place for every generated part, and for no other: they lack {lacking}, "
            f"and have {foreign}; add or remove lines `<!-- generated: NAME -->` and `<!-- end -->`"
        )
    drawn = pictures(found)
    folder = root / "docs" / "pictures"
    for path in folder.glob("results-*.svg"):
        if path.name not in drawn:
            path.unlink()
    for name, svg in drawn.items():
        write_text(folder / name, svg)
    for name, text in texts.items():
        write_text(root / name, fill(text, written))


def measured(root: Path) -> dict[str, Found]:
    """What is on disk, by data set and step."""
    return {
        name: {step: content for step in STEPS if (content := read_json(json_path(root, name, step))) is not None}
        for name in DATASETS
    }


def fill(text: str, written: Mapping[str, str]) -> str:
    """A page with its generated parts in place of what stood there."""
    return _PART.sub(lambda match: f"{match[1]}\n{written[match[2]]}\n\n{match[3]}", text)


def parts(found: Mapping[str, Found]) -> dict[str, str]:
    """The text of every generated part, by its name in the markers."""
    written = {"summary": summary_table(found, list(DATASETS.values())), "short": short_table(found)}
    for name, dataset in DATASETS.items():
        for step in STEPS:
            content = found.get(name, {}).get(step)
            part = f"{name}-{step}"
            if content is None:
                written[part] = f"{MISSING[0].upper()}{MISSING[1:]}."
                continue
            picture = f"![{dataset.title}: {_CAPTIONS[step]}](pictures/{_picture(part)})"
            written[part] = f"{_tabled(step, content, name)}\n\n{picture}"
    return written


def pictures(found: Mapping[str, Found]) -> dict[str, str]:
    """The SVG of every picture, by file name."""
    return {
        _picture(f"{name}-{step}"): _drawn(step, content, DATASETS[name].title)
        for name, steps in found.items()
        for step, content in steps.items()
    }


def _tabled(step: str, content: Mapping[str, Any], name: str) -> str:
    if step == "rank":
        return rank_table(content, DATASETS[name])
    return ablation_table(content) if step == "ablations" else baseline_table(content)


def _drawn(step: str, content: Mapping[str, Any], title: str) -> str:
    if step == "rank":
        return scatter(content, title)
    if step == "ablations":
        return taus(content, title)
    return differences([(row, standing(row, "log_loss")) for row in other_methods(content)], title)


def _picture(part: str) -> str:
    return f"results-{part}.svg"


def _names(text: str) -> list[str]:
    return [match[2] for match in _PART.finditer(text)]
