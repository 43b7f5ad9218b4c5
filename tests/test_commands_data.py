"""The commands on data: prepare, schema, data."""

import inspect
from pathlib import Path

import pytest

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.sources import open_source
from nasrec_automl.data.synthetic import make_synthetic
from tests.command_line import call, files, refused
from tests.data.readers.rows import criteo_lines, write


def test_prepare_synthetic(tmp_path: Path) -> None:
    options = [word for text in ("rows=1000", "seed=3", "fields=3") for word in ("--option", text)]
    done = call("prepare", "synthetic", "--output", tmp_path / "p", "--hash-above", "12", *options)
    assert done.code == 0, done.error
    assert "synthetic" in done.out
    assert "test 100" in done.out
    data = PreparedData.open(tmp_path / "p")
    assert data.schema().table_sizes == (12, 12, 12)


def test_prepare_takes_the_seed_of_the_split(tmp_path: Path) -> None:
    for folder, said in (("a", []), ("b", ["--seed", "7"]), ("c", ["--seed", "7"])):
        assert call("prepare", "synthetic", "--option", "rows=500", *said, "--output", tmp_path / folder).code == 0
    a, b, c = (PreparedData.open(tmp_path / folder).description for folder in "abc")
    assert (a.split.seed, b.split.seed) == (2018, 7)
    assert a.fingerprint != b.fingerprint == c.fingerprint


def test_prepare_keeps_files_of_validation_and_test(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }}")
    paths = {name: tmp_path / f"{name}.csv" for name in ("input", "validation", "test")}
    for path, rows in zip(paths.values(), (300, 90, 60), strict=True):
        path.write_text("y,c\n" + "".join(f"{row % 2},{path.stem}\n" for row in range(rows)))
    files = [word for name, path in paths.items() for word in (f"--{name}", path)]
    prepare = ("prepare", "table", "--schema", tmp_path / "s.yaml", "--output", tmp_path / "p")
    done = call(*prepare, *files, "--split", "given")
    assert done.code == 0, done.error
    data = PreparedData.open(tmp_path / "p")
    assert {part: data.rows(part) for part in ("train", "head", "search", "test")} == {
        "train": 270,
        "head": 30,
        "search": 44,
        "test": 60,
    }
    assert data.preprocessing.categorical[0].vocabulary == {"input": 1}
    prepare = (*prepare[:-1], tmp_path / "q")
    refused(*prepare, *files, naming="add --split given")
    refused(*prepare, *files[:4], "--split", "given", naming="validation and of test go together")
    refused(*prepare, *files[:2], "--split", "given", naming="does not say which rows are training")


def test_an_option_that_is_given_twice_adds_files(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }}")
    files = [
        write(tmp_path / f"{name}.csv", ["y,c", *(f"{row % 2},{name}" for row in range(200))]) for name in "abcdef"
    ]
    words = zip(("--input", "--input", "--validation", "--validation", "--test", "--test"), files, strict=True)
    prepare = ("prepare", "table", "--schema", tmp_path / "s.yaml", "--output", tmp_path / "p", "--split", "given")
    done = call(*prepare, *(word for pair in words for word in pair))
    assert done.code == 0, done.error
    data = PreparedData.open(tmp_path / "p")
    assert data.rows("train") + data.rows("head") == data.rows("test") == 400
    assert data.rows("search") + data.rows("hpo") + data.rows("choice") == 400


def test_prepare_divides_by_the_schemas_column(tmp_path: Path) -> None:
    folds = ["train"] * 300 + ["validation"] * 100 + ["test"] * 60
    rows = write(tmp_path / "t.csv", ["y,c,fold", *(f"{row % 2},a,{fold}" for row, fold in enumerate(folds))])
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }, split: fold}")
    prepare = ("prepare", "table", "--input", rows, "--schema", tmp_path / "s.yaml", "--output", tmp_path / "p")
    refused(*prepare, "--split", "random", naming="the split asked for is random")
    done = call(*prepare)
    assert done.code == 0, done.error
    assert "test 60" in done.out


@pytest.mark.parametrize("name", [*sorted(inspect.signature(open_source).parameters.keys() - {"options"}), "nothing"])
def test_prepare_names_an_option_that_a_source_does_not_have(name: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }}")
    prepare = ("prepare", "table", "--schema", tmp_path / "s.yaml", "--output", tmp_path / "p")
    refused(*prepare, "--option", f"{name}=c.yaml", naming=f"source 'table' has no option '{name}'")


