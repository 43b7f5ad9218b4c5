"""Work that falls into independent parts, in processes beside each other."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import optuna
import torch

T = TypeVar("T")


def on_each(work: Callable[..., T], parts: Sequence[tuple[Any, ...]], *, workers: int) -> list[T]:
    """Call `work(*part)` for every part, and return what the calls return, in the order of the parts.

    Args:
        work: a function of a module.
        parts: its arguments, which can be pickled.
        workers: processes, each with its share of this process's threads; 1 for none beside this one.
    """
    if workers == 1 or len(parts) < 2:
        return [work(*part) for part in parts]
    context = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
    threads = max(1, torch.get_num_threads() // workers)
    with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(threads,)) as pool:
        return [future.result() for future in [pool.submit(work, *part) for part in parts]]


def _start(threads: int) -> None:
    torch.set_num_threads(threads)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
