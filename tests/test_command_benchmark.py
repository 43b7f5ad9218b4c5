"""The command of `make bench`, with measurements that take no time."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks import __main__ as command
from tests.benchmarks import bfloat16
from tests.benchmarks.measure import Figure


def test_figures_are_printed_and_written_skipped_ones_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = Figure("a step", 12.5, "ms", "another: 25 ms", 2.0, 1.5)
    monkeypatch.setattr(bfloat16, "_supported", lambda: False)
    measurements = {"cheap/one": lambda: [measured], "cheap/skipped": bfloat16.MEASUREMENTS["speed"]}
    monkeypatch.setattr(command, "_MEASUREMENTS", measurements)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # of the other tests, too
    monkeypatch.setattr(sys, "argv", ["benchmarks", "cheap"])
    monkeypatch.chdir(tmp_path)
    command.main()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    first, skipped = json.loads((tmp_path / "bench.json").read_text(), parse_constant=refuse)
    keys = ["name", "value", "unit", "compared_with", "ratio", "target", "met", "machine"]
    assert list(first) == list(skipped) == keys
    assert (first["value"], first["met"]) == (12.5, True)
    assert (skipped["value"], skipped["met"]) == (None, None)
    printed = capsys.readouterr().out
    assert "12.5" in printed
    assert "nan" not in printed.lower()


@pytest.mark.parametrize("name", ["head", "early_stop", "truth", "profiled"])
def test_commands_that_take_long_can_be_imported(name: str) -> None:
    assert importlib.import_module(f"tests.benchmarks.{name}").__doc__
