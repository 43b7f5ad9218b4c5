"""Costs for NNI's `FlopsProfiler` and `NumParamsProfiler`, as expressions over the mutables of a space.

The cost of a part depends on whether anything reads it, and so on the labels of all later blocks. A sum over modules
cannot express this, but one expression over all mutables can; `profile` evaluates it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nasrec_automl.cost import Profile, profile
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin.nas import (
    Categorical,
    FlopsResult,
    MutableExpression,
    MutableShape,
    profiler_leaf_module,
    register_flops_formula,
    register_shape_inference_formula,
)
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace


def cost_expressions(
    space: SearchSpace, schema: FeatureSchema, mutables: Sequence[Categorical], *, layer_norm: bool
) -> FlopsResult:
    """Live multiply-adds and parameters as expressions, which have a value for every sample.

    They are counted as by `nasrec_automl.profile`: no bias, normalisation or activation counts as a multiply-add, and
    every parameter of the frozen model counts, embedding tables included, whatever NNI's profilers are told to leave
    out.

    Args:
        space: the space.
        schema: the features.
        mutables: one per label of the space.
        layer_norm: whether operators end in a LayerNorm.
    """

    def cost(values: Sequence[Any]) -> Profile:
        chosen = {mutable.label: value for mutable, value in zip(mutables, values, strict=True)}
        return profile(space.from_params(chosen), schema, layer_norm=layer_norm)

    def macs(*values: Any) -> int:
        return cost(values).macs

    def parameters(*values: Any) -> int:
        return cost(values).parameters

    if not mutables:  # a space of one architecture; NNI's expressions need something to choose
        return FlopsResult(macs(), parameters())
    arguments = ", ".join("{}" for _ in mutables)
    return FlopsResult(
        MutableExpression(macs, f"macs({arguments})", list(mutables)),
        MutableExpression(parameters, f"parameters({arguments})", list(mutables)),
    )


def register_cost(network: type, cost: Callable[[Any], FlopsResult]) -> None:
    """Tell NNI's profilers the cost of a class of networks; they do not look at its parts then.

    Args:
        network: the class, whose networks take `(dense, ids)`.
        cost: computes the cost of one network.
    """
    profiler_leaf_module(network)
    register_shape_inference_formula(network, lambda module, dense, ids: MutableShape(dense.real_shape[0]))
    register_flops_formula(network, lambda module, inputs, outputs: cost(module))


def _subnet_cost(subnet: Subnet) -> FlopsResult:
    found = profile(subnet.architecture, subnet.schema, layer_norm=subnet.layer_norm)
    return FlopsResult(found.macs, found.parameters)


register_cost(Subnet, _subnet_cost)
