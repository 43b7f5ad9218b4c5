import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.network.embedding import Embedding
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.testing.examples import composed_schema, make_batch, pooled_schema, tiny_schema


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
    embedding(torch.tensor([[1, 0, 0, 0, 0, 2]])).sub(1).square().sum().backward()
    gradient = torch.split(embedding.weight.grad.to_dense(), list(schema.table_sizes))
    assert not gradient[0][0].any()
    assert gradient[1][0].any(), "of a single-valued field it stands for missing and unknown, which are learned"
    assert not gradient[2][0].any()
    assert gradient[0][1].any()
    assert gradient[2][2].any()


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema(), composed_schema()])
def test_an_unknown_id_that_nothing_has_trained_is_no_noise(schema: FeatureSchema) -> None:
    unknown = Embedding(schema)(torch.zeros(1, schema.num_columns, dtype=torch.int64))
    assert not unknown.any()


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema()])
def test_gradients_hold_the_rows_of_the_batch_alone(schema: FeatureSchema) -> None:
    embedding, (_, ids) = Embedding(schema), make_batch(schema, 2)
    embedding(ids).sum().backward()
    assert embedding.weight.grad.is_sparse
    touched = embedding.weight.grad.coalesce().indices()[0]
    assert set(touched.tolist()) <= set((ids + embedding.offsets).flatten().tolist())


def test_gradients_of_compositional_fields_hold_two_rows_an_id() -> None:
    embedding = Embedding(composed_schema())
    embedding(torch.tensor([[22, 2, 11, 5, 1]])).sum().backward()
    assert embedding.weight.grad.is_sparse
    touched = embedding.weight.grad.coalesce().indices()[0].tolist()
    # item: 4 and 4; user: 2; tags 11, 5, 1: remainders 3, 1, 1 and quotients 3, 2, 1.
    assert touched == [4, 7 + 4, 12 + 2, 17 + 1, 17 + 3, 22 + 1, 22 + 2, 22 + 3]


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


def factors(embedding: Embedding, schema: FeatureSchema, field: int, token: int) -> tuple[int, int]:
    """The rows of a compositional field's two tables that an id reads, seen from the gradient of its lookup."""
    ids = torch.zeros(1, schema.num_columns, dtype=torch.long)
    column = sum(f.columns for f in schema.fields[:field])
    ids[0, column] = token
    start = sum(sum(f.tables) for f in schema.fields[:field])
    first, second = schema.fields[field].tables
    embedding.weight.grad = None
    embedding(ids)[:, :, field].sum().backward()
    read = embedding.weight.grad.to_dense().any(1)[start : start + first + second].nonzero().flatten().tolist()
    remainder, quotient = read
    return remainder, quotient - first


@given(size=st.integers(2, 60), times=st.integers(2, 70))
def test_no_two_ids_are_composed_of_the_same_rows(size: int, times: int) -> None:
    schema = FeatureSchema(
        fields=(FieldSchema(name="a", table_size=3), FieldSchema(name="x", table_size=size, compositional=times)),
        embedding_dim=2,
    )
    embedding = Embedding(schema)
    torch.nn.init.ones_(embedding.weight)  # a zero among the factors would hide the other one
    pairs = [factors(embedding, schema, 1, token) for token in range(size)]
    assert len(set(pairs)) == size
    assert pairs[0] == (0, 0)
    assert all(remainder and quotient for remainder, quotient in pairs[1:]), "id 0 shares its rows with no other"
    remainders, quotients = schema.fields[1].tables
    assert {remainder for remainder, _ in pairs} == set(range(remainders)), "no row is there for nothing"
    assert {quotient for _, quotient in pairs} == set(range(quotients))


def test_compositional_embeddings_are_products_and_pooled_afterwards() -> None:
    schema = composed_schema()
    embedding = Embedding(schema)
    remainders, quotients, user, tag_remainders, tag_quotients = embedding.weight.split([7, 5, 5, 5, 4])
    ids = torch.tensor([[0, 0, 0, 0, 0], [6, 1, 5, 0, 11], [7, 4, 4, 8, 0], [22, 2, 0, 0, 1]])
    tags = [None, (1, 2), (3, 3), (4, 1), (4, 2), (1, 1)]

    def tag(number: int) -> torch.Tensor:
        remainder, quotient = tags[number] or (0, 0)
        return tag_remainders[remainder] * tag_quotients[quotient]

    expected = [
        (remainders[0] * quotients[0], user[0], torch.zeros(8)),
        (remainders[6] * quotients[1], user[1], (tag(1) + tag(2)) / 2),
        (remainders[1] * quotients[2], user[4], (tag(3) + tag(4)) / 2),
        (remainders[4] * quotients[4], user[2], tag(5)),
    ]
    torch.testing.assert_close(embedding(ids), torch.stack([torch.stack(row, dim=1) for row in expected]))


