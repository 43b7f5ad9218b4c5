from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from nasrec_automl.data.categorical import Candidates, CategoricalColumn, CategoricalOptions
from nasrec_automl.data.keys import hex_texts
from nasrec_automl.errors import DataError
from nasrec_automl.schema import FieldSchema
from tests.data import learned

VALUES = pd.Series(["b", "a", "a", "c", "c", "c", "d", None], name="x")


def learn(values: "pd.Series[Any]", options: CategoricalOptions) -> CategoricalColumn:
    return learned.fit(values.to_frame("x"), dense={}, categorical={"x": options}).categorical[0]


def ids_of(column: CategoricalColumn, values: "pd.Series[Any]") -> NDArray[np.int64]:
    return column.ids(column.keys(values, "x").keys)


def fit(**options: object) -> CategoricalColumn:
    return learn(VALUES, CategoricalOptions.model_validate(options))


def test_vocabulary_is_by_frequency_then_text() -> None:
    column = fit()
    assert column.vocabulary == {"c": 1, "a": 2, "b": 3, "d": 4}
    assert column.table_size == 5


def test_missing_and_unknown_are_row_0() -> None:
    assert ids_of(fit(), pd.Series(["a", None, "new", float("nan"), ""])).tolist() == [[2], [0], [0], [0], [0]]


def test_rare_categories_have_no_row() -> None:
    assert fit(min_count=2).vocabulary == {"c": 1, "a": 2}


def test_the_cap_counts_row_0() -> None:
    column = fit(max_table_size=3)
    assert column.table_size == 3
    assert column.vocabulary == {"c": 1, "a": 2}


def test_counts_add_up_over_types() -> None:
    column = learn(pd.Series([1, "1", 1.0, "2"], dtype=object), CategoricalOptions(min_count=3))
    assert column.vocabulary == {"1": 1}


def test_an_empty_vocabulary_is_a_valid_table() -> None:
    column = fit(min_count=100)
    assert column.table_size == 2
    assert ids_of(column, VALUES).tolist() == [[0]] * 8


def test_the_hash_is_the_same_everywhere() -> None:
    # SipHash-2-4 and the finaliser of SplitMix64, computed apart. Other values would break saved models.
    column = fit(kind="hash", max_table_size=1000)
    made = ids_of(column, pd.Series(["a", "68fd1e64", 12, 12.0, "é", None, ""], dtype=object))
    assert made[:, 0].tolist() == [100, 894, 93, 93, 828, 0, 0]


def test_the_hash_fills_its_table_and_leaves_row_0() -> None:
    column = fit(kind="hash", max_table_size=8)
    made = ids_of(column, pd.Series([f"c{i}" for i in range(1000)]))[:, 0]
    assert set(made) == set(range(1, 8))
    assert np.bincount(made).max() < 200


def test_a_hash_needs_a_size() -> None:
    with pytest.raises(ValidationError, match="max_table_size"):
        CategoricalOptions(kind="hash")


def test_a_vocabulary_above_the_cap_is_hashed_and_a_smaller_one_is_not() -> None:
    assert fit(hash_above=5) == fit(), "four categories and row 0 fit"
    column = fit(hash_above=4)
    assert column == fit(kind="hash", max_table_size=4)
    made = ids_of(column, pd.Series(["a", "b", "new", None]))
    assert made[:3].all(), "categories that training did not see share rows with the others"
    assert made[3] == 0


def test_the_cap_counts_the_categories_that_have_a_row() -> None:
    assert fit(hash_above=3, min_count=2).vocabulary == {"c": 1, "a": 2}
    assert fit(hash_above=3, max_table_size=3).vocabulary == {"c": 1, "a": 2}


@pytest.mark.parametrize(("options", "size"), [({}, 6), ({"max_table_size": 9}, 6), ({"max_table_size": 4}, 4)])
def test_the_cap_bounds_a_hash(options: dict[str, int], size: int) -> None:
    assert fit(kind="hash", hash_above=6, **options) == fit(kind="hash", max_table_size=size)


@pytest.mark.parametrize("options", [{}, {"kind": "hash", "max_table_size": 9}, {"hash_above": 3}])
def test_a_compositional_column_has_the_same_ids(options: dict[str, object]) -> None:
    plain, composed = fit(**options), fit(**options, compositional=2)
    assert composed == plain.model_copy(update={"compositional": 2})


@pytest.mark.parametrize("row", [0, 5])
def test_a_vocabulary_outside_its_table_is_refused(row: int) -> None:
    with pytest.raises(ValidationError, match=r"rows must lie in 1\.\.4"):
        CategoricalColumn(name="x", kind="vocabulary", table_size=5, vocabulary={"a": row})


