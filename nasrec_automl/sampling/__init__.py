"""Path samplers: what each step of the supernet's training runs. One a file; randomness is passed in."""

from nasrec_automl.sampling.base import PathSampler
from nasrec_automl.sampling.registry import PATH_SAMPLERS, path_sampler
from nasrec_automl.sampling.warm_up import WarmUp

__all__ = ["PATH_SAMPLERS", "PathSampler", "WarmUp", "path_sampler"]
