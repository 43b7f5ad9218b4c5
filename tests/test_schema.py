from typing import Any

import pytest
from pydantic import ValidationError

from nasrec_automl.errors import DataError
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.testing.examples import composed_schema, pooled_schema


def test_sizes() -> None:
    schema = FeatureSchema.from_sizes(dense=13, table_sizes=[10, 20], embedding_dim=4)
    assert (schema.num_dense, schema.num_fields, schema.num_columns) == (13, 2, 2)
    assert schema.table_sizes == (10, 20)
    assert schema.embedding_dim == 4
    assert schema.dense[0] == "dense1"
    assert [field.name for field in schema.fields] == ["field1", "field2"]


def test_no_dense_feature_is_one_zero_column() -> None:
    schema = FeatureSchema.from_sizes(dense=0, table_sizes=[3])
    assert schema.dense == ()
    assert schema.num_dense == 1
    assert schema.embedding_dim == 16


def test_a_multi_valued_field_has_several_columns_and_one_slot() -> None:
    schema = pooled_schema()
    assert (schema.num_columns, schema.num_fields) == (6, 3)


@pytest.mark.parametrize("schema", [pooled_schema(), composed_schema()])
def test_json_round_trip(schema: FeatureSchema) -> None:
    assert FeatureSchema.model_validate_json(schema.model_dump_json()) == schema


def test_json_from_before_compositional_fields_loads() -> None:
    text = '{"dense":[],"fields":[{"name":"x","table_size":9,"columns":1,"pooling":"mean"}],"embedding_dim":4}'
    assert FeatureSchema.model_validate_json(text).fields[0] == FieldSchema(name="x", table_size=9)


def test_a_compositional_field_has_two_small_tables() -> None:
    item, user, tags = composed_schema().fields
    assert item.tables == (7, 5), "22 ids in runs of 6 make 4 runs; both tables have a row for id 0"
    assert user.tables == (5,)
    assert tags.tables == (5, 4)
    assert composed_schema().table_rows == 26
    assert composed_schema().table_sizes == (23, 5, 12), "ids are the same"
    huge = FieldSchema(name="x", table_size=100_000_001, compositional=1000)
    assert huge.tables == (100_001, 1001)


def test_a_cap_leaves_the_ids_and_what_the_data_must_be() -> None:
    plain = FeatureSchema(dense=("a",), fields=(FieldSchema(name="x", table_size=9),))
    field = FieldSchema(name="x", table_size=9, cap=4, beyond_cap="shared")
    capped = FeatureSchema(dense=("a",), fields=(field,), embedding_dim=4)
    assert (capped.table_sizes, capped.table_rows) == ((9,), 4)
    assert capped.inputs == plain.inputs
    other = FeatureSchema(dense=("a",), fields=(FieldSchema(name="x", table_size=8),))
    assert capped.inputs != other.inputs


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"table_sizes": []}, "table_sizes: expected the rows of at least one field's table, but it is empty"),
        ({"table_sizes": [9, 1]}, "sizes: fields.1.table_size: Input should be .* equal to 2, but it is 1"),
        ({"table_sizes": [9], "embedding_dim": 0}, "sizes: embedding_dim: .*, but it is 0"),
        ({"table_sizes": [9], "dense": -3}, "dense: expected the number .*, at least 0, but it is -3"),
    ],
)
def test_wrong_sizes_are_one_sentence(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"{message}$"):
        FeatureSchema.from_sizes(**{"dense": 3, **sizes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense": ("a", "a")}, "unique, but these occur twice: a"),
        ({"dense": ("user",)}, "unique, but these occur twice: user"),
        ({"fields": ()}, "fields"),
        ({"fields": ({"name": "x", "table_size": 1},)}, "table_size"),
        ({"fields": ({"name": "x", "table_size": 3, "columns": 0},)}, "columns"),
        ({"fields": ({"name": "x", "table_size": 3, "pooling": "max"},)}, "pooling"),
        ({"fields": ({"name": "x", "table_size": 3, "compositional": 1},)}, "compositional"),
        ({"fields": ({"name": "x", "table_size": 3, "cap": 3},)}, r"cap \(3\) must be below table_size \(3\)"),
        (
            {"fields": ({"name": "x", "table_size": 9, "cap": 3, "compositional": 2},)},
            "a cap or is compositional, but not both",
        ),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"width": 3}, "width"),
    ],
)
def test_wrong_fields_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FeatureSchema(**{**pooled_schema().model_dump(), **change})


def test_schemas_are_immutable() -> None:
    with pytest.raises(ValidationError):
        pooled_schema().embedding_dim = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        FieldSchema(name="x", table_size=3).columns = 2  # type: ignore[misc]
