"""Registration of this package's strategies with NNI."""

from __future__ import annotations

from nasrec_automl.nni_plugin.evolution import OptunaEvolution
from nasrec_automl.nni_plugin.nas import nas_strategies
from nasrec_automl.nni_plugin.oneshot import NasRecOneShot


def register() -> None:
    """Make this package's strategies `NasRecOneShot` and `OptunaEvolution` available in `nni.nas.strategy`.

    It serves code that looks strategies up by name in NNI's module. It lasts for the process; a second call changes
    nothing.

    Example:
        >>> import nasrec_automl
        >>> nasrec_automl.register()
        >>> import nni.nas.strategy
        >>> nni.nas.strategy.NasRecOneShot(warm_up_steps=100, seed=1)
        NasRecOneShot(sampling='single-operator', warm_up_steps=100, seed=1, export_candidates=64)
    """
    for strategy in (NasRecOneShot, OptunaEvolution):
        setattr(nas_strategies, strategy.__name__, strategy)
