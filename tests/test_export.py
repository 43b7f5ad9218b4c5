"""Exported models give the subnet's logits, for any architecture and any number of rows."""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nasrec_automl.architecture import DENSE_OPS, SPARSE_OPS, Architecture, Block
from nasrec_automl.data.categorical import CategoricalColumn
from nasrec_automl.data.columns import DenseColumn
from nasrec_automl.data.files import beside_of
from nasrec_automl.data.preprocessing import Preprocessing
from nasrec_automl.errors import DataError, ExtraError
from nasrec_automl.export import (
    INPUTS,
    OUTPUTS,
    JoinedLinear,
    export_onnx,
    export_torch,
    preprocessing_path,
    with_joined_linears,
)
from nasrec_automl.network import Subnet
from nasrec_automl.ops.linear import SourceLinear
from nasrec_automl.processes import own_host
from nasrec_automl.schema import FeatureSchema, FieldSchema
from nasrec_automl.space import load_search_space
from nasrec_automl.testing.examples import (
    composed_schema,
    make_batch,
    move_vectors,
    pooled_schema,
    tiny_schema,
    tiny_space,
)
from nasrec_automl.testing.strategies import spaces_and_architectures

SCHEMAS = {
    "single": tiny_schema(),
    "pooled": pooled_schema(),
    "no-dense": FeatureSchema.from_sizes(dense=0, table_sizes=[5, 6], embedding_dim=8),
    "capped": FeatureSchema(
        fields=(
            FieldSchema(name="word", table_size=9, cap=4),
            FieldSchema(name="hash", table_size=9, cap=4, beyond_cap="shared"),
        ),
        embedding_dim=8,
    ),
    "composed": composed_schema(),
    "criteo": FeatureSchema.from_sizes(dense=13, table_sizes=[50] * 26),
}


def everything() -> Architecture:
    """Every operator and both mergers, all of it live, with several inputs wherever there can be."""

    def block(dense_op: str, sparse_op: str, inputs: tuple[int, ...], *, left: int, right: int, fm: bool) -> Block:
        return Block(
            dense_op=dense_op,
            sparse_op=sparse_op,
            dense_dim=7 + 4 * (left % 2),
            sparse_dim=5,
            dense_inputs=inputs,
            sparse_inputs=inputs,
            left=left,
            right=right,
            dense_to_sparse=True,
            fm=fm,
        )

    blocks = (
        block("fc", "efc", (0,), left=0, right=0, fm=True),
        block("dot_product", "attention", (0, 1), left=0, right=0, fm=False),
        block("sigmoid_gating", "cross", (1, 2), left=1, right=2, fm=True),
        block("sum", "attention", (2, 3), left=2, right=3, fm=True),
        block("flat_fc", "projection", (1, 3, 4), left=0, right=0, fm=False),
        block("bi_interaction", "efc", (1, 3, 5), left=0, right=0, fm=False),
    )
    space = tiny_space(blocks=6, max_inputs=3)
    return space.validate_architecture(Architecture(space, blocks))


def chain() -> Architecture:
    """FC and EFC alone, with up to three inputs each."""
    space = tiny_space(max_inputs=3)
    blocks = tuple(
        Block("fc", "efc", 7, 5, tuple(range(n)), tuple(range(n)), left=0, right=0, dense_to_sparse=False, fm=False)
        for n in (1, 2, 3)
    )
    return space.validate_architecture(Architecture(space, blocks))


def make_subnet(architecture: Architecture, schema: FeatureSchema, *, layer_norm: bool = True) -> Subnet:
    torch.manual_seed(0)
    subnet = Subnet(architecture, schema, layer_norm=layer_norm, dropout=0.5)
    move_vectors(subnet)
    return subnet.eval()