def test_prepare_takes_a_whole_number_with_an_exponent(tmp_path: Path) -> None:
    done = call("prepare", "synthetic", "--output", tmp_path / "p", "--option", "rows=4e3", "--option", "order=2")
    assert done.code == 0, done.error
    assert "train 2,880" in done.out


def test_prepare_says_how_much_of_a_public_set_it_was(tmp_path: Path) -> None:
    train = write(tmp_path / "train.txt", criteo_lines(400))
    done = call("prepare", "criteo", "--input", train, "--output", tmp_path / "p")
    assert done.code == 0, done.error
    assert "400 rows: fewer than the 45,840,617 of Kaggle's train.txt" in done.out


def test_a_table_from_draft_to_prepared_data(tmp_path: Path) -> None:
    table, schema = tmp_path / "clicks.csv", tmp_path / "schema.yaml"
    rows = [f"{row % 3 % 2},shop{row % 7},{row * 0.5},x" for row in range(400)]
    table.write_text("\n".join(["clicked,shop,price,same", *rows, "2,shop1,3,x", "1,shop1"]))
    printed = call("schema", "infer", table)
    assert "label: clicked  # named like a label, but NOT 0 OR 1 in 1 of 401 rows, such as '2'" in printed.out
    table.write_text("\n".join(["clicked,shop,price,same", *rows]))
    assert call("schema", "infer", table, "--output", schema).code == 0
    assert call("schema", "infer", table).out == schema.read_text()
    refused("schema", "infer", table, "--output", schema, naming="already there")
    nowhere = tmp_path / "no" / "s.yaml"
    refused("schema", "infer", table, "--output", nowhere, naming=f"{nowhere}: its folder does not exist")
    schema.write_text(schema.read_text().replace("ignored:\n  - same", "  same:"))
    table.write_text("\n".join(["clicked,shop,price,same", *rows, "2,shop1,3,x", "1,shop1"]))
    prepare = ("prepare", "table", "--input", table, "--schema", schema, "--output", tmp_path / "p")
    refused(*prepare, naming="2 of the 402 rows read are bad")
    kept = (tmp_path / "p.rejected.tsv").read_text().splitlines()
    assert [line.split("\t")[1:3] for line in kept[1:]] == [
        ["402", "clicked: a label that is not 0 or 1"],
        ["403", "2 fields instead of 4"],
    ]
    done = call(*prepare, "--max-rejected", "0.01")
    assert done.code == 0, done.error
    assert "2 of 402 rows rejected" in done.out
    assert "Always the same, so of no use: same" in done.out
    data = PreparedData.open(tmp_path / "p")
    assert sum(part.rows for part in data.description.parts.values()) == 400
    assert data.description.notes == {
        "label_column": "clicked",
        "rows_read": 402,
        "rows_rejected": 2,
        "constant_columns": "same",
    }


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", ["y,c", *(f"{row % 2},a" for row in range(300))])
    schema = write(tmp_path / "s.yaml", ["{name: 'a[/b]:car:', label: y, categorical: {c: }}"])
    done = call("prepare", "table", "--input", table, "--schema", schema, "--output", tmp_path / "p[red]")
    assert done.code == 0, done.error
    assert f"{tmp_path / 'p[red]'}: a[/b]:car: (train 216" in done.out
    done = call("schema", "infer", tmp_path / "[x]:car:.csv")
    assert f"nasrec-automl: {tmp_path / '[x]:car:.csv'}: no such file; expected CSV" in done.error


def test_data_report_and_verify(tmp_path: Path) -> None:
    prepare(make_synthetic(2000, 0), tmp_path / "p")
    done = call("data", "report", tmp_path / "p")
    assert done.code == 0, done.error
    assert done.out.strip() == str(tmp_path / "p" / "report.html")
    assert "2,000 rows" in (tmp_path / "p" / "report.html").read_text()
    assert call("data", "report", tmp_path / "p", "--output", tmp_path / "mine.html").code == 0
    assert (tmp_path / "mine.html").is_file()
    done = call("data", "verify", tmp_path / "p")
    assert done.code == 0, done.error
    assert done.out == f"{tmp_path / 'p'}: 2,000 rows, all as they were written\n"


def test_damaged_data_are_named(tmp_path: Path) -> None:
    prepare(make_synthetic(2000, 0), tmp_path / "p")
    path = tmp_path / "p" / "test" / "00000" / "label.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused("data", "verify", tmp_path / "p", naming=f"{path}: its content is not what was written")
    refused("data", "report", tmp_path / "gone", naming="expected a prepared data set")
    refused(
        "data", "report", tmp_path / "p", "--output", tmp_path / "no" / "r.html", naming="its folder does not exist"
    )
    refused(
        "data", "report", tmp_path / "p", "--output", tmp_path / "p", naming=f"{tmp_path / 'p'}: is a folder, or no"
    )


