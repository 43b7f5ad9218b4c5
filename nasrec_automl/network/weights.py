"""Networks on disk: safetensors, with what is needed to build the network in the file's metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from nasrec_automl.architecture import Architecture
from nasrec_automl.data.files import written_beside
from nasrec_automl.errors import CheckpointError
from nasrec_automl.network.embedding import Embedding
from nasrec_automl.network.network import Network
from nasrec_automl.network.subnet import Subnet
from nasrec_automl.network.supernet import Supernet
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.space import SearchSpace

_FORMAT = "nasrec-automl weights 1"


def save_network(network: Supernet | Subnet, path: Path, *, preprocessing: str = "") -> None:
    """Write weights and what they belong to; the file is there whole or not at all.

    Args:
        network: what to write.
        path: of the file.
        preprocessing: digest of the preprocessing that a model has beside it, for `preprocessing_of`.

    Raises:
        CheckpointError: a weight is NaN or infinite, or the disk is full.
    """
    for name, tensor in network.state_dict().items():
        if not is_finite(tensor):
            raise CheckpointError(f"{path}: not written, since {name} holds NaN or infinity: the training diverged")
    metadata = {
        "format": _FORMAT,
        "schema": network.schema.model_dump_json(),
        "layer_norm": json.dumps(network.layer_norm),
    }
    if preprocessing:
        metadata["preprocessing"] = preprocessing
    if isinstance(network, Supernet):
        metadata["space"] = network.space.model_dump_json()
    else:
        metadata["space"] = network.architecture.space.model_dump_json()
        metadata["architecture"] = network.architecture.to_json()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(path) as beside:
            beside.touch()
            mode = beside.stat().st_mode  # as the umask has it; safetensors lets the owner alone read
            save_file(tensors, beside, metadata=metadata)
            beside.chmod(mode)
            with beside.open("rb") as file:
                os.fsync(file.fileno())  # the checkpoint that it stands for is deleted next
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: cannot be written ({error}); mend it and start again: what has finished is kept"
        ) from None


def is_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite; `isfinite` of a table makes a copy of it, and more."""
    return not tensor.numel() or all(bool(end.isfinite()) for end in torch.aminmax(tensor))  # which hand NaN on


def load_supernet(path: Path, space: SearchSpace, schema: FeatureSchema) -> Supernet:
    """Read a supernet that must be of a certain space and schema.

    Raises:
        CheckpointError: the file is no supernet, or one of another space or schema.
    """
    found, tensors = _read(path)
    if found.architecture is not None:
        raise CheckpointError(f"{path}: expected the weights of a supernet, but these are a subnet's")
    if found.space != space:
        raise CheckpointError(
            f"{path}: the supernet is of the space {found.space.name!r} as it was when trained, but the job's is "
            f"{space.name!r}; train it again in another run folder, or restore the space"
        )
    if found.schema != schema:
        raise CheckpointError(
            f"{path}: the supernet was trained on another schema ({_difference(found.schema, schema)}); "
            "train it again in another run folder, or restore the data"
        )
    with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten, and may move no one's generator
        supernet = Supernet(space, schema, layer_norm=found.layer_norm, embedding=Embedding(schema, drawn=False))
    _fill(supernet, tensors, path)
    return supernet


def load_subnet(path: Path) -> Subnet:
    """Read a subnet; the file says which architecture and schema it is of.

    Raises:
        CheckpointError: the file is missing or no subnet.
    """
    found, tensors = _read(path)
    if found.architecture is None:
        raise CheckpointError(f"{path}: expected the weights of a subnet, but these are a supernet's")
    schema = found.schema
    with torch.random.fork_rng(devices=[]):  # as above
        embedding = Embedding(schema, drawn=False)
        subnet = Subnet(found.architecture, schema, layer_norm=found.layer_norm, embedding=embedding)
    _fill(subnet, tensors, path)
    return subnet


def preprocessing_of(path: Path) -> str:
    """The digest of the preprocessing that weights were written with; empty where they were written with none."""
    with safe_open(path, framework="pt") as file:
        return str((file.metadata() or {}).get("preprocessing", ""))


class _Description(NamedTuple):
    """What a file's metadata say; a supernet has no architecture."""

    space: SearchSpace
    schema: FeatureSchema
    layer_norm: bool
    architecture: Architecture | None


def _read(path: Path) -> tuple[_Description, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected weights in safetensors format, but cannot read them ({error})"
        ) from None
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: expected weights that nasrec-automl wrote, but the file says nothing of it")
    try:
        return _described(metadata), tensors
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot read the description of the network, which another version may have written "
            f"({' '.join(str(error).split())}); read it with that version, or train the network again"
        ) from None


def _described(metadata: dict[str, str]) -> _Description:
    space = SearchSpace.model_validate_json(metadata["space"])
    return _Description(
        space,
        FeatureSchema.model_validate_json(metadata["schema"]),
        json.loads(metadata["layer_norm"]),
        Architecture.from_json(metadata["architecture"], space) if "architecture" in metadata else None,
    )


def _fill(network: Network, tensors: dict[str, Any], path: Path) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{path}: the weights do not fit their own description: {first}") from None


def _difference(found: FeatureSchema, expected: FeatureSchema) -> str:
    if found.embedding_dim != expected.embedding_dim:
        return f"embedding width {found.embedding_dim} instead of {expected.embedding_dim}"
    if found.dense != expected.dense:
        return f"dense features {list(found.dense)} instead of {list(expected.dense)}"
    for a, b in zip(found.fields, expected.fields, strict=False):
        if a != b:
            return f"field {a.name!r} with {_words(a, b)} instead of {b.name!r} with {_words(b, a)}"
    return f"{found.num_fields} fields instead of {expected.num_fields}"


def _words(field: FieldSchema, other: FieldSchema) -> str:
    """The rows of its tables, or where the other has as many, what else differs."""
    if field.tables != other.tables:
        return f"{' + '.join(map(str, field.tables))} rows"
    content, others = field.model_dump(), other.model_dump()
    return ", ".join(f"{name} {value}" for name, value in content.items() if value != others[name])
