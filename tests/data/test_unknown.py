"""Rows without a known value, counted block by block; test stays closed."""

import numpy as np
import pandas as pd
import pytest

from nasrec_automl.data import unknown as module
from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.dataset import PreparedData
from nasrec_automl.data.parts import Part
from nasrec_automl.data.preparation import prepare
from nasrec_automl.data.raw import RawData
from nasrec_automl.data.unknown import count_unknown
from nasrec_automl.errors import DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    rows = 1000
    index = np.arange(rows)
    frame = pd.DataFrame(
        {
            "often": [None if i % 4 == 0 else "a" for i in index],
            "many": ["" if i % 5 == 0 else "x|y" if i % 2 else "|y" for i in index],
            "late": ["old" if i < 800 else "new" for i in index],
        }
    )
    raw = RawData(
        name="made up",
        frame=frame,
        label=pd.Series(index // 2 % 2),
        label_description="odd",
        dense={},
        categorical={
            "often": CategoricalOptions(),
            "many": CategoricalOptions(max_values=2),
            "late": CategoricalOptions(),
        },
        time=pd.Series(index),
    )
    return prepare(raw, tmp_path_factory.mktemp("unknown") / "p", split="time")


@pytest.mark.parametrize("block", [7, 1 << 16])
def test_a_row_is_unknown_where_all_its_ids_are_0(
    data: PreparedData, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    heard: list[int] = []
    found = count_unknown(data, on_rows=heard.append)
    assert list(found) == ["train", "head", "search", "hpo", "choice"]
    assert found[Part.TRAIN] == {"often": 180, "many": 144, "late": 0}
    assert found[Part.HEAD] == {"often": 20, "many": 16, "late": 0}
    validation = {part: found[part]["late"] for part in (Part.SEARCH, Part.HPO, Part.CHOICE)}
    assert validation == {part: data.rows(part) for part in validation}
    assert heard == sorted(heard)
    assert heard[-1] == 900


def test_test_stays_closed(data: PreparedData) -> None:
    with pytest.raises(DataError, match="read once"):
        count_unknown(data, [Part.TEST])


def test_only_blocks_are_read(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 50)
    longest = 0

    class Ids:
        def __init__(self, ids: np.ndarray) -> None:
            self.ids = ids

        def __len__(self) -> int:
            return len(self.ids)

        def __getitem__(self, index: slice) -> np.ndarray:
            nonlocal longest
            block = self.ids[index]
            longest = max(longest, len(block))
            return block

    part = data.part
    monkeypatch.setattr(data, "part", lambda name: type("Rows", (), {"ids": Ids(part(name).ids)}))
    count_unknown(data, [Part.TRAIN])
    assert longest == 50
