import logging
import resource
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from nasrec_automl.errors import CheckpointError, JobError
from nasrec_automl.processes import own_host
from nasrec_automl.training.lightning import (
    checkpoint_steps,
    drop_unreadable,
    quiet,
    quiet_trainer,
    raising_interrupts,
)
from nasrec_automl.training.optimizer import RowAdagrad


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return (self.weight - batch).square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_it_trains_so_many_steps_and_leaves_disk_and_terminal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = quiet_trainer(max_steps=3, device="cpu", callbacks=[])
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.fit(Module(), DataLoader(torch.ones(10, 1)))
    assert trainer.global_step == 3
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["cuda:0", "gpu", "mps", ""])
def test_another_device_does_not_train_on_the_cpu(device: str) -> None:
    with pytest.raises(JobError, match=f"^device must be one of cpu, cuda, but it is '{device}'$"):
        quiet_trainer(max_steps=1, device=device, callbacks=[])


def test_a_checkpoint_is_written_where_one_is_asked_for(tmp_path: Path) -> None:
    keeper = ModelCheckpoint(dirpath=tmp_path, filename="last", every_n_train_steps=2)
    trainer = quiet_trainer(max_steps=4, device="cpu", callbacks=[keeper])
    with quiet():
        trainer.fit(Module(), DataLoader(torch.ones(10, 1)))
    assert (tmp_path / "last.ckpt").is_file()


def test_other_warnings_are_shown_and_the_log_level_is_given_back() -> None:
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    with pytest.warns(UserWarning, match="mine"), quiet():
        warnings.warn("mine", UserWarning, stacklevel=1)
    assert logger.level == before


@pytest.fixture
def handlers() -> Iterator[None]:
    """What these tests were started with comes back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_told_to_stop_is_interrupted(number: signal.Signals) -> None:
    class Killed(pl.Callback):
        def on_train_batch_end(self, *args: object) -> None:
            signal.raise_signal(number)

    trainer = quiet_trainer(max_steps=5, device="cpu", callbacks=[Killed()])
    with pytest.raises(KeyboardInterrupt), quiet(), raising_interrupts():
        trainer.fit(Module(), DataLoader(torch.ones(10, 1)))
    assert trainer.global_step == 1


def test_a_checkpoint_goes_to_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to the system's temporary files, nor in words of torch's where the disk is full."""
    trainer = quiet_trainer(max_steps=1, device="cpu", callbacks=[])
    with quiet():
        trainer.fit(Module(), DataLoader(torch.ones(10, 1)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    path = tmp_path / "folder" / "a.ckpt"
    trainer.save_checkpoint(path)
    before = path.read_bytes()
    assert torch.load(path, weights_only=True)["global_step"] == 1
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            trainer.save_checkpoint(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    ended = subprocess.Popen(["true"])
    ended.wait()
    (path.parent / f".a.ckpt.{own_host()}.{ended.pid}.1.partial").touch()  # of a process that was killed
    trainer.save_checkpoint(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_checkpoint_is_read_where_it_is_needed_and_let_go(tmp_path: Path) -> None:
    path, size = tmp_path / "a.ckpt", 1 << 10

    class Large(Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(size))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return RowAdagrad(self.parameters(), lr=0.1)

    class Keeper(pl.Callback):
        kept, was_mapped = torch.zeros(0), False

        def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            if not len(self.kept):
                self.kept = torch.rand(size)
                trainer.save_checkpoint(path)

        def state_dict(self) -> dict[str, torch.Tensor]:
            return {"kept": self.kept}

        def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
            self.kept, self.was_mapped = state["kept"], is_mapped()

    def is_mapped() -> bool:
        return str(path) in Path("/proc/self/maps").read_text()

    def train(**options: object) -> tuple[Large, Keeper, pl.Trainer]:
        module, keeper = Large(), Keeper()
        trainer = quiet_trainer(max_steps=1, device="cpu", callbacks=[keeper])
        with quiet():
            trainer.fit(module, DataLoader(torch.ones(1, 1)), **options)
        return module, keeper, trainer

    first, again = train(), train(ckpt_path=path)
    assert again[1].was_mapped
    assert not is_mapped()
    assert torch.equal(again[0].weight, first[0].weight)
    assert torch.equal(again[1].kept, first[1].kept)
    sums = [trainer.optimizers[0].state_dict()["state"][0]["sum"] for trainer in (first[2], again[2])]
    assert torch.equal(*sums)


def test_a_checkpoint_that_memory_cannot_map_is_kept_and_a_broken_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"global_step": 3, "table": torch.zeros(25_000_000)}, path)
    assert checkpoint_steps(path) == 3
    most = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + path.stat().st_size // 2, most[1]))
    try:
        with pytest.raises(CheckpointError, match=r"Cannot allocate memory.*mend it and start again"):
            drop_unreadable(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, most)
    assert checkpoint_steps(path) == 3
    content = path.read_bytes()
    path.write_bytes(content[:60] + b"\xff" * 20 + content[80:])  # no crash does this, but another version may
    with pytest.raises(CheckpointError, match=r"cannot be read now .*delete it, and the training begins anew"):
        drop_unreadable(path)
    for broken in (b"", content[:-100]):
        path.write_bytes(broken)
        assert checkpoint_steps(path) == -1
        drop_unreadable(path)
        assert not path.exists()
    drop_unreadable(path)
