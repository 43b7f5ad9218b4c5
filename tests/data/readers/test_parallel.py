import threading
import time
from collections.abc import Iterator

import pytest

from nasrec_automl.data.readers.parallel import map_ahead


def test_results_come_in_order_and_few_items_are_read_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3 == 0))
        return item

    results = map_ahead(work, items())
    first = [next(results) for _ in range(10)]
    assert len(taken) < 500
    assert first + list(results) == list(range(1000))


def test_an_error_reaches_the_reader_and_ends_the_threads() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda item: 1 // item, [1, 0, 1]))
    assert threading.active_count() == before


def most_at_once(expected: int, **options: int) -> int:
    """Return how many items were worked on at once; waits until as many as `expected` are."""
    together = threading.Barrier(expected)
    lock = threading.Lock()
    running = most = 0

    def work(item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(30)
        with lock:
            running -= 1

    list(map_ahead(work, range(2 * expected), **options))
    return most


@pytest.mark.parametrize(
    ("options", "cores", "expected"),
    [({"threads": 2}, 8, 2), ({"threads": 99}, 8, 8), ({}, 3, 3), ({}, 64, 8)],
)
def test_threads_are_as_many_as_cores_but_few(
    options: dict[str, int], cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasrec_automl.data.readers.parallel.pa.cpu_count", lambda: cores)
    assert most_at_once(expected, **options) == expected