def batch(schema: FeatureSchema, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    dense, ids = make_batch(schema, rows, seed=rows)
    return dense.float(), ids


def run_onnx(session: onnxruntime.InferenceSession, dense: torch.Tensor, ids: torch.Tensor) -> list[torch.Tensor]:
    found = session.run(list(OUTPUTS), dict(zip(INPUTS, (dense.numpy(), ids.numpy()), strict=True)))
    return [torch.from_numpy(output) for output in found]


def products(path: Path) -> int:
    """Matrix multiplications of an ONNX model."""
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    return kinds["Gemm"] + kinds["MatMul"]


# Joined Linears


@given(spaces_and_architectures(), st.booleans(), st.sampled_from(["single", "pooled", "no-dense"]))
def test_a_joined_network_is_the_same_function(architecture: Architecture, layer_norm: bool, schema: str) -> None:
    subnet = make_subnet(architecture, SCHEMAS[schema], layer_norm=layer_norm).double()
    inputs = make_batch(SCHEMAS[schema], 5)
    joined = with_joined_linears(subnet)
    with torch.no_grad():
        torch.testing.assert_close(joined(*inputs), subnet(*inputs), rtol=1e-10, atol=1e-10)
    assert not [module for module in joined.modules() if isinstance(module, SourceLinear)]


def test_inputs_are_told_apart_by_name() -> None:
    linear = SourceLinear({"s2": 2, "s10": 3, "s1": 4}, 5, fan_in=9, bias=True).double()
    move_vectors(linear)
    inputs = [(name, torch.rand(6, width, dtype=torch.float64)) for name, width in (("s1", 4), ("s10", 3), ("s2", 2))]
    torch.testing.assert_close(JoinedLinear(linear)(inputs, 5), linear(inputs, 5))


def test_the_subnet_stays_as_it_was() -> None:
    subnet = make_subnet(everything(), tiny_schema()).double().train()
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    joined = with_joined_linears(subnet)
    with torch.no_grad():
        for name, parameter in joined.to(torch.float32).named_parameters():
            if name != "embedding.weight":
                parameter.zero_()
    assert subnet.training
    assert not joined.training
    after = subnet.state_dict()
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert after[name].dtype == torch.float64
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=0)


def test_tables_are_shared_not_copied() -> None:
    subnet = make_subnet(everything(), tiny_schema())
    shared = [p.data_ptr() for p in with_joined_linears(subnet).parameters()]
    assert [name for name, p in subnet.named_parameters() if p.data_ptr() in shared] == ["embedding.weight"]


# Exported models


@dataclass(frozen=True)
class Exported:
    subnet: Subnet
    session: onnxruntime.InferenceSession
    program: Any
    folder: Path

    @property
    def schema(self) -> FeatureSchema:
        return self.subnet.schema


def random_architecture(name: str, seed: int) -> Architecture:
    return load_search_space(name).random(np.random.default_rng(seed))


CASES = {
    "everything": (everything, "single", True),
    "everything-pooled-plain": (everything, "pooled", False),
    "no-dense": (chain, "no-dense", True),
    "capped": (chain, "capped", True),
    "composed": (chain, "composed", True),
    "full": (lambda: random_architecture("nasrec-full", 3), "criteo", True),
    "small": (lambda: random_architecture("nasrec-small", 4), "criteo", False),
}


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    architecture, schema, layer_norm = CASES[request.param]
    subnet = make_subnet(architecture(), SCHEMAS[schema], layer_norm=layer_norm).train()
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(subnet, folder / "model.onnx")
    export_torch(subnet, folder / "model.pt2")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    program = torch.export.load(folder / "model.pt2").module()
    return Exported(subnet.eval(), session, program, folder)


def test_the_hand_drawn_architecture_holds_every_part() -> None:
    blocks = list(zip(everything().blocks, everything().live, strict=True))
    assert {block.dense_op for block, live in blocks if live.dense} == set(DENSE_OPS)
    assert {block.sparse_op for block, live in blocks if live.sparse} == set(SPARSE_OPS)
    assert any(live.dense_to_sparse for _, live in blocks)
    assert any(live.fm for _, live in blocks)


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 1000])
def test_both_give_the_subnets_logits(exported: Exported, rows: int) -> None:
    inputs = batch(exported.schema, rows)
    with torch.no_grad():
        logit = exported.subnet(*inputs)
    assert rows < 2 or logit.std() > 0
    # Without LayerNorm logits can be in the thousands; rounding is that of the largest.
    scale = max(1.0, logit.abs().max().item()) if rows else 1.0
    for found in (run_onnx(exported.session, *inputs), exported.program(*inputs)):
        torch.testing.assert_close(found[0], torch.sigmoid(logit), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found[1] / scale, logit / scale, rtol=1e-5, atol=1e-5)


