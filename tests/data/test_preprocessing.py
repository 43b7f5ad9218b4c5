import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasrec_automl.data.categorical import CategoricalColumn, CategoricalOptions
from nasrec_automl.data.columns import DenseColumn, DenseOptions, DerivedColumn
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.errors import DataError
from tests.data import learned

FRAME = pd.DataFrame(
    {
        "price": [1.0, 2.0, None, 9.0],
        "clicks": [0, 1, 2, 3],
        "city": ["Rome", "Oslo", "Rome", None],
        "code": [7, 8, 7, 9],
        "seconds": [0, 3600, 7200, 86400],
    }
)


def fit(frame: pd.DataFrame = FRAME) -> Preprocessing:
    return learned.fit(
        frame,
        dense={"price": DenseOptions(transform="standardise"), "clicks": DenseOptions(transform="log")},
        categorical={
            "city": CategoricalOptions(),
            "code": CategoricalOptions(kind="hash", max_table_size=50),
            "hour": CategoricalOptions(),
        },
        derived=[DerivedColumn(name="hour", source="seconds", kind="hour")],
    )


def test_shapes_types_and_schema_agree() -> None:
    fitted = fit()
    dense, ids = fitted.transform(FRAME)
    schema = fitted.schema(embedding_dim=4)
    assert dense.shape == (4, schema.num_dense)
    assert dense.dtype == np.float32
    assert ids.shape == (4, schema.num_columns)
    assert ids.dtype == np.int64
    assert schema.embedding_dim == 4
    assert schema.table_sizes == (3, 50, 4)
    assert (ids < np.array(schema.table_sizes)).all()
    assert ids[:, 0].tolist() == [1, 2, 1, 0]
    assert ids[:, 2].tolist() == [1, 2, 3, 1]


def test_a_cap_makes_smaller_tables_of_the_same_ids() -> None:
    schema = fit().schema(embedding_dim=4, table_cap=3)
    assert schema.table_sizes == (3, 50, 4)
    assert [field.tables for field in schema.fields] == [(3,), (3,), (3,)]
    assert [field.beyond_cap for field in schema.fields] == ["unknown", "shared", "unknown"]
    assert schema.inputs == fit().schema().inputs


def test_no_dense_feature_is_one_zero_column() -> None:
    fitted = learned.fit(FRAME, dense={}, categorical={"city": CategoricalOptions()})
    dense, _ = fitted.transform(FRAME)
    assert dense.tolist() == [[0.0]] * 4
    assert fitted.schema().dense == ()


def test_rows_are_independent_of_their_batch_and_index() -> None:
    fitted = fit()
    dense, ids = fitted.transform(FRAME)
    shuffled = FRAME.iloc[[3, 1]].rename(index={3: 0, 1: 0})
    again_dense, again_ids = fitted.transform(shuffled)
    np.testing.assert_array_equal(again_dense, dense[[3, 1]])
    np.testing.assert_array_equal(again_ids, ids[[3, 1]])
    assert fitted.transform(FRAME.iloc[:0])[1].shape == (0, 3)


def test_rows_may_be_dicts() -> None:
    fitted = fit()
    dense, ids = fitted.transform(FRAME)
    records = FRAME.to_dict("records")
    for rows, which in ((records, slice(None)), (tuple(records), slice(None)), (records[1], slice(1, 2))):
        of_dicts = fitted.transform(rows)
        np.testing.assert_array_equal(of_dicts[0], dense[which])
        np.testing.assert_array_equal(of_dicts[1], ids[which])
    assert [made.shape for made in fitted.transform([])] == [(0, 2), (0, 3)]


def test_it_is_saved_whole(tmp_path: Path) -> None:
    fitted = fit()
    fitted.save(tmp_path / "preprocessing.json")
    assert Preprocessing.load(tmp_path / "preprocessing.json") == fitted
    assert [path.name for path in tmp_path.iterdir()] == ["preprocessing.json"]


def test_raw_columns_are_what_transform_needs() -> None:
    fitted = fit()
    assert set(fitted.declared.raw_columns) == {"seconds", "price", "clicks", "city", "code"}
    fitted.transform(FRAME[list(fitted.declared.raw_columns)])


def test_missing_columns_are_named_with_the_expected_ones() -> None:
    with pytest.raises(DataError, match="lack the columns seconds, city; expected seconds, price, clicks, city"):
        fit().transform(FRAME.drop(columns=["city", "seconds"]))


def test_a_column_that_comes_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="several columns named city"):
        fit().transform(pd.concat([FRAME, FRAME[["city"]]], axis=1))


def test_text_for_a_number_is_named() -> None:
    with pytest.raises(DataError, match=r"column 'price' must hold numbers, but row 2 .* 'cheap'"):
        fit().transform(FRAME.assign(price=["1", "cheap", "2", "dear"]))


def test_a_name_for_two_features_is_refused() -> None:
    declared, column = fit().declared, CategoricalColumn(name="code", kind="hash", table_size=5)
    with pytest.raises(DataError, match="unique, but these occur twice: code"):
        Preprocessing.of(declared, dense=[DenseColumn(name="code")], categorical=[column])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"version": 2, "categorical": []}'])
def test_another_file_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "preprocessing.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"preprocessing\.json: "):
        Preprocessing.load(path)


_TEXT = st.text(alphabet="ab01.-eE+ ,\"'_é|", max_size=6)
_COLUMNS = st.one_of(
    st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=12),
    st.lists(st.one_of(st.none(), st.integers(-(2**52), 2**52)), min_size=1, max_size=12),
    st.lists(st.floats(allow_infinity=False), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.lists(st.one_of(st.none(), _TEXT), min_size=1, max_size=12),
)


@settings(deadline=None, max_examples=200)
@given(values=_COLUMNS, kind=st.sampled_from(["vocabulary", "hash"]))
def test_a_csv_gives_the_ids_of_its_frame(values: list[object], kind: str) -> None:
    # The second column keeps a missing value from becoming a blank line, which read_csv would skip.
    frame = pd.DataFrame({"x": values, "other": 1})
    options = CategoricalOptions.model_validate({"kind": kind, "max_table_size": 1000})
    fitted = learned.fit(frame, dense={"other": DenseOptions(transform="none")}, categorical={"x": options})
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    np.testing.assert_array_equal(fitted.transform(read)[1], fitted.transform(frame)[1])


def test_serving_needs_no_torch() -> None:
    code = "import sys, nasrec_automl.data.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
