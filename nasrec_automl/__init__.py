"""Architecture search for click-through-rate models: NASRec's supernet in NNI, searched by Optuna studies.

Importing this package is light: names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasrec_automl.architecture import Architecture as Architecture
    from nasrec_automl.architecture import Path as Path
    from nasrec_automl.cost import Profile as Profile
    from nasrec_automl.cost import profile as profile
    from nasrec_automl.errors import NasRecError as NasRecError
    from nasrec_automl.nni_plugin.registration import register as register
    from nasrec_automl.pipeline.model_folder import load_model as load_model
    from nasrec_automl.pipeline.objective import objective as objective
    from nasrec_automl.schema import FeatureSchema as FeatureSchema
    from nasrec_automl.space import SearchSpace as SearchSpace
    from nasrec_automl.space import load_architecture as load_architecture
    from nasrec_automl.space import load_search_space as load_search_space

__version__ = "0.1.0"

_HOME = {
    "Architecture": "architecture",
    "FeatureSchema": "schema",
    "NasRecError": "errors",
    "Path": "architecture",
    "Profile": "cost",
    "SearchSpace": "space",
    "load_architecture": "space",
    "load_model": "pipeline.model_folder",
    "load_search_space": "space",
    "objective": "pipeline.objective",
    "profile": "cost",
    "register": "nni_plugin.registration",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nasrec_automl' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nasrec_automl.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
