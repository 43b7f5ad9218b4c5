from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from nasrec_automl.errors import DataError, JobError
from nasrec_automl.yaml_files import complaint, first_complaint, load_yaml


def load(folder: Path, text: str | bytes) -> object:
    path = folder / "f.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(path, JobError)


def test_it_reads_as_yaml_does(tmp_path: Path) -> None:
    assert load(tmp_path, "") is None
    assert load(tmp_path, "a: {b: 1}\nc: {b: 2}\n") == {"a": {"b": 1}, "c": {"b": 2}}
    assert load(tmp_path, "[{a: 1}, {a: 2}]") == [{"a": 1}, {"a": 2}]


def test_what_is_merged_may_be_there_again(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: {<<: *a, x: 2}\n"
    assert load(tmp_path, text) == {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}}


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("a: 1\nb: 2\na: 3\n", r"f\.yaml, line 3: 'a' is there twice in one mapping: keep one"),
        ("a:\n  b: 1\n  'b': 2\n", r"f\.yaml, line 3: 'b' is there twice"),
        ("- {a: 1, a: 1}\n", r"f\.yaml, line 1: 'a' is there twice"),
        (
            "a: 1\nname: 2024-02-30\n",
            r"f\.yaml, line 2: '2024-02-30' cannot be read \(day .*\): correct it, or put it in quotes if it is a text",
        ),
        ("- 1\n- [x, 0x_]\n", r"f\.yaml, line 2: '0x_' cannot be read \(invalid literal"),
        (f"n: {'9' * 5000}\n", rf"f\.yaml, line 1: '{'9' * 59}\.\.\. cannot be read \(Exceeds"),
        ("a: [\n", r"f\.yaml: not a YAML file \(while parsing"),
        (b"a: \xff\n", r"f\.yaml: not a YAML file \('utf-8' codec"),
        ("a: !!python/object:os.system {}\n", r"f\.yaml: not a YAML file \(could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, naming: str, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=naming):
        load(tmp_path, text)


def test_a_missing_file_is_the_callers_to_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_yaml(tmp_path / "none.yaml", DataError)


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("missing", {}, "this field is required"),
        ("model_type", None, "expected a mapping such as {a: 1}, but it is empty"),
        ("dict_type", "x", "expected a mapping such as {a: 1}, but it is 'x'"),
        ("tuple_type", "x" * 99, f"expected a list such as {{a: 1}}, but it is '{'x' * 59}..."),
        ("string_type", 5, "expected a text, but it is 5: put it in quotes"),
        ("string_type", None, "expected a text, but it is empty"),
        ("string_type", ["x"], "expected a text, but it is ['x']"),
        ("value_error", 5, "it is wrong"),
        ("too_short", [], "it is wrong"),
        ("int_type", "x", "it is wrong, but it is 'x'"),
        ("extra_forbidden", 5, "no such field: correct its name, or leave it out"),
        ("json_invalid", b"{", "it is wrong"),
    ],
)
def test_words(kind: str, given: object, expected: str) -> None:
    assert complaint({"type": kind, "input": given, "msg": "Value error, it is wrong"}, "{a: 1}") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"a": [1, null, "y"]}', "a.1: Input should be a valid integer, but it is empty"),
        ("3", "expected a mapping, but it is 3"),
        ("{", "Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_the_first_complaint_says_where(content: str, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(dict[str, list[int]]).validate_json(content)
    assert first_complaint(caught.value) == expected
