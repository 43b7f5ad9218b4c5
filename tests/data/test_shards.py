import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasrec_automl.data import shards
from nasrec_automl.data.parts import Part
from nasrec_automl.data.shards import ShardWriter, describe

RNG = np.random.default_rng(0)
NAMES = ("dense", "ids", "label", "weight")


def make(rows: int, weight: bool = True) -> dict[str, NDArray[Any]]:
    columns = {
        "dense": RNG.normal(size=(rows, 3)).astype(np.float32),
        "ids": RNG.integers(0, 60_000, size=(rows, 2)).astype(np.uint16),
        "label": RNG.integers(0, 2, size=rows).astype(np.uint8),
    }
    return {**columns, "weight": RNG.random(rows).astype(np.float32)} if weight else columns


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6), most=st.integers(1, 30), first=st.integers(0, 12))
def test_shards_together_are_what_came(
    sizes: list[int], most: int, first: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("data")
    whole = make(sum(sizes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_ROWS", most)
        writer = ShardWriter(folder, Part.HPO, first)
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            writer.add({name: array[end - size : end] for name, array in whole.items()})
        made = describe(folder, writer.close())
    assert made.rows == sum(sizes)
    assert [shard.rows for shard in made.shards[:-1]] == [most] * (len(made.shards) - 1)
    assert [shard.folder for shard in made.shards] == [f"hpo/{first + i:05d}" for i in range(len(made.shards))]
    for name in NAMES:
        arrays = [np.load(folder / shard.folder / f"{name}.npy", allow_pickle=False) for shard in made.shards]
        assert all(array.dtype == whole[name].dtype and array.flags.c_contiguous for array in arrays)
        assert [len(array) for array in arrays] == [shard.rows for shard in made.shards]
        np.testing.assert_array_equal(np.concatenate(arrays), whole[name])
        for shard, array in zip(made.shards, arrays, strict=True):
            assert shard.checksums[name] == hashlib.sha256(array.tobytes()).hexdigest()
    assert made.weight == pytest.approx(whole["weight"].sum(dtype=np.float64))
    assert made.positive_rate == pytest.approx(np.average(whole["label"], weights=whole["weight"]))


def test_rows_may_come_in_any_layout(tmp_path: Path) -> None:
    whole = make(30, weight=False)
    writer = ShardWriter(tmp_path, Part.TRAIN)
    writer.add({name: np.asfortranarray(array)[::2] for name, array in whole.items()})
    writer.close()
    for name, array in whole.items():
        np.testing.assert_array_equal(np.load(tmp_path / "train" / "00000" / f"{name}.npy"), array[::2])


def test_files_are_mapped_by_row(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, Part.TRAIN)
    for _ in range(3):
        writer.add(make(1000))
    writer.close()
    ids = np.load(tmp_path / "train" / "00000" / "ids.npy", mmap_mode="r")
    assert isinstance(ids, np.memmap)
    assert ids.shape == (3000, 2)
    assert ids.offset % 64 == 0


def test_the_positive_rate_without_weights_and_without_weight(tmp_path: Path) -> None:
    rows = make(40, weight=False)
    writer = ShardWriter(tmp_path, Part.TRAIN)
    writer.add(rows)
    made = describe(tmp_path, writer.close())
    assert made.weight is None
    assert made.positive_rate == pytest.approx(rows["label"].mean())
    writer = ShardWriter(tmp_path, Part.HEAD)
    writer.add({**rows, "weight": np.zeros(40, dtype=np.float32)})
    made = describe(tmp_path, writer.close())
    assert (made.positive_rate, made.weight) == (0.0, 0.0)


def test_no_rows_have_no_shards(tmp_path: Path) -> None:
    made = describe(tmp_path, ShardWriter(tmp_path, Part.TEST).close())
    assert (made.rows, made.positive_rate, made.weight, made.shards) == (0, 0.0, None, ())
    assert list(tmp_path.iterdir()) == []
