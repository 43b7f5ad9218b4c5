import json
from pathlib import Path

import pytest

from nasrec_automl.data.description import DESCRIPTION_FILE, Description, is_prepared
from nasrec_automl.errors import DataError

PART = {
    "rows": 5,
    "positive_rate": 0.4,
    "shards": [{"folder": "train/00000", "rows": 5, "checksums": {"label": "1" * 64}}],
}
CONTENT = {
    "name": "shop",
    "label": "bought",
    "split": {"kind": "random", "seed": 1},
    "dense": [],
    "ids_type": "uint8",
    "fields": [{"name": "city", "table_size": 3}],
    "parts": dict.fromkeys(("train", "head", "search", "hpo", "choice", "test"), PART),
    "fingerprint": "0" * 64,
}


def test_a_description_reads_what_it_writes(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(Description.model_validate(CONTENT).model_dump_json())
    assert Description.load(tmp_path) == Description.model_validate(CONTENT)


def test_a_folder_is_prepared_once_its_description_is_there(tmp_path: Path) -> None:
    assert not is_prepared(tmp_path / "missing")
    assert not is_prepared(tmp_path)
    (tmp_path / DESCRIPTION_FILE).mkdir()
    assert not is_prepared(tmp_path)
    (tmp_path / DESCRIPTION_FILE).rmdir()
    (tmp_path / DESCRIPTION_FILE).write_text("{}")
    assert is_prepared(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, r"version 2 \(version: Input should be 2, but it is 1\)"),
        ({"format": "other"}, "version 2 .format"),
        ({"split": {"kind": "magic", "seed": 1}}, r"split\.kind"),
        ({"extra": 1}, "extra: no such field: correct its name, or leave it out"),
        (
            {"parts": {"train": PART}},
            "parts head, search, hpo, choice, test are missing",
        ),
    ],
)
def test_another_description_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(CONTENT | change))
    with pytest.raises(DataError, match=f"{message}.*nasrec-automl prepare"):
        Description.load(tmp_path)
