"""The kept model on files."""

import errno
import gzip
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nasrec_automl import load_model
from nasrec_automl.data.readers import inputs
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.errors import DataError
from nasrec_automl.network import Subnet
from nasrec_automl.pipeline.model_folder import Model
from nasrec_automl.pipeline.predict import predict_file
from nasrec_automl.processes import own_host
from nasrec_automl.space import load_search_space
from tests.data.learned import fit
from tests.data.readers.rows import criteo_lines, read_all, write
from tests.pipeline.conftest import Varied


def test_a_file_with_a_header_alone_gives_a_header_alone(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.head(0).to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text() == "probability\n"


@pytest.mark.parametrize("ending", ["csv", "tsv", "csv.gz", "tsv.gz"])
def test_a_file_in_chunks_gives_the_same(
    model: Model, frame: pd.DataFrame, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / f"rows.{ending}", tmp_path / "out.csv"
    frame.to_csv(source, index=False, sep="\t" if "tsv" in ending else ",")
    monkeypatch.setattr(inputs, "_BLOCK", 4000)
    heard: list[int] = []
    assert predict_file(model, source, output, on_rows=heard.append) == 500
    assert len(heard) > 3
    assert heard == sorted(heard)
    assert heard[-1] == 500
    written = pd.read_csv(output)
    assert list(written) == ["probability"]
    np.testing.assert_allclose(written["probability"], model.predict(frame), atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, "out.csv"])


def test_a_file_without_a_column_leaves_the_old_output(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    source, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    name = model.preprocessing.declared.raw_columns[0]
    frame.drop(columns=name).to_csv(source, index=False)
    output.write_text("old")
    with pytest.raises(DataError, match=name):
        predict_file(model, source, output)
    assert output.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_output_is_not_what_is_read(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    source, schema, link = tmp_path / "rows.csv", tmp_path / "schema.yaml", tmp_path / "link.csv"
    frame.to_csv(source, index=False)
    schema.write_text("{label: y, categorical: {c: }}")
    link.symlink_to(source)
    before = source.read_bytes()
    for output in (source, link, schema):
        with pytest.raises(DataError, match=rf"{output.name}: is read, and would be replaced by its probabilities"):
            predict_file(model, source, output, schema=schema)
    assert source.read_bytes() == before
    assert predict_file(model, link, tmp_path / "out.csv") == 500


def test_a_schema_goes_whose_hash_has_its_size_from_the_job(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    source, schema = tmp_path / "rows.csv", tmp_path / "schema.yaml"
    frame.to_csv(source, index=False, sep=";")
    schema.write_text("{label: y, categorical: {c: {kind: hash}}, separator: ';'}")
    assert predict_file(model, source, tmp_path / "out.csv", schema=schema) == 500


def test_a_folder_without_permission_is_named(
    model: Model, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    frame.to_csv(tmp_path / "rows.csv", index=False)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(DataError, match=r"out\.csv: nothing can be written in its folder \(Permission denied\)"):
            predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_what_is_no_table_is_named(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: no such file; expected CSV, TSV or Parquet"):
        predict_file(model, tmp_path / "gone.csv", tmp_path / "out.csv")
    empty, binary = tmp_path / "empty.csv", tmp_path / "binary.csv"
    empty.write_text("")
    binary.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    for path in (empty, binary):
        with pytest.raises(DataError, match=rf"{path.name}(: the file is empty|, line 1: expected the columns' names)"):
            predict_file(model, path, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("ending", ["csv", "parquet", "lists.parquet"])
def test_columns_of_every_kind(varied: Varied, ending: str, tmp_path: Path) -> None:
    model, source = load_model(varied.folder), tmp_path / f"rows.{ending}"
    expected = model.predict(varied.frame)
    assert expected.std() > 0.01
    if ending == "csv":
        varied.frame.to_csv(source, index=False)
    else:
        frame = varied.frame.copy()
        if ending == "lists.parquet":
            for name, separator in (("tags", "|"), ("words", " ")):
                frame[name] = [None if pd.isna(text) else text.split(separator) for text in frame[name]]
            frame["id"] = frame["id"].astype("uint64")
            np.testing.assert_array_equal(model.predict(frame), expected)
        frame.to_parquet(source)
    assert predict_file(model, source, tmp_path / "out.csv") == 200
    np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv")["probability"], expected, atol=1e-7)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_are_kept_beside_the_probability(varied: Varied, ending: str, tmp_path: Path) -> None:
    model, source = load_model(varied.folder), tmp_path / f"rows.{ending}"
    frame = varied.frame.assign(key=2**60 + varied.frame.index, note='a "b", c')
    frame.loc[frame.index[3], "note"] = None
    frame["shown"] = pd.Timestamp("2024-05-31 14:00") + pd.to_timedelta(frame.index, unit="s")
    frame.to_csv(source, index=False) if ending == "csv" else frame.to_parquet(source)
    keep = ["key", "note", "id", "price", "shown", "key"]
    assert predict_file(model, source, tmp_path / "out.csv", keep=keep) == 200
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written) == ["key", "note", "id", "price", "shown", "probability"]
    assert (pd.to_datetime(written["shown"], utc=True) == frame["shown"].dt.tz_localize("UTC").array).all()
    assert written["key"].tolist() == frame["key"].tolist()
    assert written["note"].isna().sum() == 1
    assert written["note"][0] == 'a "b", c'
    np.testing.assert_array_equal(written["price"], frame["price"])
    assert written["id"].astype(str).tolist() == frame["id"].tolist()
    np.testing.assert_allclose(written["probability"], model.predict(frame), atol=1e-7)


def test_a_file_of_another_kind_is_not_replaced(varied: Varied, tmp_path: Path) -> None:
    varied.frame.to_csv(tmp_path / "rows.csv", index=False)
    output = tmp_path / "preprocessing.json"
    output.write_text("{}")
    with pytest.raises(DataError, match=r"preprocessing.json: is there, and would be replaced by .* \(\.csv, "):
        predict_file(load_model(varied.folder), tmp_path / "rows.csv", output)
    assert output.read_text() == "{}"


def test_whole_numbers_of_a_feature_are_kept_exactly_or_not_at_all(varied: Varied, tmp_path: Path) -> None:
    model, source, output = load_model(varied.folder), tmp_path / "rows.csv", tmp_path / "out.csv"
    frame = varied.frame.assign(age=1_700_000_000_123_456 + varied.frame.index)
    frame.to_csv(source, index=False)
    predict_file(model, source, output, keep=["age"])
    assert pd.read_csv(output, dtype=str)["age"].tolist() == frame["age"].astype(str).tolist()
    frame.assign(age=2**60).to_csv(source, index=False)
    with pytest.raises(DataError, match=r"'age' is a number feature, and its whole numbers beyond 2\*\*53"):
        predict_file(model, source, output, keep=["age"])


def test_what_cannot_be_kept_is_named(varied: Varied, tmp_path: Path) -> None:
    model, source, output = load_model(varied.folder), tmp_path / "rows.csv", tmp_path / "out.csv"
    varied.frame.to_csv(source, index=False)
    with pytest.raises(DataError, match="lacks the columns user"):
        predict_file(model, source, output, keep=["user"])
    with pytest.raises(DataError, match="'tags' holds several values a row"):
        predict_file(model, source, output, keep=["id", "tags"])
    with pytest.raises(DataError, match="'probability' is written anyway"):
        predict_file(model, source, output, keep=["probability"])
    with pytest.raises(DataError, match="files of 'criteo' have no other columns"):
        predict_file(model, source, output, keep=["id"], source="criteo")
    assert not output.exists()


def test_a_bad_row_is_named_and_nothing_is_written(varied: Varied, tmp_path: Path) -> None:
    frame = varied.frame.astype({"age": object})
    frame.loc[150, "age"] = "young"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match=r"rows.csv, line 152: age: text where a number should be"):
        predict_file(load_model(varied.folder), tmp_path / "rows.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst", ".GZ"])
def test_the_output_is_compressed_as_its_ending_says(varied: Varied, tmp_path: Path, ending: str) -> None:
    model = load_model(varied.folder)
    source, plain, output = tmp_path / "rows.csv", tmp_path / "out.csv", tmp_path / f"out.csv{ending}"
    varied.frame.to_csv(source, index=False)
    for path in (plain, output):
        assert predict_file(model, source, path) == 200
    content = output.read_bytes()
    assert content != plain.read_bytes()
    assert b"".join(block.content for block in inputs.read_blocks(output)) == plain.read_bytes()
    assert predict_file(model, source, output) == 200
    assert output.read_bytes() == content, "it holds no time and no name"
    frame = varied.frame.astype({"age": object})
    frame.loc[150, "age"] = "young"
    frame.to_csv(source, index=False)
    with pytest.raises(DataError, match=r"rows.csv, line 152: age: text where a number should be"):
        predict_file(model, source, output)
    assert output.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["out.parquet", "out.csv.zip"])
def test_an_output_that_is_no_text_is_refused(varied: Varied, tmp_path: Path, name: str) -> None:
    varied.frame.to_csv(tmp_path / "rows.csv", index=False)
    naming = rf"{name}: probabilities are written as text: name a file that ends in \.csv, or"
    with pytest.raises(DataError, match=naming):
        predict_file(load_model(varied.folder), tmp_path / "rows.csv", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_criteos_own_files(tmp_path: Path) -> None:
    lines = criteo_lines(300)
    source = criteo([write(tmp_path / "train.txt", lines)])
    table = read_all(source).table
    preprocessing = fit(table.to_pandas(), dense=source.dense, categorical=source.categorical)
    architecture = load_search_space("nasrec-small").random(np.random.default_rng(0))
    model = Model(Subnet(architecture, preprocessing.schema(8)).eval(), preprocessing)
    write(tmp_path / "test.txt", [line.partition("\t")[2] for line in lines])
    for name in ("train.txt", "test.txt"):
        assert predict_file(model, tmp_path / name, tmp_path / "out.csv", source="criteo") == 300
        found = pd.read_csv(tmp_path / "out.csv")["probability"]
        np.testing.assert_allclose(found, model.predict(table.to_pandas()), atol=1e-7)


def test_a_field_of_which_nothing_is_known_is_told_for_the_whole_file(
    model: Model,
    frame: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(inputs, "_BLOCK", 4000)
    first, second = (column.name for column in model.preprocessing.categorical[:2])
    other = frame.assign(**{first: "never seen"})
    other.loc[other.index[:400], second] = "seldom"
    other.to_csv(tmp_path / "rows.csv", index=False)
    assert predict_file(model, tmp_path / "rows.csv", tmp_path / "out.csv") == 500
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path / 'rows.csv'}: {first}: 100% of its values are unknown to the model")


def test_what_killed_predictions_left_is_cleared(varied: Varied, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.csv", tmp_path / "o[1].csv"
    varied.frame.to_csv(rows, index=False)
    ended = subprocess.Popen(["true"])
    ended.wait()
    own = f"{own_host()}.{ended.pid}.2.partial"
    left, other, elsewhere = (
        tmp_path / name for name in (f".o[1].csv.{own}", f".o1.csv.{own}", ".o[1].csv.x.1.2.partial")
    )
    for path in (left, other, elsewhere):
        path.touch()
    model, beside = load_model(varied.folder), []

    def again(_: int) -> None:
        beside.extend(path for path in tmp_path.iterdir() if path.name.startswith(".o[1].csv.") and path != elsewhere)
        with ThreadPoolExecutor(1) as second:
            assert second.submit(predict_file, model, rows, output).result() == 200

    assert predict_file(model, rows, output, on_rows=again) == 200
    assert left not in beside
    assert len(beside) == 1, "which goes on, and is left alone"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [other.name, elsewhere.name, output.name, rows.name]
    )
