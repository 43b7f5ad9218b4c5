"""What is prepared in passes over rows on disk is what preprocessing makes of the raw rows in memory."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nasrec_automl.data import learning, parts, shards
from nasrec_automl.data import raw as raw_module
from nasrec_automl.data import spill as spill_module
from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.columns import DenseOptions, DerivedColumn
from nasrec_automl.data.counting import count_keys
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import TRAINING, Part, SplitKind
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.sources import open_source
from nasrec_automl.data.statistics import Statistics
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError
from tests.data.learned import fit
from tests.data.readers.rows import KDD12, PROFILE, write

Columns = dict[str, NDArray[Any]]


def arrays(data: PreparedData, part: Part) -> Columns:
    """All arrays of a part."""
    described = data.description.parts[part].shards
    folders = [data.path / shard.folder for shard in described]
    names = described[0].checksums
    return {name: np.concatenate([np.load(folder / f"{name}.npy") for folder in folders]) for name in names}


def random_rows(rows: int, rng: np.random.Generator, *, lists: bool) -> pd.DataFrame:
    """Raw rows of all kinds; `row` is their number."""
    numbers = rng.normal(size=(rows, 4)) * 10.0 ** rng.integers(-3, 4, size=4)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    mixed = [None, "", "NA", 7, 7.0, "7", "007", "b", " b ", True, 2**60, "é", 0.1]
    tags = [["x", "y", "z", "x"][: rng.integers(0, 5)] for _ in range(rows)]
    return pd.DataFrame(
        {
            "row": np.arange(rows),
            **{f"n{i}": numbers[:, i] for i in range(4)},
            "any": pd.Series([mixed[i] for i in rng.integers(0, len(mixed), size=rows)], dtype=object),
            "many": rng.integers(0, 60, size=rows),
            "hex": [f"{code:08x}" if code else "" for code in rng.integers(0, 40, size=rows)],
            "tags": pd.Series(tags if lists else ["|".join(row) for row in tags], dtype=object),
            "t": rng.integers(0, 10**6, size=rows),
        }
    )


table_options = st.fixed_dictionaries(
    {"min_count": st.integers(1, 4)},
    optional={"max_table_size": st.integers(2, 30), "hash_above": st.integers(2, 30)},
)
hashes = st.fixed_dictionaries({"kind": st.just("hash"), "max_table_size": st.integers(2, 30)})
transforms = st.builds(
    DenseOptions,
    transform=st.sampled_from(["log", "standardise", "quantile", "none"]),
    flag_missing=st.booleans(),
)


@st.composite
def sources(draw: st.DrawFn) -> RawData:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    frame = random_rows(draw(st.integers(300, 500)), rng, lists=draw(st.booleans()))
    rows = len(frame)
    fields = {name: draw(table_options | hashes) for name in ("any", "many", "hex", "hour", "tags")}
    fields["hex"]["format"] = "hex"
    fields["tags"]["max_values"] = draw(st.integers(2, 3))
    group = np.sort(rng.integers(0, rows, size=rows)) if draw(st.booleans()) else None
    return RawData(
        name="made up",
        frame=frame,
        label=pd.Series(rng.integers(0, 2, size=rows)),
        label_description="heads",
        dense={"row": DenseOptions(transform="none"), **{f"n{i}": draw(transforms) for i in range(4)}},
        categorical={name: CategoricalOptions(**options) for name, options in fields.items()},
        derived=(DerivedColumn(name="hour", source="t", kind="hour"),),
        time=frame["t"],
        weight=pd.Series(rng.integers(0, 5, size=rows) / 2) if draw(st.booleans()) else None,
        group=None if group is None else pd.Series(group),
    )


@settings(deadline=None, max_examples=40)
@given(
    source=sources(),
    split=st.sampled_from(["random", "time"]),
    chunk=st.integers(20, 200),
    segment=st.integers(50, 500),
    most=st.integers(5, 50),
)
def test_a_part_is_what_preprocessing_makes_of_its_raw_rows(
    source: RawData,
    split: SplitKind,
    chunk: int,
    segment: int,
    most: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_module, "CHUNK_ROWS", chunk)
        patch.setattr(spill_module, "_SEGMENT", segment)
        patch.setattr(learning, "count_keys", partial(count_keys, most=most))
        patch.setattr(parts, "_BLOCK", 70)
        patch.setattr(shards, "SHARD_ROWS", 90)
        try:
            data = prepare(source, folder, split=split)
        except DataError as error:
            assume("needs rows of both classes" not in str(error))
            raise
    data.verify()
    rows_of = {}
    for part in Part:
        made = arrays(data, part)
        rows = rows_of[part] = made["dense"][:, 0].astype(np.int64)
        assert (np.diff(rows) > 0).all(), "in their order"
        dense, ids = data.preprocessing.transform(source.frame.iloc[rows])
        np.testing.assert_array_equal(made["dense"], dense)
        np.testing.assert_array_equal(made["ids"], ids)
        np.testing.assert_array_equal(made["label"], source.label.iloc[rows])
        assert data.rows(part) == len(rows)
        assert ("weight" in made) == (source.weight is not None)
        if source.weight is not None:
            np.testing.assert_array_equal(made["weight"], source.weight.iloc[rows].astype(np.float32))
    assert np.array_equal(np.sort(np.concatenate(list(rows_of.values()))), source.frame["row"])
    if source.group is not None:
        groups = [set(source.group.iloc[rows]) for rows in rows_of.values()]
        assert sum(map(len, groups)) == source.group.nunique(), "no group is divided"
    training = np.sort(np.concatenate([rows_of[part] for part in TRAINING]))
    fitted = fit(
        source.frame.iloc[training], dense=source.dense, categorical=source.categorical, derived=source.derived
    )
    assert_same(data.preprocessing, fitted)
    assert Statistics.load(folder).rows == len(training)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(Part)


def assert_same(made: Preprocessing, fitted: Preprocessing) -> None:
    """Equal, but for the rounding of means and deviations that are added up in pieces."""
    for one, other in zip(made.dense, fitted.dense, strict=True):
        assert (one.mean, one.std) == pytest.approx((other.mean, other.std), rel=1e-9, abs=1e-12)
    alike = [column.model_copy(update={"mean": 0.0, "std": 1.0}) for column in made.dense]
    expected = [column.model_copy(update={"mean": 0.0, "std": 1.0}) for column in fitted.dense]
    assert alike == expected
    assert (made.categorical, made.derived) == (fitted.categorical, fitted.derived)


def simple(rows: int = 600) -> RawData:
    frame = random_rows(rows, np.random.default_rng(0), lists=False)
    return RawData(
        name="simple",
        frame=frame,
        label=frame["row"] % 2,
        label_description="odd",
        dense={"n0": DenseOptions(transform="quantile")},
        categorical={"many": CategoricalOptions(), "hex": CategoricalOptions(format="hex")},
        time=frame["t"],
    )


def test_chunks_do_not_change_what_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(simple(), tmp_path / "whole").fingerprint
    for rows in (1, 7, 599, 600):
        monkeypatch.setattr(raw_module, "CHUNK_ROWS", rows)
        assert prepare(simple(), tmp_path / str(rows)).fingerprint == whole


def test_an_empty_chunk_is_no_trouble(tmp_path: Path) -> None:
    class Halting(RawData):
        def chunks(self, rejections: Rejections) -> Any:
            for chunk in super().chunks(rejections):
                yield dataclasses.replace(chunk, **{
                    name: getattr(chunk, name)[:0] for name in ("label", "row", "time")
                }, table=chunk.table.iloc[:0])  # fmt: skip
                yield chunk

    halting = Halting(**vars(simple()))
    assert prepare(halting, tmp_path / "p").fingerprint == prepare(simple(), tmp_path / "q").fingerprint


def test_no_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="of 0 rows in all"):
        prepare(simple(0), tmp_path / "p")


def test_rows_without_a_time_have_no_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(simple(), tmp_path / "all")
    (period,) = Statistics.load(tmp_path / "all").periods
    assert sum(map(sum, period.rows.values())) == 600
    monkeypatch.setattr(raw_module, "CHUNK_ROWS", 100)
    monkeypatch.setattr(spill_module, "_SEGMENT", 100)
    for missing in ([3], [450], range(600)):
        time = simple().frame["t"].astype(float)
        time.iloc[list(missing)] = np.nan
        prepare(dataclasses.replace(simple(), time=time), tmp_path / "some")
        assert Statistics.load(tmp_path / "some").periods == ()


def test_progress_is_told_of_all_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_module, "CHUNK_ROWS", 250)
    told: list[tuple[str, int, int | None]] = []
    prepare(simple(), tmp_path / "p", on_progress=lambda *task: told.append(task))
    assert told == [
        *(("reading rows", rows, None) for rows in (250, 500, 600)),
        *(("learning columns", column, 3) for column in (1, 2, 3)),
        *(("writing rows", rows, 600) for rows in (250, 500, 600)),
    ]


def clicks(start: int, rows: int) -> list[str]:
    """Lines in Criteo's format whose first number is their own, with few categories."""
    rng = np.random.default_rng(start)
    lines = []
    for row in range(start, start + rows):
        numbers = [str(row), *(str(rng.integers(-2, 9)) if rng.random() < 0.8 else "" for _ in range(12))]
        codes = [f"{rng.integers(0, 6) * 305419896:08x}" if rng.random() < 0.9 else "" for _ in range(26)]
        lines.append("\t".join([str(row % 2), *numbers, *codes]))
    return lines


