import numpy as np
import pytest
import torch

from nasrec_automl.errors import CheckpointError, DataError
from nasrec_automl.network import Network, Subnet, Supernet
from nasrec_automl.ops.slices import keep_slice_gradients, only_gradient, slice_gradient
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.testing.examples import make_batch, tiny_schema, tiny_space

SPACE = tiny_space()


def test_supernet_and_subnet_are_networks() -> None:
    assert issubclass(Supernet, Network)
    assert issubclass(Subnet, Network)


def test_blocks_that_nothing_reads_are_not_run() -> None:
    supernet = Supernet(SPACE, tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    rng = np.random.default_rng(0)
    run: list[int] = []
    for _ in range(20):
        architecture = SPACE.random(rng)
        run.clear()
        hooks = [
            block.register_forward_hook(lambda *_, number=number: run.append(int(number)))
            for number, block in supernet.blocks.items()
        ]
        supernet(dense.float(), ids, architecture)
        for hook in hooks:
            hook.remove()
        assert run == [n for n, live in enumerate(architecture.live, 1) if live.dense or live.sparse]


def test_zero_grad_forgets_the_gradients_of_slices_too() -> None:
    supernet = Supernet(SPACE, tiny_schema())
    keep_slice_gradients(supernet.parameters())
    dense, ids = make_batch(tiny_schema(), 3)
    supernet(dense.float(), ids, SPACE.random(np.random.default_rng(0))).sum().backward()
    assert any(slice_gradient(parameter) is not None for parameter in supernet.parameters())
    supernet.zero_grad()
    assert all(only_gradient(parameter) is None for parameter in supernet.parameters())


def test_the_last_source_is_what_the_head_reads() -> None:
    supernet = Supernet(SPACE, tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    path = SPACE.random(np.random.default_rng(0)).path
    last = supernet.last_source(dense.float(), ids, path)
    torch.testing.assert_close(supernet.head(last), supernet.run_path(dense.float(), ids, path))


def test_a_batch_that_is_run_in_parts_gives_what_the_whole_gives() -> None:
    supernet, architecture = Supernet(SPACE, tiny_schema()), SPACE.random(np.random.default_rng(0))
    dense, ids = make_batch(tiny_schema(), 2500)
    for run in (supernet, supernet.features):
        whole = run(dense.float(), ids, architecture)
        with torch.no_grad():
            parts = run(dense.float(), ids, architecture)
        torch.testing.assert_close(parts, whole.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_bad_inputs_are_refused_by_both_networks(training: bool) -> None:
    architecture = SPACE.random(np.random.default_rng(0))
    supernet, subnet = Supernet(SPACE, tiny_schema()), Subnet(architecture, tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    wrong = ids.clone()
    wrong[2, 0] = 7  # a row of the next field's table
    for run in (subnet.train(training), lambda d, i: supernet.train(training)(d, i, architecture)):
        run(dense.float(), ids)
        with pytest.raises(DataError, match="field 'field1': row 2 holds 7, but the field's table has 7 rows"):
            run(dense.float(), wrong)
        with pytest.raises(DataError, match="feature 'dense1': row 0 holds nan"):
            run(dense.float() * torch.nan, ids)
        with pytest.raises(DataError, match=r"own type torch\.float32, but are torch\.float64: convert"):
            run(dense, ids)
        with torch.autocast("cpu", torch.bfloat16), pytest.raises(DataError, match=r"are torch\.float64: convert"):
            run(dense, ids)  # of all types, autocast leaves this one as it is
    with pytest.raises(DataError, match="row 2 holds 7"):
        supernet.features(dense.float(), wrong, architecture)


@pytest.mark.parametrize("strict", [True, False])
def test_the_check_leaves_no_trace_in_an_exported_program(strict: bool) -> None:
    subnet = Subnet(SPACE.random(np.random.default_rng(0)), tiny_schema()).eval()
    dense, ids = make_batch(tiny_schema(), 3)
    program = torch.export.export(subnet, (dense.float(), ids), strict=strict)
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not [name for name in called if "aminmax" in name or "isfinite" in name or "assert" in name]
    torch.testing.assert_close(program.module()(dense.float(), ids), subnet(dense.float(), ids))


def test_weights_of_another_schema_are_refused_in_a_sentence_wherever_the_network_lies() -> None:
    architecture = SPACE.random(np.random.default_rng(0))
    small, large = (
        torch.nn.ModuleDict({"model": Subnet(architecture, FeatureSchema.from_sizes(dense=3, table_sizes=sizes))})
        for sizes in ([7, 5, 9, 4], [7, 5, 9, 14])
    )
    message = "hold embeddings of 25 rows and width 16, but the network's schema has 35 rows in 4 fields and width 16"
    with pytest.raises(CheckpointError, match=message):
        large.load_state_dict(small.state_dict())
    large.load_state_dict(large.state_dict())
