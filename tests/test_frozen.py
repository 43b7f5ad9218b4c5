import pytest
from pydantic import ValidationError

from nasrec_automl.config_types import Section
from nasrec_automl.frozen import Frozen


class Point(Frozen):
    x: float


class Place(Section):
    x: float


@pytest.mark.parametrize("kind", [Point, Place])
def test_a_value_never_changes_and_knows_no_other_keys(kind: type[Point] | type[Place]) -> None:
    value = kind(x=1)
    with pytest.raises(ValidationError, match="frozen"):
        value.x = 2
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind.model_validate({"x": 1, "y": 2})


def test_a_jobs_numbers_are_finite() -> None:
    assert Point(x=float("inf")).x == float("inf")
    with pytest.raises(ValidationError, match="finite"):
        Place(x=float("inf"))
