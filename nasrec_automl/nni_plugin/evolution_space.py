"""What `OptunaEvolution` searches: a space, and the weights that its models share."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from nasrec_automl.errors import SpaceError
from nasrec_automl.nni_plugin.nas import RawFormatModelSpace
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.space import NasRecSpace
from nasrec_automl.nni_plugin.supermodule import SupernetModule


def searched_space(model_space: Any) -> tuple[torch.nn.Module, NasRecSpace]:
    """The model in NNI's executable form of a model space, raw or simplified, and the `NasRecSpace` in it.

    Raises:
        SpaceError: it holds none or several, or there are further choices.
    """
    raw = isinstance(model_space, RawFormatModelSpace)
    model = model_space.model_space if raw else model_space.model.get(traceable=False)
    found = [module for module in model.modules() if isinstance(module, NasRecSpace)]
    if len(found) != 1:
        raise SpaceError(
            f"OptunaEvolution searches a NasRecSpace, a model space that holds one, or the supernet of either, but a "
            f"{type(model).__name__} holds {len(found)}; for other spaces use nni.nas.strategy.RegularizedEvolution"
        )
    others = sorted(set(model_space.simplify()) - set(found[0].search_space.labels))
    if others:
        raise SpaceError(
            "OptunaEvolution chooses the architecture alone, but the model space or the evaluator has choices of its "
            f"own: {', '.join(others)}; give them fixed values"
        )
    return model, found[0]


def shared_weights(model: torch.nn.Module, options: NetworkOptions) -> str:
    """What a space's models are beside their architectures: a digest of the weights that they share, or how they begin.

    Args:
        model: the space.
        options: of its networks; where the weights are shared these say it.
    """
    if not any(isinstance(module, SupernetModule) for module in model.modules()):
        norm = "with" if options.layer_norm else "without"
        return f"of each model its own, {norm} LayerNorm, dropout {options.dropout:g}"
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
