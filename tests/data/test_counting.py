from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.counting import count_keys

few = st.integers(0, 12) | st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(pieces=st.lists(st.lists(few, max_size=30), max_size=5), most=st.integers(1, 20), width=st.sampled_from([1, 2]))
def test_keys_are_counted_however_few_fit_in_memory(pieces: list[list[int]], most: int, width: int) -> None:
    readings = 0

    def read() -> list[np.ndarray]:
        nonlocal readings
        readings += 1
        arrays = [np.array(piece, dtype=np.uint64) for piece in pieces]
        return [array[: len(array) // width * width].reshape(-1, width) for array in arrays]

    expected = Counter(key for piece in read() for key in piece.ravel().tolist() if key)
    readings = 0
    found: Counter[int] = Counter()
    for keys, counts in count_keys(read, most=most):
        assert (keys.dtype, counts.dtype) == (np.uint64, np.int64)
        assert len(keys) <= most
        assert (keys[1:] > keys[:-1]).all()
        assert not found.keys() & keys.tolist(), "no key is in two shares"
        found.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
    assert found == expected
    assert (readings > 1) == (len(expected) > most), "shares are for what does not fit"


def test_shares_are_even(monkeypatch: object) -> None:
    keys = np.arange(1, 40_001, dtype=np.uint64)  # neighbours, as ids of hex digits may be
    readings = 0

    def read() -> list[np.ndarray]:
        nonlocal readings
        readings += 1
        return [keys]

    assert sum(len(share) for share, _ in count_keys(read, most=12_000)) == 40_000
    assert readings <= 1 + 4, "four shares of ten thousand"
