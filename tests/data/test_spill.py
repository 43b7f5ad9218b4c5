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
from nasrec_automl.data.spill import Spill, narrowed


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
    whole = {f"a/b {i}": column(sum(sizes), type_, width, rng) for i, (type_, width) in enumerate(kinds)}
    read_as = {"float32": np.float64, "float64": np.float64, "uint64": np.uint64}
    spill = Spill(tmp_path_factory.mktemp("spill"))
    ends = np.cumsum(sizes).tolist()
    for end, size in zip(ends, sizes, strict=True):
        spill.add({name: narrowed(array[end - size : end]) for name, array in whole.items()})
    assert (spill.rows, len(spill.chunks)) == (sum(sizes), len(sizes))
    for name, array in whole.items():
        assert spill.has(name) == bool(sizes)
        for chunk, end, size in zip(spill.chunks, ends, sizes, strict=True):
            read = spill.read(name, chunk)
            assert read.dtype == read_as.get(str(array.dtype), array.dtype)
            np.testing.assert_array_equal(read, array[end - size : end])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spill_module, "_SEGMENT", segment)
        together = list(spill.segments(*whole)) if sizes else []
    assert all(len({len(array) for array in arrays}) == 1 for arrays in together)
    assert all(len(arrays[0]) < segment + max(sizes) for arrays in together)
    if sum(sizes):
        for name, pieces in zip(whole, zip(*together, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate(pieces), whole[name])


def test_a_column_of_later_reckoning_stands_beside_the_others(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    for label in ([0, 1], [2, 3, 4]):
        spill.add({"label": np.array(label, dtype=np.uint8)})
    for part in ([7, 8], [9, 9, 9]):
        spill.write("part", np.array(part, dtype=np.uint8))
    assert (spill.rows, list(spill.chunks)) == (5, [0, 1])
    assert [array.tolist() for array in next(spill.segments("label", "part"))] == [[0, 1, 2, 3, 4], [7, 8, 9, 9, 9]]


def test_what_is_kept_of_each_chunk_and_column_is_small() -> None:
    assert not hasattr(spill_module._Piece(0, np.dtype("uint32"), (1, 1)), "__dict__")


@given(
    values=st.lists(st.floats(width=32) | st.floats() | st.sampled_from([np.nan, -0.0, 0.1, 2.0**24 + 1]), max_size=5),
    keys=st.lists(st.integers(0, 2**33) | st.sampled_from([2**32 - 1, 2**32, 2**64 - 1]), max_size=5),
)
def test_narrowing_loses_nothing(values: list[float], keys: list[int]) -> None:
    for array in (np.array(values, dtype=np.float64), np.array(keys, dtype=np.uint64)):
        narrow = narrowed(array)
        assert narrow.dtype.itemsize <= array.dtype.itemsize
        np.testing.assert_array_equal(narrow.astype(array.dtype), array)
        if array.dtype == np.float64:
            np.testing.assert_array_equal(np.signbit(narrow), np.signbit(array))
    assert narrowed(np.arange(3, dtype=np.float64)).dtype == np.float32
    assert narrowed(np.arange(3, dtype=np.uint64)).dtype == np.uint32


def test_texts_are_found_by_their_keys(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.write_texts("x", Keys(np.zeros(2, np.uint64), np.empty(0, np.uint64), []))
    for words in (["b", "a", "é\n", "a "], ["c", "a", None], ["b", "d"]):
        spill.write_texts("x", keys_of_any(pd.Series(words, dtype=object), "x"))
        spill.write_texts("other", keys_of_any(pd.Series(["z"]), "other"))
    for asked in (["d", "a", "é", "b", "c"], ["c"]):
        assert spill.texts("x", text_keys(asked)) == asked
    assert spill.texts("other", text_keys(["z"])) == ["z"]


def test_wide_columns_are_read_fewer_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill_module, "_SEGMENT", 10)
    spill = Spill(tmp_path)
    for _ in range(4):
        spill.add({"wide": np.ones((2, 5), np.uint64), "narrow": np.ones(2, bool)})
    for names in (("wide", "narrow"), ("narrow", "wide")):
        assert [len(arrays[0]) for arrays in spill.segments(*names)] == [2, 2, 2, 2]
    assert [len(array) for (array,) in spill.segments("narrow")] == [8]


def test_reading_texts_ends_with_the_last_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = Spill(tmp_path)
    for words in (["b"], ["a", "b"], ["c"]):
        spill.write_texts("x", keys_of_any(pd.Series(words), "x"))
    twice = Keys(np.zeros(2, np.uint64), np.repeat(text_keys(["d"]), 2), ["d", "d"])
    spill.write_texts("x", twice)
    seen: list[int] = []

    def counted(array: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
        seen.append(len(values))
        return np.ndarray.searchsorted(array, values)

    monkeypatch.setattr("nasrec_automl.data.spill.np.searchsorted", counted)
    assert spill.texts("x", text_keys(["b", "a"])) == ["b", "a"]
    assert seen == [1, 2]
    assert spill.texts("x", text_keys(["d", "c"])) == ["d", "c"]
    assert seen == [1, 2, 1, 2, 1, 2]


def test_columns_of_texts_are_no_open_files(tmp_path: Path) -> None:
    spill, before = Spill(tmp_path), len(list(Path("/proc/self/fd").iterdir()))
    for word in ("a", "b"):
        for number in range(20):
            spill.write_texts(f"{number}", keys_of_any(pd.Series([word]), "x"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert spill.texts("7", text_keys(["b", "a"])) == ["b", "a"]
    spill.write_texts("7", keys_of_any(pd.Series(["c"]), "x"))
    assert spill.texts("7", text_keys(["c", "a"])) == ["c", "a"]
