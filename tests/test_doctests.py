"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil

import pytest

import nasrec_automl

# Importing `__main__` would run the command line.
MODULES = [
    module.name
    for module in pkgutil.walk_packages(nasrec_automl.__path__, "nasrec_automl.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    for name in ("cost", "schema", "space", "network.supernet"):
        tests = finder.find(importlib.import_module(f"nasrec_automl.{name}"))
        assert any(test.examples for test in tests)
