from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasrec_automl.data import spill as spill_module
from nasrec_automl.data.keys import Keys, keys_of_any, text_keys
from nasrec_automl.data.spill import Spill


def column(rows: int, type_: str, width: int, rng: np.random.Generator) -> NDArray[Any]:
    shape = (rows,) if width == 1 else (rows, width)
    return rng.integers(0, 2, size=shape).astype(type_) if type_ == "bool" else (rng.random(shape) * 200).astype(type_)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), max_size=5),
    kinds=st.lists(
        st.tuples(st.sampled_from(["bool", "uint8", "float32", "float64", "uint64"]), st.integers(1, 3)),
        min_size=1,
        max_size=3,
    ),
    segment=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_what_is_written_is_read_back(
    sizes: list[int],
    kinds: list[tuple[str, int]],
    segment: int,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(seed)
    rows = sum(sizes)
    whole = {f"a/b {i}": column(rows, type_, width, rng) for i, (type_, width) in enumerate(kinds)}
    spill = Spill(tmp_path_factory.mktemp("spill"))
    for end, size in zip(np.cumsum(sizes).tolist(), sizes, strict=True):
        spill.add({name: array[end - size : end] for name, array in whole.items()})
    assert (spill.rows, spill.chunks) == (rows, sizes)
    assert [count for _, count in spill.starts] == sizes
    for name, array in whole.items():
        assert spill.has(name) == bool(sizes)
        for start, count in spill.starts:
            read = spill.read(name, start, count)
            assert read.dtype == array.dtype
            np.testing.assert_array_equal(read, array[start : start + count])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill_module, "_SEGMENT", segment)
        read_together = list(spill.segments(*whole)) if sizes else []
    for arrays in read_together:
        assert all(array.size <= max(segment, array[:1].size) for array in arrays)
    if rows:
        for name, pieces in zip(whole, zip(*read_together, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(pieces), whole[name])


def test_a_column_of_later_reckoning_stands_beside_the_others(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.add({"label": np.arange(5)})
    for part in ([7, 8], [9, 9, 9]):
        spill.write("part", np.array(part, dtype=np.uint8))
    assert spill.rows == 5
    assert [array.tolist() for array in next(spill.segments("label", "part"))] == [[0, 1, 2, 3, 4], [7, 8, 9, 9, 9]]


def test_a_one_column_array_is_read_flat(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.add({"x": np.arange(3)[:, None]})
    assert spill.read("x", 1, 2).tolist() == [1, 2]


def test_texts_are_found_by_their_keys(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.write_texts("x", Keys(np.zeros(2, np.uint64), np.empty(0, np.uint64), []))
    for words in (["b", "a", "é\n", "a "], ["c", "a", None], ["b", "d"]):
        spill.write_texts("x", keys_of_any(pd.Series(words, dtype=object), "x"))
        spill.write_texts("other", keys_of_any(pd.Series(["z"]), "other"))
    for asked in (["d", "a", "é", "b", "c"], ["c"], []):
        assert spill.texts("x", text_keys(asked)) == asked
    assert spill.texts("other", text_keys(["z"])) == ["z"]
