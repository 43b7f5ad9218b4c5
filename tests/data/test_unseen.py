import numpy as np
import pandas as pd
import pytest

from nasrec_automl.data.categorical import CategoricalOptions
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.data.unseen import UnseenValues
from tests.data import learned

TRAINED = pd.DataFrame(
    {
        "is_mobile": [True, False, False, False] * 5,
        "city": ["a", "b", "c", "d"] * 5,
        "tags": ["x|y", "y", "x", "y"] * 5,
        "code": ["0000000a", "0000000b"] * 10,
        "user": [f"u{i}" for i in range(20)],
        "rare": [f"r{i}" for i in range(20)],
    }
)


@pytest.fixture(scope="module")
def fitted() -> Preprocessing:
    return learned.fit(
        TRAINED,
        dense={},
        categorical={
            "is_mobile": CategoricalOptions(),
            "city": CategoricalOptions(),
            "tags": CategoricalOptions(max_values=2),
            "code": CategoricalOptions(format="hex"),
            "user": CategoricalOptions(kind="hash", max_table_size=9),
            "rare": CategoricalOptions(min_count=2),
        },
    )


def warnings(fitted: Preprocessing, *frames: pd.DataFrame) -> dict[str, str]:
    unseen = UnseenValues(fitted.categorical)
    for frame in frames:
        expected = fitted.transform(frame)
        for found, other in zip(fitted.transform(frame, unseen), expected, strict=True):
            np.testing.assert_array_equal(found, other)
    return unseen.warnings()


def test_what_is_known_or_missing_or_hashed_is_no_matter(fitted: Preprocessing) -> None:
    assert warnings(fitted, TRAINED) == {}
    assert warnings(fitted, TRAINED.assign(user="new", city=None, tags="", rare="none is known")) == {}


def test_fields_without_any_value_are_named_where_rows_are_many(fitted: Preprocessing) -> None:
    empty = TRAINED.assign(city=None, tags="", user=None, rare=None)
    unseen = UnseenValues(fitted.categorical)
    for _ in range(4):
        fitted.transform(empty, unseen)
    assert unseen.missing() == {}, "80 rows are few"
    fitted.transform(empty, unseen)
    assert unseen.missing() == {
        "city": "city: has no value in any of 100 rows: where the training rows have values, write them here too",
        "tags": "tags: has no value in any of 100 rows: where the training rows have values, write them here too",
    }
    assert unseen.warnings() == {}
    fitted.transform(TRAINED, unseen)
    assert unseen.missing() == {}


def test_fields_of_which_nothing_is_known_are_named(fitted: Preprocessing) -> None:
    other = TRAINED.assign(is_mobile=0, city="A", tags="X|Y", code="0000000c")
    assert warnings(fitted, other) == {
        "is_mobile": "is_mobile: 100% of its values are unknown to the model (such as '0'; it knows 'False', 'True'): "
        "write them as the training rows have them",
        "city": "city: 100% of its values are unknown to the model (such as 'A'; it knows 'a', 'b', 'c' and 1 more): "
        "write them as the training rows have them",
        "tags": "tags: 100% of its values are unknown to the model (such as 'X'; it knows 'y', 'x'): "
        "write them as the training rows have them",
        "code": "code: 100% of its values are unknown to the model (such as '0000000c'; it knows '0000000a', "
        "'0000000b'): write them as the training rows have them",
    }


def test_the_rows_of_all_calls_count_together(fitted: Preprocessing) -> None:
    other = TRAINED.assign(city="A")
    assert warnings(fitted, other.head(9)) == {}, "too few to tell"
    assert set(warnings(fitted, other.head(5), other.head(5))) == {"city"}
    assert warnings(fitted, other, TRAINED.head(2)) == {}, "a part of them is known"
    assert set(warnings(fitted, other, other, TRAINED.head(2))) == {"city"}, "nearly all"
