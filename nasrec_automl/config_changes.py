"""Values that stand in for those of a job file, such as `nasrec-automl run job.yaml --set seed=2019`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nasrec_automl.errors import JobError
from nasrec_automl.yaml_files import parse_yaml


def read_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read changes as a command line has them.

    Args:
        texts: of the form KEY=VALUE, with sections and keys separated by dots, and the value as YAML.

    Returns:
        Values by key; of a key that is there twice, the last one.

    Raises:
        JobError: a text has another form.

    Example:
        >>> read_changes(["seed=2019", "search.objectives=[log_loss, macs]"])
        {'seed': 2019, 'search.objectives': ['log_loss', 'macs']}
    """
    changes = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise JobError(f"--set {text}: expected KEY=VALUE, such as search.architectures=64")
        changes[key] = parse_yaml(value, f"--set {text}", JobError)
    return changes


def with_changes(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a job file with other values; sections that are not there are added.

    Args:
        content: of the file; it stays as it is.
        changes: values by key, with sections and keys separated by dots.

    Raises:
        JobError: a key leads through a value that is no section.
    """
    changed = dict(content)
    for key, value in changes.items():
        section = changed
        *sections, last = key.split(".")
        for depth, name in enumerate(sections, start=1):
            inner = section.get(name)
            if not isinstance(inner, Mapping | None):
                raise JobError(f"{key}: {'.'.join(sections[:depth])} is no section, but {inner!r}")
            section[name] = section = dict(inner or {})
        section[last] = value
    return changed
