import math

import pytest
import torch

from nasrec_automl.network.embedding import Embedding
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.testing.examples import make_batch, pooled_schema, tiny_schema


def table(embedding: Embedding, schema: FeatureSchema, field: int) -> torch.Tensor:
    return embedding.weight.split(list(schema.table_sizes))[field]


def test_single_valued_fields_are_rows_of_their_tables() -> None:
    schema = tiny_schema()
    embedding, (_, ids) = Embedding(schema), make_batch(schema, 9)
    out = embedding(ids)
    assert out.shape == (9, 8, 4)
    assert (ids == 0).any(), "row 0 is a row like any other"
    for field in range(4):
        torch.testing.assert_close(out[:, :, field], table(embedding, schema, field)[ids[:, field]])


def test_tokens_of_a_multi_valued_field_are_pooled_and_padding_is_ignored() -> None:
    schema = pooled_schema()
    embedding = Embedding(schema)
    genres, user, tags = (table(embedding, schema, field) for field in range(3))
    # Three columns of genres (mean), one of user, two of tags (sum).
    ids = torch.tensor([[1, 0, 3, 0, 2, 2], [5, 0, 0, 4, 0, 6], [0, 0, 0, 1, 0, 0], [1, 2, 3, 1, 1, 3]])
    expected = [
        (genres[[1, 3]].mean(0), user[0], 2 * tags[2]),
        (genres[5], user[4], tags[6]),
        (torch.zeros(8), user[1], torch.zeros(8)),
        (genres[[1, 2, 3]].mean(0), user[1], tags[1] + tags[3]),
    ]
    torch.testing.assert_close(embedding(ids), torch.stack([torch.stack(row, dim=1) for row in expected]))


def test_padding_may_stand_anywhere() -> None:
    embedding = Embedding(pooled_schema())
    one, other = torch.tensor([[1, 3, 0, 2, 5, 0]]), torch.tensor([[0, 3, 1, 2, 0, 5]])
    torch.testing.assert_close(embedding(one), embedding(other))


def test_row_zero_of_a_multi_valued_field_is_never_trained() -> None:
    schema = pooled_schema()
    embedding = Embedding(schema)
    embedding(torch.tensor([[1, 0, 0, 0, 0, 2]])).square().sum().backward()
    gradient = torch.split(embedding.weight.grad.to_dense(), list(schema.table_sizes))
    assert not gradient[0][0].any()
    assert gradient[1][0].any(), "of a single-valued field it stands for missing and unknown, which are learned"
    assert not gradient[2][0].any()
    assert gradient[0][1].any()
    assert gradient[2][2].any()


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema()])
def test_gradients_hold_the_rows_of_the_batch_alone(schema: FeatureSchema) -> None:
    embedding, (_, ids) = Embedding(schema), make_batch(schema, 2)
    embedding(ids).sum().backward()
    assert embedding.weight.grad.is_sparse
    touched = embedding.weight.grad.coalesce().indices()[0]
    assert set(touched.tolist()) <= set((ids + embedding.offsets).flatten().tolist())


def test_tables_start_xavier_normal() -> None:
    torch.manual_seed(0)
    schema = FeatureSchema.from_sizes(dense=0, table_sizes=[3000, 500])
    embedding = Embedding(schema)
    for field, size in enumerate((3000, 500)):
        std = table(embedding, schema, field).std().item()
        assert std == pytest.approx(math.sqrt(2 / (size + 16)), rel=0.05)


def test_a_multi_valued_field_of_one_value_is_a_single_valued_one() -> None:
    def schema(columns: int) -> FeatureSchema:
        return FeatureSchema(fields=(FieldSchema(name="x", table_size=5, columns=columns),), embedding_dim=4)

    single, several = Embedding(schema(1)), Embedding(schema(2))
    several.load_state_dict(single.state_dict())
    torch.testing.assert_close(single(torch.tensor([[3]])), several(torch.tensor([[3, 0]])))