def row_numbers(made: Columns) -> list[int]:
    """The first number of each row, of its logarithm."""
    return np.rint(np.expm1(made["dense"][:, 0].astype(np.float64))).astype(int).tolist()


def test_files_of_validation_and_test_stay_those(tmp_path: Path) -> None:
    sizes = {"train": 300, "validation": 120, "test": 80}
    ends = np.cumsum(list(sizes.values())).tolist()
    for (name, rows), end in zip(sizes.items(), ends, strict=True):
        write(tmp_path / f"{name}.txt", clicks(end - rows, rows))
    source = open_source(
        "criteo",
        [tmp_path / "train.txt"],
        validation=[tmp_path / "validation.txt"],
        test=[tmp_path / "test.txt"],
    )
    data = prepare(source, tmp_path / "p", split="given")
    rows = {part: row_numbers(arrays(data, part)) for part in Part}
    assert sorted(rows[Part.TRAIN] + rows[Part.HEAD]) == list(range(300))
    assert sorted(rows[Part.SEARCH] + rows[Part.HPO] + rows[Part.CHOICE]) == list(range(300, 420))
    assert rows[Part.TEST] == list(range(420, 500))
    assert data.description.notes["rows_read"] == 500


def test_a_column_says_which_rows_are_validation_and_test(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folds = rng.choice(["train", "validation", "test"], size=600, p=[0.6, 0.25, 0.15])
    write(tmp_path / "f.csv", ["y,n,c,fold", *(f"{row % 2},{row},a,{fold}" for row, fold in enumerate(folds))])
    (tmp_path / "s.yaml").write_text("{label: y, dense: {n: none}, categorical: {c: }, split: fold}")
    source = open_source("table", [tmp_path / "f.csv"], schema=tmp_path / "s.yaml")
    data = prepare(source, tmp_path / "p")
    assert data.description.split.kind == "given"
    assert prepare(source, tmp_path / "q", split="given").fingerprint == data.fingerprint
    for other in ("random", "time"):
        with pytest.raises(DataError, match=f"validation and test, but the split asked for is {other}: ask for"):
            prepare(source, tmp_path / "r", split=other)
    expected = {**dict.fromkeys(Part, "validation"), **dict.fromkeys(TRAINING, "train"), Part.TEST: "test"}
    for part in Part:
        assert set(folds[arrays(data, part)["dense"][:, 0].astype(int)]) == {expected[part]}


@pytest.mark.parametrize(
    ("split", "naming"),
    [
        ("time", "this data set does not have: use random, or `given` with files"),
        ("given", "does not say which rows are training"),
    ],
)
def test_a_split_that_the_rows_do_not_have_is_refused_at_the_first(
    split: SplitKind, naming: str, tmp_path: Path
) -> None:
    source, read = dataclasses.replace(make_synthetic(3000, 0, fields=3, dense=1), time=None), []
    chunks = source.chunks

    def counted(rejections: Any) -> Iterator[Any]:
        for chunk in chunks(rejections):
            for part in range(3):
                read.append(part)
                yield chunk

    object.__setattr__(source, "chunks", counted)
    with pytest.raises(DataError, match=naming):
        prepare(source, tmp_path / "out", split=split)
    assert len(read) <= 2, "one more may be read ahead"
    assert not (tmp_path / "out").exists()


def test_a_table_without_a_time_learns_where_to_name_it(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("y,c\n" + "0,a\n1,b\n" * 50)
    (tmp_path / "s.yaml").write_text("label: y\ncategorical: {c: }\n")
    source = open_source("table", [tmp_path / "f.csv"], schema=tmp_path / "s.yaml")
    with pytest.raises(DataError, match="not have: name its column under `timestamp` in the schema, or use random"):
        prepare(source, tmp_path / "p", split="time")


def test_a_source_without_folds_cannot_give_a_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not say which rows are training"):
        prepare(simple(), tmp_path / "p", split="given")
    assert list(tmp_path.iterdir()) == []


def test_both_outcomes_of_a_line_are_in_one_part(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for row in range(600):
        shown = int(rng.integers(1, 6))
        lines.append("\t".join([str(rng.integers(0, shown + 1)), str(shown), *KDD12[2:5], str(row), *KDD12[6:]]))
    write(tmp_path / "training.txt", lines)
    (tmp_path / "userid_profile.txt").write_text(PROFILE)
    data = prepare(open_source("kdd12", [tmp_path], protocol="expanded"), tmp_path / "p")
    made = {part: arrays(data, part) for part in Part}
    rows = {part: row_numbers(columns) for part, columns in made.items()}
    assert sum(len(set(numbers)) for numbers in rows.values()) == 600
    assert sum(map(len, rows.values())) > 800
    shown = [int(line.split("\t")[1]) for line in lines]
    for part in Part:
        weight = pd.Series(made[part]["weight"]).groupby(rows[part]).sum()
        assert weight.tolist() == [shown[row] for row in weight.index]


@pytest.mark.parametrize("reading", [{}, {"keep_default_na": False}])
def test_serving_makes_the_tensors_of_training(tmp_path: Path, reading: dict[str, bool]) -> None:
    write(tmp_path / "train.txt", clicks(0, 500))
    data = prepare(open_source("criteo", [tmp_path / "train.txt"]), tmp_path / "p")
    names = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]
    frame = pd.read_csv(tmp_path / "train.txt", sep="\t", header=None, names=names, dtype=str, **reading)
    dense, ids = Preprocessing.load(tmp_path / "p" / "preprocessing.json").transform(frame)
    assert (ids > 0).mean() > 0.8, "most are known"
    for part in Part:
        made = arrays(data, part)
        rows = row_numbers(made)
        np.testing.assert_array_equal(made["dense"], dense[rows])
        np.testing.assert_array_equal(made["ids"], ids[rows])
        assert frame["label"].iloc[rows].astype(int).tolist() == made["label"].tolist()


def test_digits_that_were_read_as_numbers_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", clicks(0, 500))
    data = prepare(open_source("criteo", [tmp_path / "train.txt"]), tmp_path / "p")
    frame = pd.DataFrame({name: ["12345678"] for name in data.preprocessing.declared.raw_columns})
    data.preprocessing.transform(frame)
    with pytest.raises(DataError, match=r"column 'C3' .* holds 12345678: read the column as text"):
        data.preprocessing.transform(frame.astype({"C3": int}))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_time_that_is_none_is_a_bad_row(ending: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"y": np.arange(400) % 2, "at": np.arange(400) * 3600.0})
    schema = tmp_path / "schema.yaml"
    schema.write_text("{label: y, categorical: {hour: }, derived: [{name: hour, source: at, kind: hour}]}")
    path = tmp_path / f"rows.{ending}"

    def prepared() -> PreparedData:
        frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
        rejections = Rejections(0.01, tmp_path / "rejected.tsv")
        return prepare(open_source("table", [path], schema=schema), tmp_path / "p", rejections=rejections)

    frame.loc[7, "at"] = 1e15
    assert prepared().rows(*Part) == 399
    assert "at: a number beyond 100,000,000,000" in (tmp_path / "rejected.tsv").read_text()
    frame["at"] = 1.7e12 + frame["at"]
    with pytest.raises(DataError, match=r"400 of the 400 rows read are bad.*divide the column by 1000"):
        prepared()
