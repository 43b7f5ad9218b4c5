"""YAML files that people write: read without a key that is there twice, and pydantic's complaints in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from nasrec_automl.errors import NasRecError

_SHOWN = 60


class _LineError(yaml.MarkedYAMLError):
    """What is wrong with a line, in our words."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice in a mapping, of which `yaml.safe_load` takes the last without a word.

    It also says which value it is that looks like a date or a number and is none, where `yaml.safe_load` lets Python's
    own error out.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise _LineError(
                    problem=f"{key.value!r} is there twice in one mapping: keep one", problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            problem = f"{_shown(node.value)} cannot be read ({error}): correct it, or put it in quotes if it is a text"
            raise _LineError(problem=problem, problem_mark=node.start_mark) from None


def load_yaml(path: Path, error: type[NasRecError]) -> Any:
    """Read a YAML file.

    Args:
        path: the file.
        error: what to raise.

    Returns:
        Its content, None of an empty file.

    Raises:
        NasRecError: of the type `error`: the file is no YAML in UTF-8, has a key twice in one mapping, or a value that
            looks like a date or a number and is none.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as wrong:
        raise error(f"{path}: not a YAML file ({wrong})") from None
    return parse_yaml(text, str(path), error, what="a YAML file")


def parse_yaml(text: str, where: str, error: type[NasRecError], what: str = "YAML") -> Any:
    """Read YAML.

    Args:
        text: the YAML.
        where: it stands, for the messages.
        error: what to raise.
        what: the text should be, for the messages.

    Returns:
        Its content, None of an empty text.

    Raises:
        NasRecError: of the type `error`: the text is no YAML, has a key twice in one mapping, or a value that looks
            like a date or a number and is none.
    """
    try:
        return _Loader(text).get_single_data()
    except _LineError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark is not None else "?"
        raise error(f"{where}, line {line}: {wrong.problem}") from None
    except yaml.YAMLError as wrong:
        raise error(f"{where}: not {what} ({' '.join(str(wrong).split())})") from None


def complaint(problem: Mapping[str, Any], example: str = "") -> str:
    """Say what pydantic has against a value.

    Args:
        problem: one of the `errors()` of a `ValidationError`.
        example: of a right mapping or list, as YAML.

    Example:
        >>> complaint({"type": "tuple_type", "input": "id", "msg": "Input should be a valid tuple"}, "[row_id]")
        "expected a list such as [row_id], but it is 'id'"
    """
    kind, given = problem["type"], problem["input"]
    came = "but it is empty" if given is None else f"but it is {_shown(given)}"
    such = f" such as {example}" if example else ""
    if kind == "missing":
        return "this field is required"
    if kind == "extra_forbidden":
        return "no such field: correct its name, or leave it out"
    if kind in ("model_type", "dict_type"):
        return f"expected a mapping{such}, {came}"
    if kind in ("tuple_type", "list_type"):
        return f"expected a list{such}, {came}"
    several = isinstance(given, dict | list)
    if kind == "string_type":
        return f"expected a text, {came}" + ("" if given is None or several else ": put it in quotes")
    message = str(problem["msg"]).removeprefix("Value error, ")
    # Our own messages say what came where that helps, and of a whole file there is too much to show.
    return message if kind in ("value_error", "json_invalid") or several else f"{message}, {came}"


def first_complaint(error: ValidationError) -> str:
    """Say where the first of the wrong values is, and what pydantic has against it."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {complaint(first)}" if where else complaint(first)


def _shown(value: Any) -> str:
    return repr(value) if len(repr(value)) <= _SHOWN else f"{repr(value)[:_SHOWN]}..."