def test_compositional_embeddings_start_as_those_of_one_table() -> None:
    torch.manual_seed(0)
    schema = FeatureSchema(fields=(FieldSchema(name="x", table_size=4001, compositional=8),))
    out = Embedding(schema)(torch.arange(1, 4001).unsqueeze(1)).squeeze(2)  # (4000, E)
    assert out.std().item() == pytest.approx(math.sqrt(2 / (4001 + 16)), rel=0.05)
    assert out.unique(dim=0).shape == (4000, 16), "ids that share a row start apart by their signs"


@pytest.mark.parametrize("schema", [tiny_schema(), composed_schema()])
def test_all_fields_are_one_lookup(schema: FeatureSchema, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = []
    look_up = torch.nn.functional.embedding
    monkeypatch.setattr(
        "torch.nn.functional.embedding", lambda *args, **kwargs: lookups.append(1) or look_up(*args, **kwargs)
    )
    Embedding(schema)(make_batch(schema, 4)[1])
    assert len(lookups) == 1


def capped_schema() -> FeatureSchema:
    """A vocabulary and a hash, both cut to fewer rows, beside a field that is not and a multi-valued one that is."""
    return FeatureSchema(
        dense=("price",),
        fields=(
            FieldSchema(name="word", table_size=9, cap=4),
            FieldSchema(name="hash", table_size=9, cap=4, beyond_cap="shared"),
            FieldSchema(name="user", table_size=5),
            FieldSchema(name="tags", table_size=6, cap=3, columns=2),
        ),
        embedding_dim=8,
    )


def test_capped_tables_start_as_those_of_their_own_size() -> None:
    torch.manual_seed(0)
    schema = FeatureSchema(fields=(FieldSchema(name="x", table_size=50_000, cap=3000),))
    assert Embedding(schema).weight.std().item() == pytest.approx(math.sqrt(2 / (3000 + 16)), rel=0.05)


def test_ids_beyond_a_cap_are_unknown_or_share_rows() -> None:
    schema = capped_schema()
    embedding = Embedding(schema)
    assert embedding.weight.shape == (4 + 4 + 5 + 3, 8)
    words, hashes, users, tags = embedding.weight.split([4, 4, 5, 3])
    ids = torch.tensor([[i, i, min(i, 4), 1 + i % 5, 0] for i in range(9)])
    out = embedding(ids)
    torch.testing.assert_close(out[:, :, 0], words[[0, 1, 2, 3, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(out[:, :, 1], hashes[[0, 1, 2, 3, 1, 2, 3, 1, 2]])
    torch.testing.assert_close(out[:, :, 2], users[[0, 1, 2, 3, 4, 4, 4, 4, 4]])
    known = torch.tensor([1.0, 1, 0, 0, 0, 1, 1, 0, 0]).unsqueeze(1)
    torch.testing.assert_close(out[:, :, 3], tags[[1, 2, 0, 0, 0, 1, 2, 0, 0]] * known)


def test_a_capped_hash_is_a_hash_into_fewer_rows_where_sizes_allow() -> None:
    hashed = torch.arange(1000) * 7919
    whole, small = hashed % 12 + 1, hashed % 4 + 1
    field = FieldSchema(name="x", table_size=13, cap=5, beyond_cap="shared")
    embedding = Embedding(FeatureSchema(fields=(field,), embedding_dim=2))
    torch.testing.assert_close(embedding(whole.unsqueeze(1))[:, :, 0], embedding.weight[small])


@pytest.mark.parametrize("schema", [tiny_schema(), pooled_schema(), composed_schema(), capped_schema()])
def test_ids_of_32_bits_give_what_those_of_64_give(schema: FeatureSchema) -> None:
    embedding, (_, ids) = Embedding(schema), make_batch(schema, 9)
    assert torch.equal(embedding(ids.int()), embedding(ids))
