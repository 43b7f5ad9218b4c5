import copy
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.data.check import InputCheck, check_targets
from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import make_batch, pooled_schema, tiny_schema

SCHEMAS = [tiny_schema(), pooled_schema(), FeatureSchema.from_sizes(dense=0, table_sizes=[2, 3])]

schemas = st.sampled_from(SCHEMAS)
rows = st.integers(1, 40)
seeds = st.integers(0, 99)


def limits(schema: FeatureSchema) -> list[int]:
    return [field.table_size for field in schema.fields for _ in range(field.columns)]


@given(schemas, rows, seeds, st.sampled_from([torch.float64, torch.float32, torch.bfloat16]), st.booleans())
def test_any_valid_batch_passes(schema: FeatureSchema, rows: int, seed: int, dtype: torch.dtype, extreme: bool) -> None:
    dense, ids = make_batch(schema, rows, seed)
    if extreme:  # the largest ids and values there are; their sum is not finite
        ids = torch.tensor(limits(schema)).sub(1).repeat(rows, 1)
        dense = torch.full_like(dense.to(dtype), torch.finfo(dtype).max)
    InputCheck(schema)(dense.to(dtype), ids)
    InputCheck(schema)(dense.to(dtype), ids.int())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda check: pickle.loads(pickle.dumps(check))])
def test_a_copy_or_pickle_needs_no_accelerator(copied: Callable[[InputCheck], InputCheck]) -> None:
    check, cpu = InputCheck(tiny_schema()), torch.device("cpu")
    check._limits[torch.device("meta")] = check._limits[cpu].to("meta")  # as a network has it that ran on a GPU
    again = copied(check)
    assert again._limits.keys() == {cpu}
    assert again._limits[cpu].equal(check._limits[cpu])
    again(*make_batch(tiny_schema(), 5))


def test_no_rows_are_valid_inputs() -> None:
    dense, ids = make_batch(tiny_schema(), 1)
    InputCheck(tiny_schema())(dense[:0], ids[:0])


@given(schemas, rows, seeds, st.data())
def test_any_id_outside_its_table_is_found_and_named(
    schema: FeatureSchema, rows: int, seed: int, data: st.DataObject
) -> None:
    dense, ids = make_batch(schema, rows, seed)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, schema.num_columns - 1))
    size = limits(schema)[column]
    value = data.draw(st.integers(size, 2**40) | st.integers(-(2**40), -1))
    ids[row, column] = value
    name = [field.name for field in schema.fields for _ in range(field.columns)][column]
    expected = (
        f"ids column {column}, field '{name}': row {row} holds {value}, but the field's table has {size} rows, 0 to"
    )
    with pytest.raises(DataError, match=re.escape(expected)):
        InputCheck(schema)(dense, ids)


@given(schemas, rows, seeds, st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_any_dense_value_that_is_not_finite_is_found_and_named(
    schema: FeatureSchema, rows: int, seed: int, value: float, data: st.DataObject
) -> None:
    dense, ids = make_batch(schema, rows, seed)
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, schema.num_dense - 1))
    dense[row, column] = value
    name = schema.dense[column] if schema.dense else "the column of zeros"
    expected = f"dense column {column}, feature {name!r}: row {row} holds {value}, but every value must be finite"
    with pytest.raises(DataError, match=re.escape(expected)):
        InputCheck(schema)(dense, ids)


def test_the_first_of_several_is_named_and_the_others_are_counted() -> None:
    dense, ids = make_batch(tiny_schema(), 5)
    ids[3, 1], ids[2, 3], ids[4, 0] = 5, 9, -1
    with pytest.raises(DataError, match=r"ids column 3, field 'field4': row 2 holds 9, .* \(2 further values"):
        InputCheck(tiny_schema())(dense, ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, i: (d[:, :2], i), r"dense features must have the shape \(rows, 3\).* but have \(5, 2\)"),
        (lambda d, i: (d, i[:, 0]), r"ids must have the shape \(rows, 4\).* but have \(5,\)"),
        (lambda d, i: (d[1:], i), "as many rows of dense features as of ids, but has 4 and 5"),
        (lambda d, i: (d.long(), i), r"dense features must be floats, but are torch\.int64"),
        (lambda d, i: (d, i.double()), r"ids must be int64 or int32, but are torch\.float64"),
    ],
)
def test_wrong_shapes_and_types_are_named(
    change: Callable[..., tuple[torch.Tensor, torch.Tensor]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        InputCheck(tiny_schema())(*change(*make_batch(tiny_schema(), 5)))


@given(rows, st.booleans(), st.data())
def test_valid_targets_pass(rows: int, weighted: bool, data: st.DataObject) -> None:
    numbers = st.floats(0, 1, width=32)
    label = torch.tensor(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
    check_targets(rows, label, torch.arange(0.0, rows) if weighted else None)  # of one row it may be 0


@given(rows, st.data())
def test_any_bad_target_is_found_and_named(rows: int, data: st.DataObject) -> None:
    targets = {"label": torch.ones(rows), "weight": torch.ones(rows)}
    name, row = data.draw(st.sampled_from(["label", "weight"])), data.draw(st.integers(0, rows - 1))
    value = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, -0.5, *([1.5] if name == "label" else [])]))
    targets[name][row] = value
    with pytest.raises(DataError, match=rf"{name}: row {row} holds {value}, but every {name} must be"):
        check_targets(rows, **targets)


def test_other_bad_targets() -> None:
    ones = torch.ones(3)
    with pytest.raises(DataError, match="at least one row"):
        check_targets(0, ones[:0])
    with pytest.raises(DataError, match=r"labels must have the shape \(3,\), one for each row, but have \(3, 1\)"):
        check_targets(3, ones.unsqueeze(1))
    with pytest.raises(DataError, match=r"weights must have the shape \(3,\)"):
        check_targets(3, ones, ones[:2])
    with pytest.raises(DataError, match=r"labels must be floats, but are torch\.int64"):
        check_targets(3, ones.long())
    with pytest.raises(DataError, match=r"label: row 1 holds nan.* \(1 further"):
        check_targets(3, torch.tensor([0.0, np.nan, 2.0]))
