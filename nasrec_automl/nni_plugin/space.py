"""NASRec's space as an NNI model space."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from nasrec_automl.errors import ArchitectureError, CheckpointError, DataError, ExtraError, NasRecError, SpaceError
from nasrec_automl.network import Subnet
from nasrec_automl.nni_plugin.differentiable import DifferentiableNetwork
from nasrec_automl.nni_plugin.mutables import from_sample, mutables
from nasrec_automl.nni_plugin.nas import (
    DARTS,
    ENAS,
    ExpectationProfilerPenalty,
    FlopsProfiler,
    FlopsResult,
    ModelSpace,
    MutableModule,
    NumParamsProfiler,
    Proxyless,
    SampleValidationError,
    model_context,
    recursive_freeze,
)
from nasrec_automl.nni_plugin.options import NetworkOptions
from nasrec_automl.nni_plugin.profilers import cost_expressions, register_cost
from nasrec_automl.nni_plugin.relaxation import SampledOneHot
from nasrec_automl.nni_plugin.supermodule import SharedNetwork, SupernetModule
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import SearchSpace, load_architecture, load_search_space
from nasrec_automl.yaml_files import first_complaint


class ChoiceNetwork(MutableModule):
    """Holds all mutables of the space. Frozen with a sample, it becomes the subnet of that sample.

    Until then its forward pass runs the architecture of all first choices, which NNI calls a dry run. That network is
    made at the first run: most spaces are only asked for their choices, or frozen, and tables can be large.
    """

    def __init__(self, space: SearchSpace, schema: FeatureSchema, options: NetworkOptions) -> None:
        super().__init__()
        self.space = space
        self.schema = schema
        self.options = options
        self.dry_run: nn.Module | None = None
        for mutable in mutables(space):
            self.add_mutable(mutable)

    @classmethod
    def create_fixed_module(
        cls, sample: dict[str, Any], space: SearchSpace, schema: FeatureSchema, options: NetworkOptions
    ) -> nn.Module:
        """Make the subnet of a sample, to be trained; NNI calls it inside `model_context`."""
        return options.begin(partial(Subnet, from_sample(space, sample), schema))

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Make the subnet of a sample, with new weights."""
        return self.create_fixed_module(sample, self.space, self.schema, self.options)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits `(B,)` of the architecture of all first choices."""
        if self.dry_run is None:
            first = {label: choices[0] for label, choices in self.space.labels.items()}
            with torch.inference_mode(False):
                self.dry_run = self.freeze(first).to(dense.device).train(self.training)
        logits: Tensor = self.dry_run(dense, ids)
        return logits


def _choice_cost(network: ChoiceNetwork) -> FlopsResult:
    return cost_expressions(
        network.space, network.schema, list(network.mutables), layer_norm=network.options.layer_norm
    )


def _supernet_cost(network: SupernetModule) -> FlopsResult:
    supernet = network.supernet
    return cost_expressions(supernet.space, supernet.schema, list(network.mutables), layer_norm=supernet.layer_norm)


register_cost(ChoiceNetwork, _choice_cost)
register_cost(SharedNetwork, _supernet_cost)
register_cost(DifferentiableNetwork, _supernet_cost)


class ReusedSampleError(ArchitectureError, SampleValidationError):
    """The dict of a sample was checked before, and has been changed since; NNI's `validate` raises it."""


