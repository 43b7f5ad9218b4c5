"""The only module that imports `nni.nas`; it works around defects of NNI that this import meets.

`nni.nas.strategy` comes before anything of `nni.nas.oneshot`: the other order is a circular import that NNI swallows,
and leaves its own one-shot strategies broken. Two classes of torch that are no modules make NNI warn; it is harmless.

At its first use NNI copies a file of settings into the environment, not in one step: of two processes that start at
once on a fresh machine, one would read half of it. Here the file is put there whole.

NNI's training service says that a model has ended in a message that holds the model as a string in a string. NNI takes
a `//` or `#` there for a comment, cannot read the message, and waits for ever; pickles often have a `//`. Here
`nni.load` first reads a text as it is, and looks for comments only if that is no JSON.
"""

# isort: off
import warnings
from contextlib import suppress

from nni.common.serializer import load
from nni.runtime.config import get_builtin_config_file, get_config_directory

from nasrec_automl.data.files import write_bytes

with warnings.catch_warnings():
    warnings.filterwarnings(
        "ignore",
        message=".*(Buffer|LinearCrossEntropyOptions).* is found to be not a nn.Module",
        category=RuntimeWarning,
    )
    import nni.nas.strategy as nas_strategies
    from nni.mutable import Categorical, MutableExpression, SampleValidationError, label_scope
    from nni.nas.evaluator.pytorch import DataLoader, Lightning, LightningModule, Trainer
    from nni.nas.execution import ModelEventType
    from nni.nas.experiment import NasExperiment
    from nni.nas.experiment.config import NasExperimentConfig
    from nni.nas.nn.pytorch import ModelSpace, MutableModule, recursive_freeze
    from nni.nas.oneshot.pytorch.profiler import ExpectationProfilerPenalty, RangeProfilerFilter
    from nni.nas.oneshot.pytorch.sampling import RandomSamplingLightningModule
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
    from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
    from nni.nas.profiler.pytorch.flops import FlopsProfiler, FlopsResult, NumParamsProfiler, register_flops_formula
    from nni.nas.profiler.pytorch.utils import MutableShape, profiler_leaf_module
    from nni.nas.profiler.pytorch.utils.shape_formula import register_shape_inference_formula
    from nni.nas.space import ModelStatus, RawFormatModelSpace, model_context
    from nni.nas.strategy import DARTS, ENAS, Proxyless, Strategy
# isort: on

_SERVICES = "training_services.json"


def _settle_settings() -> None:
    """Put NNI's list of training services where NNI looks for it, unless it is there."""
    with suppress(OSError):  # where nothing can be written NNI says so itself
        path = get_config_directory() / _SERVICES
        if not path.exists():
            write_bytes(path, get_builtin_config_file(_SERVICES).read_bytes())


_settle_settings()
load.__kwdefaults__["ignore_comments"] = None


class UnlistedExperiment(NasExperiment):
    """An experiment inside a command, which `nnictl` does not list.

    It has no server, so `nnictl` can neither stop, view nor resume it. NNI would list it nevertheless, and for good;
    there is no public option against that.
    """

    def _start_without_nni_manager(self) -> None:
        return

    def _stop_without_nni_manager(self) -> None:
        return


__all__ = [
    "DARTS",
    "ENAS",
    "BaseSuperNetModule",
    "Categorical",
    "DataLoader",
    "ExpectationProfilerPenalty",
    "FlopsProfiler",
    "FlopsResult",
    "Lightning",
    "LightningModule",
    "ModelEventType",
    "ModelSpace",
    "ModelStatus",
    "MutableExpression",
    "MutableModule",
    "MutableShape",
    "NasExperiment",
    "NasExperimentConfig",
    "NumParamsProfiler",
    "OneShotStrategy",
    "Proxyless",
    "RandomSamplingLightningModule",
    "RangeProfilerFilter",
    "RawFormatModelSpace",
    "SampleValidationError",
    "Strategy",
    "Trainer",
    "UnlistedExperiment",
    "label_scope",
    "model_context",
    "nas_strategies",
    "profiler_leaf_module",
    "recursive_freeze",
    "register_flops_formula",
    "register_shape_inference_formula",
]
