from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from nasrec_automl.config_types import Count, Duration, PositiveFloat, Section, path_from


@pytest.mark.parametrize("text", ["90s", "30m", "2h", "1d", "010s"])
def test_a_time_has_a_unit(text: str) -> None:
    assert TypeAdapter(Duration).validate_python(text) == text


@pytest.mark.parametrize("text", ["90", "0s", "s", "-1s", "1.5h", "1w"])
def test_a_time_without_a_unit_or_above_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="such as 90s, 30m, 2h or 1d"):
        TypeAdapter(Duration).validate_python(text)


def test_a_number_may_be_written_without_a_dot_and_a_count_may_not_be_rounded() -> None:
    assert TypeAdapter(PositiveFloat).validate_python("1e-3") == 0.001
    with pytest.raises(ValidationError):
        TypeAdapter(Count).validate_python(2.5)


@pytest.mark.parametrize(("text", "count"), [("1e6", 1_000_000), ("1.5E+3", 1_500), ("2.e0", 2), ("1.0e+6", 1_000_000)])
def test_a_count_may_have_an_exponent(text: str, count: int) -> None:
    assert TypeAdapter(Count).validate_python(text) == count
    assert TypeAdapter(Count).validate_python(yaml.safe_load(text)) == count


@pytest.mark.parametrize("text", ["1.5e0", "0e6", "1e-6", "1.2.3e6", "e6", "1000", "1e999"])
def test_a_count_is_a_whole_number_all_the_same(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Count).validate_python(text)


def test_a_path_is_relative_to_a_folder_or_to_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for path, found in (("a/b", "/jobs/a/b"), ("/a", "/a"), ("~/a", "/home/me/a"), ("a/~", "/jobs/a/~")):
        assert path_from(Path("/jobs"), path) == path_from(Path("/jobs"), Path(path)) == Path(found)


def test_a_section_knows_its_keys_and_never_changes() -> None:
    class Cake(Section):
        layers: Count = 2

    with pytest.raises(ValidationError, match="Extra inputs"):
        Cake.model_validate({"layer": 3})
    with pytest.raises(ValidationError, match="frozen"):
        Cake().layers = 3
