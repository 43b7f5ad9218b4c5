import contextlib
import dataclasses
import errno
import json
import pickle
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nasrec_automl.data import shards
from nasrec_automl.data.columns import DenseOptions
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.joined import Joined
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.rows import Rows
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError


@pytest.fixture(scope="module")
def raw() -> RawData:
    return make_synthetic(2000, seed=4)


@pytest.fixture(scope="module")
def folder(raw: RawData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "prepared"
    prepare(raw, path)
    return path


def test_parts_hold_all_rows_and_labels(folder: Path, raw: RawData) -> None:
    data = PreparedData.open(folder, test=True)
    assert sum(data.rows(part) for part in Part) == 2000
    labels = np.concatenate([data.part(part).label for part in Part])
    assert labels.sum() == raw.label.sum()
    for part in Part:
        assert len(data.part(part)) == data.rows(part)
        assert data.description.parts[part].positive_rate == pytest.approx(data.part(part).label.mean())


def test_a_part_is_what_preprocessing_makes_of_its_raw_rows(folder: Path, raw: RawData) -> None:
    data = PreparedData.open(folder, test=True)
    dense, ids = data.preprocessing.transform(raw.frame)
    whole = {(*d.tolist(), *i.tolist(), y) for d, i, y in zip(dense, ids, raw.label, strict=True)}
    rows = data.part(*Part)
    stored = {(*d.tolist(), *i.tolist(), y) for d, i, y in zip(rows.dense, rows.ids, rows.label, strict=True)}
    assert stored == whole


def test_statistics_are_those_of_the_training_rows_alone(tmp_path: Path) -> None:
    # By time the last rows are test: what they alone hold must not be known.
    rows = 1000
    frame = pd.DataFrame({"x": np.r_[np.zeros(800), np.full(200, 100.0)], "c": ["old"] * 800 + ["new"] * 200})
    raw = RawData(
        name="late",
        frame=frame,
        label=pd.Series(np.arange(rows) % 2),
        label_description="even",
        dense={"x": DenseOptions(transform="standardise")},
        categorical={"c": make_synthetic(1, 0).categorical["field1"]},
        time=pd.Series(np.arange(rows)),
    )
    data = prepare(raw, tmp_path / "p", split="time")
    assert data.preprocessing.dense[0].mean == 0
    assert data.preprocessing.categorical[0].vocabulary == {"old": 1}
    assert set(data.part("search").ids[:, 0]) == {0}


def test_a_single_part_stays_in_its_file_and_several_are_joined(folder: Path) -> None:
    data = PreparedData.open(folder)
    train = data.part("train")
    assert isinstance(train.ids.base, np.memmap)
    assert not train.ids.flags.writeable
    joined = data.part(Part.TRAIN, Part.HEAD)
    assert len(joined) == data.rows("train") + data.rows("head")
    np.testing.assert_array_equal(joined.ids[: len(train)], train.ids)
    assert isinstance(joined.ids, Joined)
    assert joined.ids.arrays[0].base is not None, "not copied"


def test_arrays_are_small_and_row_major(folder: Path) -> None:
    train = PreparedData.open(folder).part("train")
    assert [str(array.dtype) for array in (train.dense, train.ids, train.label)] == [
        "float32",
        "uint8",
        "uint8",
    ]
    assert train.dense.flags.c_contiguous
    assert train.ids.flags.c_contiguous


def test_test_is_closed_unless_asked_for(folder: Path) -> None:
    data = PreparedData.open(folder)
    assert data.rows("test") > 0
    for names in (["test"], ["train", "test"]):
        with pytest.raises(DataError, match="read once, by the final stage"):
            data.part(*names)
    assert len(PreparedData.open(folder, test=True).part("test")) == data.rows("test")


def test_the_fingerprint_is_that_of_the_tensors(folder: Path, raw: RawData, tmp_path: Path) -> None:
    first = PreparedData.open(folder).fingerprint
    assert prepare(raw, tmp_path / "again").fingerprint == first
    assert prepare(raw, tmp_path / "seed", seed=1).fingerprint != first
    swapped = dataclasses.replace(raw, label=1 - raw.label)
    assert prepare(swapped, tmp_path / "label").fingerprint != first


def test_dataset_json_tells_what_the_folder_is(folder: Path, raw: RawData) -> None:
    content = json.loads((folder / "dataset.json").read_text())
    assert content["format"] == "nasrec-automl prepared data"
    assert content["version"] == 2
    assert content["split"] == {"kind": "random", "seed": 2018}
    assert list(content["parts"]) == ["train", "head", "search", "hpo", "choice", "test"]
    assert content["notes"]["oracle_log_loss"] == raw.notes["oracle_log_loss"]
    schema = PreparedData.open(folder).schema(8)
    assert [field["table_size"] for field in content["fields"]] == list(schema.table_sizes)
    assert tuple(content["dense"]) == schema.dense


def test_another_folder_is_no_prepared_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing: expected a prepared data set.*nasrec-automl prepare"):
        PreparedData.open(tmp_path / "missing")
    (tmp_path / "dataset.json").write_text('{"format": "other"}')
    with pytest.raises(DataError, match=r"not a prepared data set of version 2.*nasrec-automl prepare"):
        PreparedData.open(tmp_path)


def test_a_limit_of_open_files_is_named(raw: RawData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = prepare(raw, tmp_path / "p")

    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(DataError, match=r"more files than a process may open here: raise the limit \(`ulimit -n`\)"):
        data.part("train")


LIMITED = """
import resource, sys
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
soft, hard = int(sys.argv[2]), int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
data = PreparedData.open(sys.argv[1])
parts = [data.part("train"), data.part("train", "head")]
print(*map(len, parts), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.fixture(scope="module")
def many_shards(raw: RawData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_ROWS", 20)
        prepare(raw, path)
    return path


def limited(folder: Path, soft: int, hard: int) -> "subprocess.CompletedProcess[str]":
    """Open a part twice in a process that may open so many files."""
    command = [sys.executable, "-c", LIMITED, str(folder), str(soft), str(hard)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_set_of_many_files_raises_the_limit_as_far_as_it_may(many_shards: Path) -> None:
    files = len(list(many_shards.rglob("*.npy")))
    assert files >= 300
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = limited(many_shards, 100, most)
    train, head = (PreparedData.open(many_shards).rows(part) for part in ("train", "head"))
    raised = 4 * files if most == resource.RLIM_INFINITY else min(4 * files, most)
    assert done.stdout.split() == [str(number) for number in (train, train + head, raised, most)], done.stderr
    assert limited(many_shards, 100, 900).stdout.split()[2:] == ["900", "900"]
    done = limited(many_shards, 100, 200)
    assert re.search(
        r"DataError: .*more files than a process may open here: raise the limit \(`ulimit -n`\)", done.stderr
    )


def test_a_set_of_few_files_leaves_the_limit(folder: Path) -> None:
    done = limited(folder, 100, 900)
    assert done.stdout.split()[2:] == ["100", "900"], done.stderr


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "type", "columns", "gone"])
def test_damaged_arrays_are_named(raw: RawData, tmp_path: Path, damage: str) -> None:
    data = prepare(raw, tmp_path / "p")
    path = tmp_path / "p" / "train" / "00000" / "ids.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        np.save(path, np.zeros((3, 3)))
    elif damage == "type":
        np.save(path, np.load(path).astype(np.int8))
    elif damage == "columns":
        np.save(path, np.asfortranarray(np.load(path)))
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"train/00000/ids\.npy: expected an array of shape .*prepare the data again"):
        data.part("train")


@pytest.mark.parametrize("parts", [("train",), ("train", "head"), ("test",)])
def test_pickled_rows_are_opened_again_from_their_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, parts: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder.parent)
    rows = PreparedData.open(folder.name, test=True).part(*parts)
    pickled = pickle.dumps(rows)
    assert len(pickled) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(pickled)
    for name in ("dense", "ids", "label"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert pickle.dumps(again) == pickled


def test_a_pickle_of_what_was_made_of_rows_is_of_just_that(folder: Path) -> None:
    rows = PreparedData.open(folder).part("train", "head")
    others = [
        rows.take(slice(10, 20)),
        rows.sample(10, seed=0),
        dataclasses.replace(rows, label=np.zeros(len(rows))),
        Rows.concatenate([rows, rows]),
    ]
    for other in others:
        again = pickle.loads(pickle.dumps(other))
        assert len(again) == len(other)
        np.testing.assert_array_equal(again.ids, other.ids)
        np.testing.assert_array_equal(again.label, other.label)


def test_pickled_rows_of_data_that_were_prepared_anew_are_refused(raw: RawData, tmp_path: Path) -> None:
    path = tmp_path / "prepared"
    prepare(raw, path)
    pickled = pickle.dumps(PreparedData.open(path).part("train"))
    shutil.rmtree(path)
    prepare(make_synthetic(2000, seed=5), path)
    with pytest.raises(DataError, match=r"prepared: the data were prepared anew .*: start that script again"):
        pickle.loads(pickled)


def test_an_unknown_part_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="no part 'valid'; the parts are train, head, search, hpo, choice, test"):
        PreparedData.open(folder).part("valid")
    with pytest.raises(DataError, match="at least one"):
        PreparedData.open(folder).part()


def test_weights_are_kept(raw: RawData, tmp_path: Path) -> None:
    weight = pd.Series(np.arange(len(raw.frame)) % 3 + 0.5)
    data = prepare(dataclasses.replace(raw, weight=weight), tmp_path / "p")
    kept = {part: np.load(tmp_path / "p" / part / "00000" / "weight.npy") for part in Part}
    assert sorted(np.concatenate(list(kept.values()))) == sorted(weight)
    for part, of_part in kept.items():
        label = np.load(tmp_path / "p" / part / "00000" / "label.npy")
        assert data.description.parts[part].weight == of_part.sum()
        assert data.description.parts[part].positive_rate == pytest.approx(np.average(label, weights=of_part))
    assert prepare(raw, tmp_path / "without").fingerprint != data.fingerprint


def test_a_part_of_several_shards_is_one(raw: RawData, folder: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_ROWS", 100)
        data = prepare(raw, tmp_path / "p")
    one = PreparedData.open(folder)
    assert [shard.rows for shard in data.description.parts[Part.SEARCH].shards] == [100] * (
        len(one.part("search")) // 100
    )
    for name in ("dense", "ids", "label"):
        np.testing.assert_array_equal(getattr(data.part("train"), name), getattr(one.part("train"), name))


def test_a_whole_folder_passes_verification(folder: Path) -> None:
    PreparedData.open(folder).verify()


def loaded(path: Path) -> tuple[object, ...]:
    """All that an array is; nothing where it cannot be read."""
    with contextlib.suppress(Exception):
        array = np.load(path)
        return array.dtype, array.shape, array.flags.c_contiguous, array.tobytes()
    return ()


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_flipped_byte_is_found_and_its_file_named(folder: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(folder.rglob("*.npy"))))
    content, before = path.read_bytes(), loaded(path)
    other = bytearray(content)
    other[data.draw(st.integers(0, len(content) - 1) | st.integers(0, 127))] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(other)
        assume(loaded(path) != before)  # a header may say the same in several ways
        with pytest.raises(DataError, match=re.escape(str(path))):
            PreparedData.open(folder).verify()
    finally:
        path.write_bytes(content)
