"""Work that falls into independent parts, in processes beside each other."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import optuna
import torch

T = TypeVar("T")
_THREADS = "OMP_NUM_THREADS"


def on_each(work: Callable[..., T], parts: Sequence[tuple[Any, ...]], *, workers: int) -> list[T]:
    """Call `work(*part)` for every part, and return what the calls return, in the order of the parts.

    Where a call raises, the others end at once or never begin, and the exception passes on.

    Args:
        work: a function of a module.
        parts: its arguments, which can be pickled.
        workers: processes, each with its share of this process's threads; 1 for none beside this one.
    """
    if workers == 1:
        return [work(*part) for part in parts]
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    with (
        _environment(_THREADS, str(threads_of(workers))),
        ProcessPoolExecutor(workers, context, _start, (os.getpid(),)) as pool,
    ):
        futures = [pool.submit(work, *part) for part in parts]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in multiprocessing.active_children():  # else this process would wait for them at its own end
                worker.terminate()
            raise


def threads_of(workers: int) -> int:
    """Threads of each of so many workers."""
    return max(1, torch.get_num_threads() // workers)


def _start(parent: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process soon after its parent: a worker that goes on alone would hold nobody's lock."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable for processes that start meanwhile: scikit-learn has threads of its own, which torch cannot set."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
