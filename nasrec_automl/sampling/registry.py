"""Path samplers by the names that the job file uses."""

from __future__ import annotations

from nasrec_automl.errors import JobError
from nasrec_automl.sampling.any_path import AnyPath
from nasrec_automl.sampling.base import PathSampler
from nasrec_automl.sampling.full_path import FullPath
from nasrec_automl.sampling.single_operator import SingleOperatorAnyConnection
from nasrec_automl.sampling.single_path import SinglePath
from nasrec_automl.space import SearchSpace

PATH_SAMPLERS: dict[str, type[PathSampler]] = {
    "single-operator": SingleOperatorAnyConnection,
    "single-path": SinglePath,
    "any-path": AnyPath,
    "full-path": FullPath,
}


def path_sampler(name: str, space: SearchSpace) -> PathSampler:
    """Make a sampler by name.

    Raises:
        JobError: there is no such sampler.
    """
    if name not in PATH_SAMPLERS:
        raise JobError(f"no path sampler {name!r}; there are {', '.join(PATH_SAMPLERS)}")
    return PATH_SAMPLERS[name](space)