def test_large_ids_of_two_tables_read_the_same_rows(tmp_path: Path) -> None:
    """Beyond 2^24 not every id is a float32."""
    fields = (FieldSchema(name="few", table_size=9), FieldSchema(name="many", table_size=10**8, compositional=1000))
    schema = FeatureSchema(fields=fields, embedding_dim=8)
    subnet = make_subnet(chain(), schema)
    with torch.no_grad():
        subnet.embedding.weight.normal_()
    export_onnx(subnet, tmp_path / "model.onnx")
    ids = torch.tensor([[1, id_] for end in (6 * 10**7, 10**8) for id_ in (end - 10**5, end - 2, end - 1)])
    dense = torch.zeros(len(ids), schema.num_dense)
    with torch.no_grad():
        logit = subnet(dense, ids)
    assert logit.std() > 0.01
    found = run_onnx(onnxruntime.InferenceSession(tmp_path / "model.onnx"), dense, ids)
    torch.testing.assert_close(found[1], logit, rtol=1e-4, atol=1e-4)


def test_inputs_and_outputs_have_names_and_one_free_axis(exported: Exported) -> None:
    schema = exported.schema
    found = [(tensor.name, tensor.type, tensor.shape) for tensor in exported.session.get_inputs()]
    assert found == [
        ("dense", "tensor(float)", ["batch", schema.num_dense]),
        ("ids", "tensor(int64)", ["batch", schema.num_columns]),
    ]
    assert [(tensor.name, tensor.shape) for tensor in exported.session.get_outputs()] == [
        ("probability", ["batch"]),
        ("logit", ["batch"]),
    ]


def test_the_file_is_a_valid_model_of_opset_18(exported: Exported) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]


def test_no_file_tells_where_it_was_made(exported: Exported) -> None:
    here = str(Path(__file__).parents[1]).encode()
    files = sorted(exported.folder.iterdir())
    assert [file.name for file in files] == ["model.onnx", "model.pt2"]
    for file in files:
        content = file.read_bytes()
        assert here not in content
        assert b"linear.py" not in content


def test_a_linear_over_several_inputs_is_one_product(tmp_path: Path) -> None:
    subnet = make_subnet(chain(), tiny_schema())
    left = tmp_path / "model.onnx.data"
    left.write_bytes(b"weights of the model that was there before")
    export_onnx(subnet, tmp_path / "model.onnx")
    assert not left.exists()
    export_torch(subnet, tmp_path / "model.pt2")
    each = 3 * 2 + 1  # three blocks of FC and EFC, and the head
    assert products(tmp_path / "model.onnx") == each
    nodes = torch.export.load(tmp_path / "model.pt2").graph.nodes
    assert len([node for node in nodes if node.target == torch.ops.aten.linear.default]) == each


def test_weights_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    subnet, inputs = make_subnet(everything(), tiny_schema()), batch(tiny_schema(), 9)
    made, moved = tmp_path / "made", tmp_path / "moved"
    made.mkdir()
    export_onnx(subnet, made / "model.onnx", external_data=True)
    assert sorted(file.name for file in made.iterdir()) == ["model.onnx", "model.onnx.data"]
    made.rename(moved)
    with torch.no_grad():
        logit = subnet(*inputs)
    found = run_onnx(onnxruntime.InferenceSession(moved / "model.onnx"), *inputs)
    torch.testing.assert_close(found[1], logit, rtol=1e-5, atol=1e-5)
    (moved / "model.onnx.data").unlink()
    with pytest.raises(Exception, match=r"model\.onnx\.data"):
        onnxruntime.InferenceSession(moved / "model.onnx")


def test_the_preprocessing_lies_beside_it(tmp_path: Path) -> None:
    preprocessing = Preprocessing(
        dense=(DenseColumn(name="price", transform="none"),),
        categorical=(CategoricalColumn(name="shop", kind="hash", table_size=5),),
    )
    subnet = make_subnet(chain(), preprocessing.schema(8))
    export_torch(subnet, tmp_path / "shop.v2.pt2", preprocessing=preprocessing)
    assert Preprocessing.load(tmp_path / "shop.v2.preprocessing.json") == preprocessing
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("model", "beside"),
    [("model.onnx", "model"), ("model.pt2", "model"), ("a.v1.onnx", "a.v1"), ("a.v1", "a.v1"), ("a", "a")],
)
def test_models_of_different_names_have_a_preprocessing_each(model: str, beside: str, tmp_path: Path) -> None:
    assert preprocessing_path(tmp_path / model) == tmp_path / f"{beside}.preprocessing.json"


