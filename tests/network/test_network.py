import numpy as np
import torch

from nasrec_automl.network import Network, Subnet, Supernet
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


def test_the_last_source_is_what_the_head_reads() -> None:
    supernet = Supernet(SPACE, tiny_schema())
    dense, ids = make_batch(tiny_schema(), 3)
    path = SPACE.random(np.random.default_rng(0)).path
    last = supernet.last_source(dense.float(), ids, path)
    torch.testing.assert_close(supernet.head(last), supernet.run_path(dense.float(), ids, path))