class NasRecSpace(ModelSpace):
    """The block-wise space as an NNI `ModelSpace`.

    Frozen by `freeze`, `random` or inside `model_context`, its `network` is the subnet of the sample. It works with any
    loader of `(dense, ids, label[, weight])` and in any Lightning module of NNI's, with any optimiser once
    `sparse_gradients` is off.

    Args:
        space: name of a space, path of its YAML file, the space, or its fields.
        schema: the features, or their fields.
        layer_norm: whether operators end in a LayerNorm.
        dropout: on the embeddings and on each block's dense output.
        seed: of the start values.
        sparse_gradients: whether the embeddings' gradients hold the rows of the batch alone, so that a step costs the
            same whatever the size of the tables. `torch.optim.SGD` and `torch.optim.Adagrad` take them (without weight
            decay); `torch.optim.Adam` and `AdamW` refuse them and need False.

    Raises:
        SpaceError: there is no such space, or its fields are wrong.
        DataError: the fields of the schema are wrong.

    Example:
        >>> from nasrec_automl import FeatureSchema
        >>> schema = FeatureSchema.from_sizes(dense=4, table_sizes=[100] * 8)
        >>> NasRecSpace("nasrec-full", schema)
        NasRecSpace(space='nasrec-full', dense=4, fields=8, layer_norm=True, dropout=0.0, seed=0, sparse_gradients=True)
        >>> NasRecSpace.load_searched_model("criteo-full", schema=schema).network.architecture.key
        'c5277f9c297054e4'
    """

    def __init__(
        self,
        space: str | Path | SearchSpace | Mapping[str, Any],
        schema: FeatureSchema | Mapping[str, Any],
        *,
        layer_norm: bool = True,
        dropout: float = 0.0,
        seed: int = 0,
        sparse_gradients: bool = True,
    ) -> None:
        super().__init__()
        self.search_space = _space(space)
        self._checked: tuple[dict[str, Any] | None, dict[str, Any]] = (None, {})
        schema = _schema(schema)
        self.schema = schema
        self.options = NetworkOptions(layer_norm, dropout, seed, sparse_gradients)
        self.network = ChoiceNetwork(self.search_space, schema, self.options)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """Logits.

        Args:
            dense: `(B, D)`.
            ids: `(B, S)` int64.

        Returns:
            `(B,)`.
        """
        logits: Tensor = self.network(dense, ids)
        return logits

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Make the model of a sample; made from a supernet, it has the shared weights.

        NNI's own `freeze` first copies the network with all its tables, only to replace the copy.
        """
        if self.mutables or not isinstance(self.network, MutableModule):
            frozen: nn.Module = super().freeze(sample)
            return frozen
        network = self.network.freeze(sample)
        frozen = copy.deepcopy(self, {id(self.network): network})
        frozen, _ = recursive_freeze(frozen, sample, include_root=False)  # what else a subclass may hold
        return frozen

    @classmethod
    def load_searched_model(
        cls,
        name: str,
        pretrained: bool = False,
        download: bool = False,
        progress: bool = True,
        *,
        schema: FeatureSchema,
        space: str | Path | SearchSpace | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> NasRecSpace:
        """Make a published architecture, or one of a file, with new weights.

        Args:
            name: `criteo`, `avazu` or `kdd12`, then `-full` or `-small`; or the JSON file of an architecture.
            pretrained: no weights were published; must be False.
            download: NNI's; there is nothing to load.
            progress: NNI's.
            schema: the features.
            space: as in the constructor; needed when the file's space does not ship with the package.
            options: of the constructor: `layer_norm` (the published final trainings go without), `dropout`, `seed`,
                `sparse_gradients`.

        Raises:
            ArchitectureError: there is no such architecture, or it is of another space.
            CheckpointError: weights are asked for.
        """
        if pretrained:
            raise CheckpointError(
                f"no weights were published for {name!r}: leave `pretrained` out and train it, "
                "or load a run of your own with `nasrec_automl.load_model`"
            )
        architecture = load_architecture(name, None if space is None else _space(space))
        with model_context(dict(architecture.params)):
            return cls(architecture.space, schema, **options)

    def extra_oneshot_hooks(self, strategy: Any) -> list[Any]:
        """Tell a one-shot strategy what to train: all choices at once, weighted, or one path of shared weights.

        Raises:
            ExtraError: ENAS without the packages of its controller.
            NasRecError: NNI's own ENAS, or a penalty that NNI cannot compute on this space.
        """
        if isinstance(strategy, ENAS):
            _check_enas(strategy)
        _check_penalty(strategy)

        def replace(module: nn.Module, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
            if not isinstance(module, ChoiceNetwork):
                return False
            arguments = (module.space, module.schema, module.options)
            if not isinstance(strategy, DARTS):
                return SharedNetwork(*arguments)
            softmax = SampledOneHot() if isinstance(strategy, Proxyless) else mutate_kwargs["softmax"]
            return DifferentiableNetwork(*arguments, softmax=softmax)

        return [replace]

    def contains(self, sample: dict[str, Any]) -> bool:
        """Whether a sample is of the space. The sample is not kept: its dict may be changed and checked again."""
        return super().check_contains(sample) is None

    def check_contains(self, sample: dict[str, Any]) -> Exception | None:
        """Say what is wrong with a sample; NNI asks before it keeps the sample to freeze it later.

        Returns:
            None, NNI's own error, or a `ReusedSampleError`.
        """
        checked, was = self._checked
        if sample is checked and sample != was:
            return ReusedSampleError(
                "this dict was checked before and has been changed since: models frozen from it would all be the last "
                "one, so make a new dict for each sample. NNI's GridSearch fills one dict again and again: with it use "
                "`SimplifiedModelFormatConfig` (each model is trained alone), or search a trained supernet with "
                "Random, RegularizedEvolution or TPE"
            )
        self._checked = (sample, dict(sample))
        found: Exception | None = super().check_contains(sample)
        return found

    def save_init_arguments(self, *args: Any, **kwargs: Any) -> None:
        """Keep the arguments for `nni.dump` as plain JSON: NNI would pickle them, and refuses large pickles."""
        super().save_init_arguments(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})

    def __repr__(self) -> str:
        """One line, the same for equal spaces; a frozen one names its architecture by key."""
        network, schema = self.network, self.schema
        shown = {
            "space": self.search_space.name,
            "dense": len(schema.dense),
            "fields": schema.num_fields,
            **asdict(self.options),
        }
        if isinstance(network, Subnet):
            shown["architecture"] = network.architecture.key
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _space(space: str | Path | SearchSpace | Mapping[str, Any]) -> SearchSpace:
    if isinstance(space, SearchSpace):
        return space
    if not isinstance(space, Mapping):
        return load_search_space(space)
    try:
        return SearchSpace.model_validate(space)
    except ValidationError as error:
        raise SpaceError(f"the fields of the space: {first_complaint(error)}") from None


def _schema(schema: FeatureSchema | Mapping[str, Any]) -> FeatureSchema:
    if isinstance(schema, FeatureSchema):
        return schema
    try:
        return FeatureSchema.model_validate(schema)
    except ValidationError as error:
        raise DataError(f"the fields of the schema: {first_complaint(error)}") from None


def _plain(argument: Any) -> Any:
    if isinstance(argument, BaseModel):
        return argument.model_dump(mode="json")
    return str(argument.absolute()) if isinstance(argument, Path) else argument


def _check_enas(strategy: Any) -> None:
    unfit = _unfit_for_enas()
    if unfit:
        raise ExtraError(
            f"the controller of ENAS needs tianshou below 0.5 and gym, but {unfit}: "
            "`pip install -e '.[rl]'` in the clone (with the extra `export`: `pip install -e '.[rl,export]'`), or use "
            "NasRecOneShot, which needs nothing more"
        )
    if type(strategy) is ENAS:
        raise NasRecError(
            "NNI's ENAS cannot tell training batches from validation batches on Lightning 2; "
            "use `nasrec_automl.nni_plugin.NasRecENAS`, which takes the same arguments"
        )


def _unfit_for_enas() -> str:
    """What is wrong with the packages that the controller of ENAS needs; empty if nothing is."""
    for package in ("tianshou", "gym"):
        if find_spec(package) is None:
            return f"{package} is not installed"
    found = version("tianshou")
    return "" if tuple(map(int, found.split(".")[:2])) < (0, 5) else f"tianshou {found} is installed"


def _check_penalty(strategy: Any) -> None:
    """Refuse a penalty that NNI cannot compute.

    NNI sums an expectation over all values of an expression, and a profiler's expression here is one over all labels.
    """
    penalty = getattr(strategy, "penalty", None)
    if not isinstance(penalty, ExpectationProfilerPenalty):
        return
    if isinstance(penalty.profiler, FlopsProfiler | NumParamsProfiler):
        raise NasRecError(
            f"penalty: NNI's ExpectationProfilerPenalty asks {type(penalty.profiler).__name__} for every architecture "
            f"of the space in each step, which would not end: leave `penalty` out of {type(strategy).__name__}, and "
            "keep to a budget with `NasRecOneShot(filter=...)`; ENAS takes a SampleProfilerPenalty"
        )
