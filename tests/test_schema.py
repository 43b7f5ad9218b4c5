import pytest
from pydantic import ValidationError

from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.testing.examples import pooled_schema


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


def test_json_round_trip() -> None:
    assert FeatureSchema.model_validate_json(pooled_schema().model_dump_json()) == pooled_schema()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dense": ("a", "a")}, "unique, but these occur twice: a"),
        ({"dense": ("user",)}, "unique, but these occur twice: user"),
        ({"fields": ()}, "fields"),
        ({"fields": ({"name": "x", "table_size": 1},)}, "table_size"),
        ({"fields": ({"name": "x", "table_size": 3, "columns": 0},)}, "columns"),
        ({"fields": ({"name": "x", "table_size": 3, "pooling": "max"},)}, "pooling"),
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
