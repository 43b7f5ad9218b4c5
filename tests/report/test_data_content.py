"""What is gathered of a prepared folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.readers.criteo import criteo
from nasrec_automl.data.rejections import Rejections
from nasrec_automl.data.synthetic import make_synthetic
from nasrec_automl.errors import DataError
from nasrec_automl.report.data_content import gather, rows_to_read, table_bytes
from tests.data.readers.rows import criteo_lines, write
from tests.report.data_contents import data_content

ROW = b"train.txt\t1001\t1 fields instead of 40\tbad\n"


def test_numbers_of_the_folder(tmp_path: Path) -> None:
    raw = make_synthetic(2000, 0)
    data = prepare(raw, tmp_path / "p")
    heard: list[int] = []
    content = gather(data, on_rows=heard.append)
    assert content.rows == 2000
    assert content.positive_rate == pytest.approx(raw.label.mean())
    assert heard[-1] == rows_to_read(data.description) == 2000 - data.rows("test")
    whole = PreparedData.open(tmp_path / "p", test=True)
    ids = whole.part("search", "hpo", "choice").ids
    assert content.unknown_share("field1", (Part.SEARCH, Part.HPO, Part.CHOICE)) == pytest.approx(
        (ids[:][:, 0] == 0).mean()
    )
    arrays = list((tmp_path / "p").rglob("*.npy"))
    assert content.size == sum(path.stat().st_size for path in arrays)
    assert content.rejected == ()


def test_memory_is_that_of_weights_and_squares() -> None:
    assert table_bytes(1000) == 1000 * 16 * 4 * 2


def test_ids_and_labels_of_test_are_not_read(tmp_path: Path) -> None:
    data = prepare(make_synthetic(1000, 0), tmp_path / "p")
    for name in ("ids", "label", "dense"):
        (tmp_path / "p" / "test" / "00000" / f"{name}.npy").write_bytes(b"not to be read")
    assert gather(data).rows == 1000
    (tmp_path / "p" / "hpo" / "00000" / "ids.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"ids\.npy"):
        gather(data)


@pytest.mark.parametrize("name", ["p.rejected.tsv", "rejected.tsv"])
def test_rejected_rows_by_reason(name: str, tmp_path: Path) -> None:
    lines = criteo_lines(1000)
    lines[10:12] = ["2" + lines[10][1:], "2" + lines[11][1:]]
    lines[5] = "1\t2"
    source = criteo([write(tmp_path / "train.txt", lines)])
    data = prepare(source, tmp_path / "p", rejections=Rejections(1.0, tmp_path / name))
    rejected = gather(data).rejected
    assert [(each.reason, each.rows, each.first) for each in rejected] == [
        ("label: a label that is not 0 or 1", 2, "train.txt, line 11"),
        ("2 fields instead of 40", 1, "train.txt, line 6"),
    ]
    assert rejected[1].text == r"1\t2"


@pytest.mark.parametrize(
    ("kept", "shown"),
    [(b"", []), (ROW.rpartition(b"\t")[0], []), (ROW, [1]), (ROW[:-1] + b"\xc3", [1]), (ROW * 2, [])],
    ids=["none", "cut off", "its own", "cut off within a letter", "of another reading"],
)
def test_reasons_are_shown_where_they_are_of_the_rows_that_were_left_out(
    kept: bytes, shown: list[int], tmp_path: Path
) -> None:
    source = criteo([write(tmp_path / "train.txt", [*criteo_lines(1000), "bad"])])
    data = prepare(source, tmp_path / "p", rejections=Rejections(1.0))
    (tmp_path / "rejected.tsv").write_bytes(b"file\tline\treason\ttext\n" + kept)
    assert [each.rows for each in gather(data).rejected] == shown


@pytest.mark.parametrize("part", [Part.TRAIN, Part.TEST])
@pytest.mark.parametrize("what", ["label.npy", ""], ids=["array", "shard"])
def test_what_is_missing_is_named(part: Part, what: str, tmp_path: Path) -> None:
    data = prepare(make_synthetic(1000, 0), tmp_path / "p")
    missing = tmp_path / "p" / part.value / "00000" / what
    missing.rename(tmp_path / "gone")
    with pytest.raises(DataError, match=rf"{part.value}/00000/.*\.npy.*prepare the data again"):
        gather(data)


def test_an_old_account_is_not_this_datas(tmp_path: Path) -> None:
    (tmp_path / "rejected.tsv").write_text("file\tline\treason\ttext\na\t1\tb\tc\n")
    assert gather(prepare(make_synthetic(1000, 0), tmp_path / "p")).rejected == ()


def test_weights_count() -> None:
    content = data_content(rates={Part.TEST: 0.75})
    assert content.positive_rate == pytest.approx(0.25 * 0.9 + 0.75 * 0.1)
    parts = content.description.parts
    heavy = {**parts, Part.TEST: parts[Part.TEST].model_copy(update={"weight": 90_000.0})}
    weighted = replace(content, description=content.description.model_copy(update={"parts": heavy}))
    assert weighted.positive_rate == pytest.approx(0.5)
