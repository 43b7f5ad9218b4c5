from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nasrec_automl.config_experiment import ExperimentConfig, MachineConfig
from nasrec_automl.experiment.cores import share_cores


@pytest.fixture(autouse=True)
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("concurrency", "machines", "threads"), [(1, 0, 8), (2, 0, 4), (3, 0, 2), (20, 0, 1), (4, 2, 4)]
)
def test_trials_side_by_side_divide_the_cores(concurrency: int, machines: int, threads: int) -> None:
    machine = MachineConfig(host="node", user="me", ssh_key_file=Path("key"))
    config = ExperimentConfig(concurrency=concurrency, machines=(machine,) * machines, nni_manager_ip="10.0.0.1")
    share_cores(config)
    assert torch.get_num_threads() == threads


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    share_cores(ExperimentConfig(concurrency=4))
    assert torch.get_num_threads() == 8
