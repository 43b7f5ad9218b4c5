import io

import numpy as np
import pytest
import torch

from nasrec_automl.network import Subnet
from nasrec_automl.testing.examples import make_batch, tiny_schema, tiny_space

SPACE = tiny_space()


def test_dead_blocks_are_not_built() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        architecture = SPACE.random(rng)
        subnet = Subnet(architecture, tiny_schema())
        built_blocks = dict(subnet.blocks.items())
        for number, (block, live) in enumerate(zip(architecture.blocks, architecture.live, strict=True), 1):
            built = built_blocks.get(str(number))
            assert (built is not None) == (live.dense or live.sparse)
            if built is not None:
                assert list(built.dense_ops) == [block.dense_op] * live.dense
                assert list(built.sparse_ops) == [block.sparse_op] * live.sparse
                assert (built.dense_to_sparse is not None) == live.dense_to_sparse
                assert (built.fm is not None) == live.fm
            seen.add(live)
    assert len(seen) > 5


def test_tables_can_be_shared() -> None:
    architecture = SPACE.random(np.random.default_rng(0))
    first = Subnet(architecture, tiny_schema())
    assert Subnet(architecture, tiny_schema(), embedding=first.embedding).embedding is first.embedding


def test_without_a_dense_feature_one_zero_column_stands_in() -> None:
    schema = tiny_schema().model_copy(update={"dense": ()})
    dense, ids = make_batch(schema, 4)
    assert dense.shape == (4, 1)
    assert not dense.any()
    logits = Subnet(SPACE.random(np.random.default_rng(1)), schema)(dense.float(), ids)
    assert torch.isfinite(logits).all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("seed", range(6))
def test_a_traced_subnet_is_the_same_function_of_any_number_of_rows(seed: int) -> None:
    subnet = Subnet(SPACE.random(np.random.default_rng(seed)), tiny_schema()).eval()
    (dense, ids), (others, other_ids) = (make_batch(tiny_schema(), rows) for rows in (1500, 2500))
    file = io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(subnet, (dense.float(), ids)), file)
        file.seek(0)
        torch.testing.assert_close(torch.jit.load(file)(others.float(), other_ids), subnet(others.float(), other_ids))


@pytest.mark.parametrize("layer_norm", [True, False])
def test_start_logits_are_of_the_order_of_one(layer_norm: bool) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    dense, ids = make_batch(tiny_schema(), 64)
    largest = [
        Subnet(SPACE.random(rng), tiny_schema(), layer_norm=layer_norm)(dense.float(), ids).abs().max().item()
        for _ in range(20)
    ]
    # Without LayerNorm a product of products of products has no bound.
    assert (max(largest) if layer_norm else np.median(largest)) < 20