# What is refused


def test_a_model_keeps_its_preprocessing_when_another_is_exported_beside_it(tmp_path: Path) -> None:
    may, june = (
        Preprocessing(categorical=(CategoricalColumn(name=name, kind="hash", table_size=5),)) for name in ("a", "b")
    )
    subnet = make_subnet(chain(), may.schema(8))
    (tmp_path / "model.onnx").write_text("of May")
    may.save(tmp_path / "model.preprocessing.json")
    with pytest.raises(DataError, match=r"model\.onnx beside it is another model, and its model\.preprocessing\.json"):
        export_torch(subnet, tmp_path / "model.pt2", preprocessing=june)
    assert Preprocessing.load(tmp_path / "model.preprocessing.json") == may
    export_torch(subnet, tmp_path / "model.pt2", preprocessing=may)
    (tmp_path / "model.onnx").unlink()
    export_torch(subnet, tmp_path / "model.pt2", preprocessing=june)
    assert Preprocessing.load(tmp_path / "model.preprocessing.json") == june


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subnet = make_subnet(chain(), tiny_schema())
    for name in ("onnx", "onnxscript"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ExtraError, match=rf"the package {name}, .* pip install -e '\.\[export\]'"):
                export_onnx(subnet, tmp_path / "model.onnx")
            export_torch(subnet, tmp_path / "model.pt2")


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    subnet = make_subnet(chain(), tiny_schema())
    with pytest.raises(DataError, match=r"gone/model\.pt2: its folder does not exist"):
        export_torch(subnet, tmp_path / "gone" / "model.pt2")
    with pytest.raises(DataError, match="is a folder, or no file that can be replaced; name a file to write"):
        export_torch(subnet, tmp_path)
    with pytest.raises(DataError, match="cannot write in its folder"):
        export_torch(subnet, "/proc/model.pt2")


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(program: Any, file: Path) -> None:
        file.write_text("half")
        raise RuntimeError("no space left")

    (tmp_path / "model.pt2").write_text("old")
    monkeypatch.setattr(torch.export, "save", fail)
    with pytest.raises(RuntimeError, match="no space left"):
        export_torch(make_subnet(chain(), tiny_schema()), tmp_path / "model.pt2")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("model.pt2", "old")]


def test_a_model_never_lies_beside_the_preprocessing_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def dies_at_the_model(file: Path, target: Path) -> Path:
        if target == tmp_path / "model.pt2":
            raise KeyboardInterrupt
        return replace(file, target)

    (tmp_path / "model.pt2").write_text("old")
    preprocessing = Preprocessing(
        dense=(DenseColumn(name="price", transform="none"),),
        categorical=(CategoricalColumn(name="shop", kind="hash", table_size=5),),
    )
    monkeypatch.setattr(Path, "replace", dies_at_the_model)
    with pytest.raises(KeyboardInterrupt):
        export_torch(make_subnet(chain(), preprocessing.schema(8)), tmp_path / "model.pt2", preprocessing=preprocessing)
    assert [file.name for file in tmp_path.iterdir()] == ["model.preprocessing.json"]


def test_what_killed_exports_left_is_cleared(tmp_path: Path) -> None:
    path, ended = tmp_path / "model.pt2", subprocess.Popen(["true"])
    ended.wait()
    gone, same, other, running = (
        tmp_path / f".model.pt2.{own_host()}.{ended.pid}.1.partial",
        beside_of(path),  # numbers are given again
        tmp_path / f".other.pt2.{own_host()}.{ended.pid}.1.partial",
        tmp_path / f".model.pt2.{own_host()}.1.1.partial",
    )
    for folder in (gone, same, other, running):
        folder.mkdir()
        (folder / "model.pt2").write_text("half")
    export_torch(make_subnet(chain(), tiny_schema()), path)
    assert sorted(tmp_path.iterdir()) == sorted([path, other, running])
    assert path.stat().st_size > len("half")


def test_what_a_killed_export_leaves_is_what_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def look(program: Any, file: Path) -> None:
        seen.append(file.parent)
        file.write_text("whole")

    monkeypatch.setattr(torch.export, "save", look)
    export_torch(make_subnet(chain(), tiny_schema()), tmp_path / "model.pt2")
    assert seen == [beside_of(tmp_path / "model.pt2")]
    assert not seen[0].exists()
