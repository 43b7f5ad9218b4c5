import pandas as pd
import pytest

from nasrec_automl.data.raw import RawData
from nasrec_automl.errors import DataError


def make(label: list[object]) -> RawData:
    return RawData(
        name="shop",
        frame=pd.DataFrame({"x": range(3)}),
        label=pd.Series(label, index=[7, 8, 9][: len(label)], dtype=object),
        label_description="bought",
        dense={"x": "none"},
        categorical={},
    )


@pytest.mark.parametrize("label", [[0, 1, 1], ["0", "1", "1"], [False, True, True], [0.0, 1.0, 1.0]])
def test_labels_of_any_type_that_says_0_or_1(label: list[object]) -> None:
    assert make(label).checked_label().tolist() == [0, 1, 1]


@pytest.mark.parametrize(("value", "shown"), [(2, "'2'"), (0.5, "'0.5'"), (None, "'None'"), (float("nan"), "'nan'")])
def test_another_label_is_named_by_its_row(value: object, shown: str) -> None:
    with pytest.raises(DataError, match=rf"shop: a label must be 0 or 1, but row 2 .* has {shown} \(1 such rows\)"):
        make([0, value, 1]).checked_label()


def test_text_for_a_label_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match="column 'label' must hold numbers, but row 3"):
        make([0, 1, "yes"]).checked_label()


def test_each_row_has_a_label() -> None:
    with pytest.raises(DataError, match="3 rows came with 2 labels"):
        make([0, 1]).checked_label()
