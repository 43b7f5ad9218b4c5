import inspect

import pytest

from nasrec_automl import errors

CHILDREN = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.NasRecError) and cls is not errors.NasRecError
]


@pytest.mark.parametrize("cls", CHILDREN)
def test_each_error_is_also_a_built_in_one(cls: type[Exception]) -> None:
    assert issubclass(cls, (ValueError, OSError, RuntimeError, ImportError, ArithmeticError))
    assert cls.__doc__
    assert str(cls("a sentence")) == "a sentence"


def test_there_are_the_errors_that_the_package_documents() -> None:
    assert len(CHILDREN) >= 8
