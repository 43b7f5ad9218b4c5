import pandas as pd
import pytest
import yaml

from nasrec_automl.data.guess import joined, no_numbers, numbers_of, others_of, quoted, without


@pytest.mark.parametrize("text", ["a", "no", "1", "a b", "a: b", "#", 'say "so"', "é", ""])
def test_a_quoted_text_is_read_as_it_was(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text
    assert "\n" not in quoted(text)


def test_words_of_a_name_are_joined_by_underscores() -> None:
    names = ["user_id", "userId", "userID", "User ID", "user-id", "USERID", "id2", "adId.v2"]
    assert [joined(name) for name in names] == [
        *("user_id", "user_Id", "user_ID", "User_ID", "user_id", "USERID", "id2", "ad_Id_v2")
    ]


def test_letters_of_any_language_can_be_read_in_a_draft() -> None:
    assert quoted("Preis in €") == '"Preis in €"'


def test_numbers_may_have_few_others() -> None:
    column = pd.Series([*map(str, range(200)), "x", None])
    numbers = numbers_of(column.dropna())
    assert numbers is not None
    assert list(others_of(column, numbers)) == ["x"]
    assert no_numbers(column, others_of(column, numbers)) == "; NO NUMBER in 1 of 202 rows, such as 'x'"
    assert no_numbers(column, column.head(0)) == ""
    assert without(column) == "; MISSING in 1 of 202 rows, which preparation rejects"
    assert without(column.dropna()) == ""
    assert numbers_of(pd.Series(["1", "x"])) is None
