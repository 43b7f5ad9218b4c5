"""Two processes train what one trains with the whole batch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nasrec_automl.training.ranks import Rank
from tests.ports import free_port

SCRIPT = Path(__file__).with_name("two_processes.py")


def train(folder: Path, count: int, *, weighted: bool, device: str = "cpu") -> list[dict[str, torch.Tensor]]:
    port = free_port()
    outputs = [folder / f"{count}-{number}.pt" for number in range(count)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, (number, count, port, output, weighted, device))],
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, output in enumerate(outputs)
    ]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    return [torch.load(output, weights_only=True) for output in outputs]


@pytest.mark.parametrize("weighted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path, weighted: bool) -> None:
    (alone,) = train(tmp_path, 1, weighted=weighted)
    first, second = train(tmp_path, 2, weighted=weighted)
    assert alone["losses"].min() < alone["losses"][0]
    for name, tensor in alone.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-7, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")
        if name != "losses":
            assert torch.equal(first[name], second[name]), f"{name}: the processes have drifted apart"
    torch.testing.assert_close(first["losses"], second["losses"])


def test_a_process_alone_needs_nothing_of_the_trainer() -> None:
    assert Rank().trainer_options() == {}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs that torch can use")
def test_two_gpus_train_as_one_process_of_the_cpu(tmp_path: Path) -> None:
    (alone,) = train(tmp_path, 1, weighted=False)
    first, second = train(tmp_path, 2, weighted=False, device="cuda")
    for name, tensor in alone.items():
        torch.testing.assert_close(first[name], tensor, rtol=1e-5, atol=1e-7, msg=name)
        if name != "losses":
            assert torch.equal(first[name], second[name]), f"{name}: the processes have drifted apart"