def test_a_capped_vocabulary_is_one_that_was_made_smaller() -> None:
    whole, small = fit(), fit(max_table_size=3)
    field = whole.field(3)
    assert (field.table_size, field.cap, field.beyond_cap) == (5, 3, "unknown")
    ids = ids_of(whole, VALUES)
    assert np.where(ids < 3, ids, 0).tolist() == ids_of(small, VALUES).tolist()


def test_a_cap_leaves_small_and_compositional_fields_alone() -> None:
    assert fit().field(5) == fit().field() == FieldSchema(name="x", table_size=5)
    assert fit(compositional=2).field(3) == FieldSchema(name="x", table_size=5, compositional=2)
    assert fit(kind="hash", max_table_size=9).field(4).beyond_cap == "shared"


@given(
    numbers=st.lists(st.integers(1, 6), max_size=30),
    shares=st.integers(1, 8),
    given_options=st.fixed_dictionaries(
        {"format": st.sampled_from(["any", "hex"]), "min_count": st.integers(1, 4)},
        optional={"max_table_size": st.integers(2, 12), "hash_above": st.integers(2, 20)},
    ),
)
def test_a_table_is_the_same_however_many_categories_come_at_once(
    numbers: list[int], shares: int, given_options: dict[str, Any]
) -> None:
    options = CategoricalOptions.model_validate(given_options)
    keys, counts = np.arange(1, 1 + len(numbers), dtype=np.uint64), np.array(numbers, dtype=np.int64)
    made = []
    for parts in (1, shares):
        candidates = Candidates(options)
        for part in range(parts):
            candidates.add(keys[part::parts], counts[part::parts])
        made.append(CategoricalColumn.learn("x", options, candidates, hex_texts))
    assert made[0] == made[1]
    often = [(-number, f"{key:08x}") for key, number in enumerate(numbers) if number >= options.min_count]
    ranked = [text for _, text in sorted(often)][: (options.max_table_size or 99) - 1]
    if options.hash_above is not None and len(ranked) + 1 > options.hash_above and ranked:
        assert (made[0].kind, made[0].table_size) == ("hash", options.hash_size)
    else:
        assert made[0].vocabulary == {text: row for row, text in enumerate(ranked, start=1)}
        assert made[0].table_size == max(2, len(ranked) + 1)


def test_texts_decide_among_the_last_of_one_count() -> None:
    values = pd.Series([*"zyxwvu", "a", "a"], name="x")
    column = learn(values, CategoricalOptions(max_table_size=4))
    assert column.vocabulary == {"a": 1, "u": 2, "v": 3}


HEX = pd.Series(["00000000", "ffffffff", "ffffffff", None, "", "0000000c"])


def test_hex_digits_make_a_vocabulary_of_their_texts() -> None:
    column = learn(HEX, CategoricalOptions(format="hex"))
    assert column.vocabulary == {"ffffffff": 1, "00000000": 2, "0000000c": 3}
    assert ids_of(column, HEX)[:, 0].tolist() == [2, 1, 1, 0, 0, 3]


def test_a_hash_of_hex_digits_is_the_published_one() -> None:
    column = learn(HEX, CategoricalOptions(format="hex", kind="hash", max_table_size=1000))
    assert ids_of(column, HEX)[:, 0].tolist() == [1, 0xFFFFFFFF % 999 + 1, 0xFFFFFFFF % 999 + 1, 0, 0, 13]


GENRES = pd.Series(["a|b", "b", None, "c|b|a", ""])


def test_a_multi_valued_column_has_several_ids_a_row() -> None:
    column = learn(GENRES, CategoricalOptions(max_values=2, pooling="sum"))
    assert column.vocabulary == {"b": 1, "a": 2, "c": 3}, "what is beyond the most values is not counted"
    assert ids_of(column, GENRES).tolist() == [[2, 1], [1, 0], [0, 0], [3, 1], [0, 0]]
    assert column.field() == FieldSchema(name="x", table_size=4, columns=2, pooling="sum")
    with pytest.raises(ValidationError, match="multi-valued column has the format `any`"):
        CategoricalOptions(format="hex", max_values=2)


def test_threads_that_come_at_once_find_the_same_rows() -> None:
    words = [f"c{number}" for number in range(200_000)]
    values = pd.Series([*words[-500:], "new"])
    vocabulary = {word: row for row, word in enumerate(words, start=1)}
    for _ in range(3):
        column = CategoricalColumn(name="x", kind="vocabulary", table_size=200_001, vocabulary=vocabulary)
        keys = column.keys(values, "x").keys
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _: column.ids(keys), range(8)):  # noqa: B023
                assert found[:, 0].tolist() == [*range(199_501, 200_001), 0]


def test_one_category_has_one_row() -> None:
    column = CategoricalColumn(
        name="x", kind="vocabulary", format="hex", table_size=3, vocabulary={"0000000a": 1, "0000000A": 2}
    )
    with pytest.raises(DataError, match="field 'x': two texts of the vocabulary are one category"):
        ids_of(column, HEX)
