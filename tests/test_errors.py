import inspect
import re
from pathlib import Path

import pytest

from nasrec_automl import errors

CHILDREN = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.NasRecError) and cls is not errors.NasRecError
]


@pytest.mark.parametrize("cls", CHILDREN)
def test_each_error_is_also_a_built_in_one(cls: type[Exception]) -> None:
    assert issubclass(cls, (ValueError, OSError, ImportError, ArithmeticError))
    assert cls.__doc__
    assert str(cls("a sentence")) == "a sentence"


def test_there_are_the_errors_that_the_package_raises() -> None:
    package = Path(errors.__file__).parent
    raised = {
        name
        for path in package.rglob("*.py")
        for name in re.findall(r"raise (?:errors\.)?(\w+Error)\(", path.read_text())
    }
    assert {cls.__name__ for cls in CHILDREN} <= raised
