import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nasrec_automl.errors import CheckpointError
from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.network.weights import is_finite, load_subnet, load_supernet, save_network
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import make_batch, move_vectors, pooled_schema, tiny_schema, tiny_space
from tests.benchmarks.memory import growth

SPACE, SCHEMA = tiny_space(), tiny_schema()


def supernet(layer_norm: bool = True, schema: FeatureSchema = SCHEMA) -> Supernet:
    network = Supernet(SPACE, schema, layer_norm=layer_norm)
    move_vectors(network)
    return network.eval()


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("schema", [SCHEMA, pooled_schema()])
def test_supernets_round_trip(tmp_path: Path, layer_norm: bool, schema: FeatureSchema) -> None:
    network = supernet(layer_norm, schema)
    save_network(network, tmp_path / "new" / "weights.safetensors")
    loaded = load_supernet(tmp_path / "new" / "weights.safetensors", SPACE, schema).eval()
    dense, ids = make_batch(schema, 4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        architecture = SPACE.random(rng)
        assert torch.equal(loaded(dense.float(), ids, architecture), network(dense.float(), ids, architecture))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_subnets_round_trip(tmp_path: Path, layer_norm: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        subnet = supernet(layer_norm).extract(SPACE.random(rng))
        save_network(subnet, tmp_path / "weights.safetensors")
        loaded = load_subnet(tmp_path / "weights.safetensors").eval()
        dense, ids = make_batch(SCHEMA, 4)
        assert loaded.architecture == subnet.architecture
        assert torch.equal(loaded(dense.float(), ids), subnet(dense.float(), ids))


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    save_network(supernet(), tmp_path / "weights.safetensors")
    (tmp_path / "other").touch()
    modes = [(tmp_path / name).stat().st_mode for name in ("weights.safetensors", "other")]
    assert modes[0] == modes[1]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(supernet(), path)
    before = path.read_bytes()

    def stops_in_the_middle(tensors: object, beside: Path, metadata: object) -> None:
        Path(beside).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("nasrec_automl.network.weights.save_file", stops_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        save_network(supernet(), path)
    assert path.read_bytes() == before


def test_weights_are_on_the_disk_before_they_have_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "weights.safetensors", []
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append([file.name for file in tmp_path.iterdir()]))
    save_network(supernet(), path)
    (((name,)),) = flushed
    assert name.endswith(".partial")


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_network(supernet(), path)
    return path


def test_another_space_is_named(tmp_path: Path) -> None:
    for other in (tiny_space(name="other"), tiny_space(dense_dims=(4, 7))):
        with pytest.raises(CheckpointError, match=rf"weights\.safetensors: .*space 'tiny'.*job's is '{other.name}'"):
            load_supernet(saved(tmp_path), other, SCHEMA)


@pytest.mark.parametrize(
    ("schema", "difference"),
    [
        (FeatureSchema.from_sizes(dense=3, table_sizes=[7, 5, 9, 4]), "embedding width 8 instead of 16"),
        (FeatureSchema.from_sizes(dense=2, table_sizes=[7, 5, 9, 4], embedding_dim=8), "dense features"),
        (
            FeatureSchema.from_sizes(dense=3, table_sizes=[7, 6, 9, 4], embedding_dim=8),
            "'field2' with 5 rows .* with 6",
        ),
        (
            FeatureSchema(
                dense=SCHEMA.dense,
                fields=(SCHEMA.fields[0], SCHEMA.fields[1].model_copy(update={"compositional": 2}), *SCHEMA.fields[2:]),
                embedding_dim=8,
            ),
            r"'field2' with 5 rows instead of 'field2' with 3 \+ 3 rows",
        ),
        (
            FeatureSchema(
                dense=SCHEMA.dense,
                fields=(SCHEMA.fields[0], SCHEMA.fields[1].model_copy(update={"pooling": "sum"}), *SCHEMA.fields[2:]),
                embedding_dim=8,
            ),
            "'field2' with pooling mean instead of 'field2' with pooling sum",
        ),
        (
            FeatureSchema(
                dense=SCHEMA.dense,
                fields=(
                    SCHEMA.fields[0],
                    SCHEMA.fields[1].model_copy(update={"table_size": 9, "cap": 5}),
                    *SCHEMA.fields[2:],
                ),
                embedding_dim=8,
            ),
            "'field2' with table_size 5, cap None instead of 'field2' with table_size 9, cap 5",
        ),
        (FeatureSchema.from_sizes(dense=3, table_sizes=[7, 5, 9], embedding_dim=8), "4 fields instead of 3"),
    ],
)
def test_another_schema_is_named(tmp_path: Path, schema: FeatureSchema, difference: str) -> None:
    with pytest.raises(CheckpointError, match=difference):
        load_supernet(saved(tmp_path), SPACE, schema)


def test_a_supernet_is_no_subnet(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected the weights of a subnet, but these are a supernet's"):
        load_subnet(saved(tmp_path))
    save_network(supernet().extract(SPACE.random(np.random.default_rng(0))), tmp_path / "subnet.safetensors")
    with pytest.raises(CheckpointError, match="expected the weights of a supernet, but these are a subnet's"):
        load_supernet(tmp_path / "subnet.safetensors", SPACE, SCHEMA)


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_other_files_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: expected weights in safetensors format"):
        load_subnet(path)


def test_tensors_of_others_are_named(tmp_path: Path) -> None:
    save_file({"weight": torch.rand(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="expected weights that nasrec-automl wrote"):
        load_subnet(tmp_path / "other.safetensors")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    subnet = Subnet(SPACE.random(np.random.default_rng(0)), SCHEMA)
    metadata = {
        "format": "nasrec-automl weights 1",
        "schema": SCHEMA.model_dump_json(),
        "layer_norm": json.dumps(True),
        "space": SPACE.model_dump_json(),
        "architecture": subnet.architecture.to_json(),
    }
    save_file({"head.dense": torch.rand(3)}, tmp_path / "other.safetensors", metadata=metadata)
    with pytest.raises(CheckpointError, match="the weights do not fit their own description"):
        load_subnet(tmp_path / "other.safetensors")


def rewritten(path: Path, **changes: str | None) -> Path:
    """Write the file again with other entries of its metadata, `None` removes."""
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
    save_file(load_file(path), path, metadata={name: text for name, text in metadata.items() if text is not None})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"space": SPACE.model_dump_json()[:-1] + ', "wings": 2}'},
        {"schema": SCHEMA.model_dump_json()[:-1] + ', "wings": 2}'},
        {"architecture": "{}"},
        {"layer_norm": "yes"},
        {"layer_norm": None},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_description_of_another_version_is_named(tmp_path: Path, changes: dict[str, str | None]) -> None:
    network = supernet()
    save_network(network.extract(SPACE.random(np.random.default_rng(0))), tmp_path / "subnet.safetensors")
    message = r"net\.safetensors: cannot read the description .* version .*\(.*(wings|params|Expecting|layer_norm)"
    with pytest.raises(CheckpointError, match=message) as caught:
        load_subnet(rewritten(tmp_path / "subnet.safetensors", **changes))
    assert "\n" not in str(caught.value)
    if "architecture" not in changes:
        with pytest.raises(CheckpointError, match="cannot read the description"):
            load_supernet(rewritten(saved(tmp_path), **changes), SPACE, SCHEMA)


def test_loading_draws_no_tables_and_moves_no_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = supernet()
    save_network(network, tmp_path / "supernet.safetensors")
    save_network(network.extract(SPACE.random(np.random.default_rng(0))), tmp_path / "subnet.safetensors")
    drawn: list[int] = []
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, *_: drawn.append(len(self)))
    before = torch.get_rng_state()
    for loaded in (
        load_supernet(tmp_path / "supernet.safetensors", SPACE, SCHEMA),
        load_subnet(tmp_path / "subnet.safetensors"),
    ):
        assert torch.equal(loaded.embedding.weight, network.embedding.weight)
    assert not drawn
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    network = supernet()
    with torch.no_grad():
        network.head.bias.fill_(torch.nan)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: not written, since head\.bias holds NaN"):
        save_network(network, tmp_path / "weights.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 17, 100_003])
def test_what_is_not_finite_is_seen_wherever_it_is(kind: torch.dtype, count: int) -> None:
    numbers = torch.randn(count).to(kind)
    assert is_finite(numbers)
    for place in (0, count // 2, count - 1):
        for value in (torch.nan, torch.inf, -torch.inf):
            spoilt = numbers.clone()
            spoilt[place] = value
            assert not is_finite(spoilt)


def test_other_tensors_are_finite() -> None:
    assert all(map(is_finite, (torch.empty(0, 4), torch.ones(()), torch.arange(3), torch.tensor([True]))))


def test_writing_copies_no_table(tmp_path: Path) -> None:
    network = supernet(schema=FeatureSchema.from_sizes(dense=3, table_sizes=[50_000], embedding_dim=8))
    assert growth(lambda: save_network(network, tmp_path / "weights.safetensors")) < network.embedding.weight.nbytes / 8


def test_where_the_disk_has_no_room_the_old_weights_stay(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(supernet(), path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(CheckpointError, match=r"weights\.safetensors: cannot be written .*; mend it and start"):
            save_network(supernet(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
