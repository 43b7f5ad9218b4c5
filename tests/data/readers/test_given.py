from pathlib import Path

import pytest

from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.readers.given import GivenFiles
from nasrec_automl.data.readers.kdd12 import kdd12
from nasrec_automl.data.readers.table import table
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.table_schema import TableSchema
from nasrec_automl.errors import DataError
from tests.data.readers.rows import KDD12, PROFILE, criteo_lines, read_all, write


def test_three_sources_are_one_with_three_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nasrec_automl.data.readers.source.CHUNK_ROWS", 50)
    lines = criteo_lines(300)
    files = [
        write(tmp_path / f"{name}.txt", some)
        for name, some in (("a", lines[:200]), ("b", [*lines[200:240], "bad"]), ("c", lines[240:]))
    ]
    source = GivenFiles.of(*(criteo([file]) for file in files))
    assert (source.name, len(source.dense), len(source.categorical)) == ("criteo", 13, 26)
    rejections = Rejections(0.1)
    chunks = list(source.chunks(rejections))
    assert [fold for chunk in chunks for fold in chunk.fold.tolist()] == [0] * 200 + [1] * 40 + [2] * 60
    assert [row for chunk in chunks for row in chunk.row.tolist()] == list(range(300))
    assert [label for chunk in chunks for label in chunk.label.tolist()] == [int(line[0]) for line in lines]
    assert (rejections.read, rejections.rejected) == (301, 1)
    again = read_all(source)
    assert again.row == list(range(300))


def test_examples_of_one_row_stay_together_across_files(tmp_path: Path) -> None:
    sources = []
    for name, rows in (("a", [("1", "3"), ("0", "2")]), ("b", [("1", "2")]), ("c", [("2", "2"), ("1", "4")])):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "training.txt", ["\t".join([*row, *KDD12[2:]]) for row in rows])
        (tmp_path / name / "userid_profile.txt").write_text(PROFILE)
        sources.append(kdd12([tmp_path / name], protocol="expanded"))
    chunks = list(GivenFiles.of(*sources).chunks(Rejections()))
    assert [row for chunk in chunks for row in chunk.row.tolist()] == [0, 0, 1, 2, 2, 3, 4, 4]
    assert [fold for chunk in chunks for fold in chunk.fold.tolist()] == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_column_that_says_it_too_is_an_error(tmp_path: Path) -> None:
    schema = TableSchema.model_validate({"label": "y", "split": "fold", "categorical": {"c": None}})
    source = table([write(tmp_path / "a.csv", ["y,fold,c", "1,test,x"])], schema)
    with pytest.raises(DataError, match=r"table: its files are those of training.*but the schema's column `split`"):
        read_all(GivenFiles.of(source, source, source))


def test_the_limit_is_a_share_of_the_rows_of_all_files(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.txt", criteo_lines(20)), write(tmp_path / "b.txt", ["bad"] * 3)
    for folds in ((bad, good, good), (good, bad, good), (good, good, bad)):
        read = read_all(GivenFiles.of(*(criteo([file]) for file in folds)), limit=3 / 43)
        assert (read.rejections.read, read.rejections.rejected) == (43, 3)
        with pytest.raises(DataError, match="3 of the 43 rows"):
            read_all(GivenFiles.of(*(criteo([file]) for file in folds)), limit=2 / 43)


def test_bad_lines_of_a_file_that_all_folds_read_count_once(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / name, ["\t".join(KDD12)] * 3)
    (tmp_path / "userid_profile.txt").write_text(PROFILE + "x\t1\t5\n")
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "training.txt", ["\t".join(KDD12)] * 3 + ["bad"])
    (tmp_path / "d" / "userid_profile.txt").write_text("y\t1\t5\n" + PROFILE)

    def summary(*names: str) -> str:
        rejections = Rejections(1.0, tmp_path / "p.rejected.tsv")
        list(GivenFiles.of(*(kdd12([tmp_path / name]) for name in names)).chunks(rejections))
        return rejections.summary()

    kept = tmp_path / "userid_profile.txt.p.rejected.tsv"
    assert "1 of 3 rows rejected" in summary("a", "b", "c")
    assert len(kept.read_text().splitlines()) == 2
    assert "2 of 6 rows rejected" in summary("a", "b", "d")
    assert len(kept.read_text().splitlines()) == 3
    assert len((tmp_path / "p.rejected.tsv").read_text().splitlines()) == 2
