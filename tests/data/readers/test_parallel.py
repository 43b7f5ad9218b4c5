import threading
import time
from collections.abc import Iterator

import pytest

from nasrec_automl.data.readers.parallel import in_order


def test_results_come_in_order_and_few_items_are_read_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3 == 0))
        return item

    results = in_order(work, items())
    first = [next(results) for _ in range(10)]
    assert len(taken) < 500
    assert first + list(results) == list(range(1000))


def test_an_error_reaches_the_reader_and_ends_the_threads() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: 1 // item, [1, 0, 1]))
    assert threading.active_count() == before
