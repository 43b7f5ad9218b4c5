"""A subnet outside this package: as an ONNX model, or as a program of `torch.export`.

Both read `dense` (B, D) float32 and `ids` (B, S) int64 for any B and give `probability` and `logit`, `(B,)` float32
each. Writing ONNX needs the extra `export`. Reading it needs onnxruntime and, for raw columns, the preprocessing.
"""

from __future__ import annotations

import copy
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from nasrec_automl.data.files import beside_of, check_output_file, clear_left
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.errors import DataError, ExtraError
from nasrec_automl.network import Subnet
from nasrec_automl.ops.base import Pieces
from nasrec_automl.ops.linear import SourceLinear

INPUTS = ("dense", "ids")
OUTPUTS = ("probability", "logit")

_SUFFIXES = (".onnx", ".pt2")
_OPSET = 18  # torch's exporter writes no older one, and every onnxruntime since 1.14 reads it


class JoinedLinear(nn.Module):
    """A `SourceLinear` as one Linear over the concatenated inputs, for a network whose widths no longer change."""

    def __init__(self, linear: SourceLinear) -> None:
        super().__init__()
        self.names = tuple(linear.weights)
        self.weight = nn.Parameter(torch.cat([linear.weights[name].detach() for name in self.names], dim=1))
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone())

    def forward(self, inputs: Pieces, out_features: int) -> Tensor:
        """Map inputs of `(..., w_s)` each to `(..., out_features)`; `out_features` is ignored: the width is fixed."""
        pieces = dict(inputs)
        # By name: the parameters of a dict are in an order of their own.
        return F.linear(torch.cat([pieces[name] for name in self.names], dim=-1), self.weight, self.bias)


def with_joined_linears(subnet: Subnet) -> nn.Module:
    """Copy a subnet for inference, with one Linear where it has a weight for each input.

    Returns:
        A network of the same function, in evaluation mode. It shares the embedding tables, which can be large, and
        nothing else with the subnet.
    """
    table = subnet.embedding.weight
    network = copy.deepcopy(subnet, {id(table): nn.Parameter(table.detach())}).eval()
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, SourceLinear):
                setattr(module, name, JoinedLinear(child))
    return network


def export_torch(subnet: Subnet, path: Path | str, *, preprocessing: Preprocessing | None = None) -> None:
    """Write a program for `torch.export.load(path).module()`, which maps `(dense, ids)` to `(probability, logit)`.

    Args:
        subnet: the network.
        path: file to write, `.pt2` by custom.
        preprocessing: written beside it where given, see `preprocessing_path`.

    Raises:
        DataError: the folder of `path` does not exist.
    """
    path = Path(path)
    with _written_beside(path, preprocessing) as folder:
        program = folder / "program.pt2"  # torch warns of other endings
        torch.export.save(_program(subnet), program)
        program.rename(folder / path.name)


def export_onnx(
    subnet: Subnet,
    path: Path | str,
    *,
    preprocessing: Preprocessing | None = None,
    external_data: bool | None = None,
) -> None:
    """Write an ONNX model of opset 18.

    Args:
        subnet: the network.
        path: file to write, `.onnx` by custom.
        preprocessing: written beside it where given, see `preprocessing_path`.
        external_data: whether the weights lie in a file of their own, `path` with `.data` appended, which has to stay
            beside it. By default they do where they would not fit: ONNX ends at 2 GB a file.

    Raises:
        ExtraError: a package of the extra `export` is missing.
        DataError: the folder of `path` does not exist.
    """
    if missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]:
        raise ExtraError(
            f"writing ONNX needs the package {missing[0]}, which is not installed: "
            "pip install -e '.[export]' in the clone, or write a torch.export program, which needs nothing more"
        )
    path = Path(path)
    with _written_beside(path, preprocessing) as folder, _without_exporters_warnings():
        written = torch.onnx.export(
            _program(subnet),
            input_names=INPUTS,
            output_names=OUTPUTS,
            opset_version=_OPSET,
            dynamo=True,
            dynamic_shapes={"dense": {0: "batch"}, "ids": {}},  # names the axis, which both share
            verbose=False,
        )
        assert written is not None  # of no other exporter than dynamo's
        for node in written.model.graph:
            node.metadata_props.clear()  # lines of source with this machine's paths
        written.save(folder / path.name, external_data=external_data)
        data = path.with_name(f"{path.name}.data")
        has_data = (folder / data.name).exists()
    if not has_data:
        data.unlink(missing_ok=True)  # of the model that was there before


def preprocessing_path(path: Path) -> Path:
    """Where an exported model's preprocessing lies: `model.preprocessing.json` beside `model.onnx` or `model.pt2`."""
    # Of any other file the whole name stays: `clicks.v1` and `clicks.v2` are two models.
    name = path.stem if path.suffix in _SUFFIXES else path.name
    return path.with_name(f"{name}.preprocessing.json")


class _Served(nn.Module):
    """What is exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, dense: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        logit: Tensor = self.network(dense, ids)
        return torch.sigmoid(logit), logit


def _program(subnet: Subnet) -> ExportedProgram:
    served = _Served(with_joined_linears(subnet).to("cpu", torch.float32))
    # Two rows, since the exporter takes a size of 0 or 1 for a constant; the dimension says that they are allowed.
    rows = torch.zeros(2, subnet.schema.num_dense), torch.zeros(2, subnet.schema.num_columns, dtype=torch.int64)
    batch = Dim("batch", min=0)
    program = torch.export.export(served, rows, dynamic_shapes={name: {0: batch} for name in INPUTS})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of source with this machine's paths
    return program


@contextmanager
def _written_beside(path: Path, preprocessing: Preprocessing | None) -> Iterator[Path]:
    """Give a folder beside `path` to write into; what lies in it afterwards moves to where `path` is."""
    check_output_file(path)
    shared = preprocessing_path(path)
    for other in {path.with_suffix(suffix) for suffix in _SUFFIXES} - {path} if path.suffix in _SUFFIXES else ():
        if other.is_file() and shared.is_file() and preprocessing not in (None, Preprocessing.load(shared)):
            raise DataError(
                f"{path}: {other.name} beside it is another model, and its {shared.name} would be replaced: delete it, "
                "or choose another name or folder"
            )
    clear_left(path)
    folder = beside_of(path)
    shutil.rmtree(folder, ignore_errors=True)  # of a killed process that had this one's number
    try:
        folder.mkdir()
    except OSError as error:
        raise DataError(f"{path}: cannot write in its folder ({error.strerror})") from None
    try:
        yield folder
        if preprocessing is not None:
            preprocessing.save(folder / preprocessing_path(path).name)
        path.unlink(missing_ok=True)  # killed between two renames, it leaves no model beside another one's files
        for file in sorted(folder.iterdir(), key=lambda file: file.name == path.name):  # the model itself comes last
            file.replace(path.parent / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _without_exporters_warnings() -> Iterator[None]:
    """Leave out what torch's ONNX exporter says of itself and of packages that no subnet needs."""

    def is_ours(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("torchvision is not installed")

    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addFilter(is_ours)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec.* is deprecated", FutureWarning)
            yield
    finally:
        logger.removeFilter(is_ours)