@pytest.mark.parametrize(
    ("arguments", "naming"),
    [
        (["nothing"], "no data source 'nothing'"),
        (["synthetic", "--option", "rowz=5"], "no option 'rowz'"),
        (["synthetic", "--option", "rows=many"], "'rows'"),
        (["synthetic", "--option", "rows"], "--option rows: expected NAME=VALUE"),
        (["synthetic", "--input", "x"], "read no input"),
        (["movielens", "--input", "gone"], "gone"),
        (["synthetic", "--option", "rows=3"], "bring more rows"),
        (["criteo"], "at least one file"),
        (["criteo", "--input", "gone"], "gone"),
        (["criteo", "--input", "x", "--schema", "s.yaml"], "takes no schema"),
        (["table", "--input", "x"], "needs a schema file"),
        (["table", "--input", "x", "--schema", "gone.yaml"], "gone.yaml"),
        (["avazu", "--input", "x", "--option", "protocol=best"], "default and published"),
    ],
)
def test_prepare_names_what_is_wrong(tmp_path: Path, arguments: list[str], naming: str) -> None:
    refused("prepare", *arguments, "--output", tmp_path / "p", naming=naming)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("option", [("--split", "random"), ("--seed", "0"), ("--hash-above", "9")])
def test_appending_takes_nothing_that_it_would_not_heed(tmp_path: Path, option: tuple[str, str]) -> None:
    raw = ("prepare", "synthetic", "--option", "rows=500", "--output", tmp_path / "p")
    assert call(*raw).code == 0
    before = files(tmp_path / "p")
    refused(*raw, "--append", tmp_path / "p", *option, naming=f"{option[0]} does not go with --append")
    assert files(tmp_path / "p") == before
    assert call(*raw, "--append", tmp_path / "p").code == 0


def test_prepare_names_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = ("prepare", "synthetic", "--option", "rows=500", "--output")
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    refused(*raw, ".", naming=f"{tmp_path}: already there and not a prepared data set")
    refused(*raw, "file", naming="file: already there and not a prepared data set")
    for path in ("file/x", "file/x/y"):
        refused(*raw, path, naming=f"{tmp_path / 'file'} is a file")
        refused(*raw, path, "--append", "p", naming=f"{tmp_path / 'file'} is a file")
    refused(*raw, "/", naming="/: is the root")
    assert files(tmp_path) == {tmp_path / "file": b"mine"}


def test_prepare_writes_into_the_folder_it_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    monkeypatch.chdir(tmp_path / "p")
    done = call("prepare", "synthetic", "--option", "rows=500", "--output", ".")
    assert done.code == 0, done.error
    assert PreparedData.open(tmp_path / "p").name == "synthetic"
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_prepare_replaces_no_prepared_data(tmp_path: Path) -> None:
    raw = ("prepare", "synthetic", "--option", "rows=500", "--output")
    for name in ("p", "q"):
        assert call(*raw, tmp_path / name).code == 0
    before = files(tmp_path)
    naming = "p: a prepared data set is already there, so it stays: name another --output, or delete the folder"
    refused(*raw, tmp_path / "p", naming=naming)
    refused(*raw, tmp_path / "p", "--append", tmp_path / "q", naming=naming)
    assert files(tmp_path) == before
    (tmp_path / "link").symlink_to(tmp_path / "p")
    assert call(*raw, tmp_path / "p", "--append", tmp_path / "link").code == 0


def test_a_mistyped_preparation_loses_no_rejected_rows(tmp_path: Path) -> None:
    kept = tmp_path / "p.rejected.tsv"
    kept.write_text("earlier")
    table = write(tmp_path / "t.csv", ["y,c", *(f"{row % 2},a" for row in range(300))])
    start = ("prepare", "table", "--input", table, "--output", tmp_path / "p", "--schema")
    refused(*start, tmp_path / "gone.yaml", naming="gone.yaml")
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {d: }}")
    refused(*start, tmp_path / "s.yaml", naming="lacks the columns d")
    assert kept.read_text() == "earlier"
    (tmp_path / "s.yaml").write_text("{label: y, categorical: {c: }}")
    assert call(*start, tmp_path / "s.yaml").code == 0
    assert not kept.exists()
