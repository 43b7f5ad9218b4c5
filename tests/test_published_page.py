"""docs/published.md is what its program makes of the code, and the program's figures are the published ones."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_published", DOCS / "published.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


PROGRAM = load()


def test_page_and_pictures_are_those_of_the_code() -> None:
    text = (DOCS / "published.md").read_text(encoding="utf-8")
    assert all(table in text for table in PROGRAM.tables().values()), "run: python docs/published.py"
    assert PROGRAM.page(text) == text
    for name, svg in PROGRAM.pictures().items():
        assert (DOCS / "pictures" / name).read_text(encoding="utf-8") == svg, "run: python docs/published.py"
        assert f"](pictures/{name})" in text


@pytest.mark.parametrize(
    ("name", "live", "total"),
    [
        ("criteo-small", 2.2078, 2.4154),
        ("criteo-full", 1.4483, 3.1619),
        ("avazu-small", 3.0856, 3.1839),
        ("avazu-full", 1.8668, 3.7908),
        ("kdd12-small", 3.4828, 3.6139),
        ("kdd12-full", 1.0798, 1.1811),
    ],
)
def test_multiply_adds_as_published_are_those_counted_by_hand(name: str, live: float, total: float) -> None:
    assert [round(macs / 1e6, 4) for macs in PROGRAM.macs_as_published(name)] == [live, total]


@pytest.mark.parametrize("name", PROGRAM.NETWORKS)
def test_every_difference_in_parameters_is_named(name: str) -> None:
    network = PROGRAM.NETWORKS[name]
    assert sum(PROGRAM.parameter_steps(name, layer_norm=False)) == network.parameters
    assert sum(PROGRAM.parameter_steps(name, layer_norm=True)) == network.parameters_with_norm
