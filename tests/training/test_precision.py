import numpy as np
import pytest
import torch

from nasrec_automl.evaluation.scratch import ScratchOptions, train_network
from nasrec_automl.network import Subnet, Supernet
from nasrec_automl.sampling.full_path import full_path
from nasrec_automl.schema import FeatureSchema
from nasrec_automl.space import load_search_space
from nasrec_automl.testing.examples import make_batch, make_rows, tiny_schema, tiny_space
from nasrec_automl.training.lightning import quiet_trainer
from nasrec_automl.training.precision import Precision, autocast


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_are_in_the_precision(precision: Precision, dtype: torch.dtype) -> None:
    with autocast(precision, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    trainer = quiet_trainer(max_steps=1, device="cpu", callbacks=[], precision=precision)
    with trainer.precision_plugin.train_step_context():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("name", ["nasrec-full", "nasrec-plus"])
def test_networks_may_have_bfloat16_weights(name: str, layer_norm: bool) -> None:
    space, schema = load_search_space(name), tiny_schema()
    supernet = Supernet(space, schema, layer_norm=layer_norm).bfloat16()
    dense, ids = make_batch(schema, 5)
    rng, batch = np.random.default_rng(0), (dense.bfloat16(), ids)
    for architecture in [space.random(rng) for _ in range(4)]:
        logits = supernet(*batch, architecture)
        assert logits.dtype == torch.bfloat16
        assert supernet.extract(architecture)(*batch).dtype == torch.bfloat16
        logits.sum().backward()
    assert supernet(*batch, full_path(space)).dtype == torch.bfloat16


@pytest.mark.parametrize("layer_norm", [True, False])
def test_attention_with_wide_heads_trains(layer_norm: bool) -> None:
    """Of heads wider than 8, which our own loops do not take, torch's attention runs under autocast."""
    torch.manual_seed(0)
    space = tiny_space(blocks=1, dense_ops=("flat_fc",), sparse_ops=("attention",), fm=(True,))
    schema = FeatureSchema.from_sizes(dense=3, table_sizes=[7, 5, 9], embedding_dim=128)
    subnet = Subnet(space.random(np.random.default_rng(0)), schema, layer_norm=layer_norm)
    rows = make_rows(schema, 64)
    before = {name: parameter.detach().clone() for name, parameter in subnet.named_parameters()}
    losses = []
    for precision in ("float32", "bfloat16"):
        subnet.load_state_dict(before)
        options = ScratchOptions(batch_size=64, learning_rate=0.01, steps=1, validate_every=1, precision=precision)
        losses.append(train_network(subnet, rows, rows, options).metrics.log_loss)
    moved = {name for name, parameter in subnet.named_parameters() if not parameter.equal(before[name])}
    assert any("query_key_value.weight" in name for name in moved)
    assert losses[1] == pytest.approx(losses[0], abs=5e-2)
    assert losses[1] != losses[0]


@pytest.mark.parametrize("layer_norm", [True, False])
def test_a_supernet_runs_every_path_and_its_logits_stay_float32(layer_norm: bool) -> None:
    torch.manual_seed(0)
    space, schema = tiny_space(), tiny_schema()
    supernet = Supernet(space, schema, layer_norm=layer_norm)
    dense, ids = make_batch(schema, 40)
    rng = np.random.default_rng(0)
    for path in (full_path(space), *(space.random(rng).path for _ in range(10))):
        supernet.zero_grad(set_to_none=True)
        expected = supernet(dense.float(), ids, path)
        with autocast("bfloat16", torch.device("cpu")):
            logits = supernet(dense.float(), ids, path)
        assert logits.dtype == torch.float32
        assert len(logits.unique()) == 40, "rounded logits would tie"
        assert (logits - expected).norm() < 0.1 * expected.norm()
        logits.square().sum().backward()
        assert {p.grad.dtype for p in supernet.parameters() if p.grad is not None} == {torch.float32}
