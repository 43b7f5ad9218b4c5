import pandas as pd
import pyarrow as pa
import pytest

from nasrec_automl.errors import DataError
from nasrec_automl.pipeline.groups import Groups


def test_a_value_has_one_number_in_all_tables() -> None:
    groups = Groups("user")
    groups.add(pd.DataFrame({"user": ["b", "a", None]}))
    groups.add(pa.table({"user": ["a", None, "c", "b"]}))
    assert groups.numbers.tolist() == [0, 1, -1, 1, -1, 2, 0]


def test_several_values_a_row_make_no_groups() -> None:
    with pytest.raises(DataError, match="'user' holds several values a row"):
        Groups("user").add(pa.table({"user": [["a", "b"]]}))
