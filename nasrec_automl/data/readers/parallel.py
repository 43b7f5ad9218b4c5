"""Work on a stream in several threads, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 8  # items in memory for each thread
_THREADS = 8  # memory must not grow with the cores, of which a container may have few


def map_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = _AHEAD, threads: int = _THREADS
) -> Iterator[Result]:
    """Apply `work` to each item in several threads, no more than Arrow uses.

    Args:
        work: what to do.
        items: read as they are needed.
        ahead: items of each thread that are in memory before who reads the results has taken them.
        threads: at most so many.
    """
    threads = min(threads, pa.cpu_count())
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= threads * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
