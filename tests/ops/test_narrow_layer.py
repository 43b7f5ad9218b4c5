import copy
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nasrec_automl.ops import OpShape
from nasrec_automl.ops.attention import Attention
from nasrec_automl.ops.narrow_layer import NarrowLayer, use_narrow


def draw(*sizes: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*sizes, generator=torch.Generator().manual_seed(0))


def parameters(e: int = 16) -> list[Tensor]:
    """Random ones, in `NarrowLayer`'s order."""
    generator = torch.Generator().manual_seed(1)
    sizes = [(3 * e, e), (3 * e,), (e, e), (e,), (e,), (e,), (e, e), (e,), (e, e), (e,), (e,), (e,)]
    return [torch.randn(*size, generator=generator) / e**0.5 for size in sizes]


def attention(e: int, n: int, scale: float) -> Attention:
    shape = OpShape(
        dense={},
        tokens={"s0": n},
        dense_fan_in=0,
        tokens_fan_in=n,
        left=1,
        right=1,
        out=n,
        embedding_dim=e,
        layer_norm=False,
    )
    op, generator = Attention(shape), torch.Generator().manual_seed(2)
    for parameter in op.parameters():
        nn.init.normal_(parameter, std=e**-0.5, generator=generator)
    nn.init.normal_(op.project.weights["s0"], std=n**-0.5, generator=generator)
    nn.init.normal_(op.query_key_value.weight, std=scale * e**-0.5, generator=generator)
    return op


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("e", [16, 8, 32, 12, 5])
@pytest.mark.parametrize(("rows", "n"), [(1, 1), (2, 16), (7, 33), (20, 64)])
def test_it_is_torchs_layer(rows: int, n: int, e: int, scale: float) -> None:
    narrow = attention(e, n, scale)
    wide = copy.deepcopy(narrow).double()  # torch's own operations
    gradient, results = draw(rows, e, n), []
    for op in (narrow, wide):
        x = draw(rows, e, n, scale=2.0).to(op.out.weight.dtype).requires_grad_()
        out = op([("s0", x)], n)
        results.append((out, *torch.autograd.grad(out, [x, *op.parameters()], gradient.to(out))))
    (out, *gradients), (expected, *expected_gradients) = results
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5 * max(scale, 1.0) ** 2)
    names = ["x", *(name for name, _ in narrow.named_parameters())]
    for name, mine, theirs in zip(names, gradients, expected_gradients, strict=True):
        assert (mine - theirs).norm() <= 1e-4 * theirs.norm() + 1e-6 * max(scale, 1.0) ** 2, name


@pytest.mark.parametrize("n", [1, 33])
def test_it_is_torchs_layer_where_weights_are_matrices_of_one_column(n: int) -> None:
    narrow = attention(1, n, 1.0)
    plain = copy.deepcopy(narrow).double()  # torch's own operations
    gradient, results = draw(7, 1, n), []
    for op in (narrow, plain):
        x = draw(7, 1, n, scale=2.0).to(op.out.weight.dtype).requires_grad_()
        assert use_narrow(x, 1) == (op is narrow)
        out = op([("s0", x)], n)
        results.append((out, *torch.autograd.grad(out, [x, *op.parameters()], gradient.to(out))))
    # A norm over one number is its bias: other gradients are 0 but for what rounding leaves, as in torch's float32.
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [1e2, 1e15])
@pytest.mark.parametrize(("n", "sign"), [(3, 1), (1, -1)])
def test_scores_far_apart_neither_overflow_nor_vanish(n: int, sign: int, size: float) -> None:
    x, eye, zeros, ones = 1.1 * torch.eye(3)[None, :, :n], torch.eye(3), torch.zeros(3), torch.ones(3)
    query_key_value = torch.cat([sign * size * eye, size * eye, eye])  # each token sees itself alone
    nothing = torch.zeros(3, 3)
    layer = [query_key_value, torch.zeros(9), eye, zeros, ones, zeros, nothing, zeros, nothing, zeros, ones, zeros]
    x = x.contiguous().requires_grad_()
    out, normed = NarrowLayer.apply(1, True, x, *layer), 2 * x.detach().transpose(1, 2)
    for _ in range(2):
        normed = F.layer_norm(normed, (3,))
    torch.testing.assert_close(out.detach(), normed.transpose(1, 2))
    assert torch.isfinite(torch.autograd.grad(out.square().sum(), x)[0]).all()


def test_without_a_backward_pass_it_is_the_same_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, x = attention(16, 33, 1.0), draw(7, 16, 33)
    expected = narrow([("s0", x)], 33)
    kept = []
    apply = NarrowLayer.apply
    monkeypatch.setattr(NarrowLayer, "apply", lambda *arguments: kept.append(arguments[1]) or apply(*arguments))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(narrow([("s0", x)], 33), expected, rtol=0, atol=0)
    narrow([("s0", x)], 33)
    assert kept == [False, False, True]


@pytest.mark.parametrize("n", [16, 40])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int, n: int) -> None:
    x, gradient, before = draw(50, 16, n).requires_grad_(), draw(50, 16, n), torch.get_num_threads()
    layer = [parameter.requires_grad_() for parameter in parameters()]

    def run() -> list[Tensor]:
        out = NarrowLayer.apply(8, True, x, *layer)
        return [out, *torch.autograd.grad(out, [x, *layer], gradient)]

    try:
        torch.set_num_threads(1)
        alone = run()
        torch.set_num_threads(threads)
        assert all(map(torch.equal, run(), alone))
    finally:
        torch.set_num_threads(before)


def test_a_row_does_not_depend_on_the_others() -> None:
    x, layer = draw(20, 16, 24), parameters()
    alone = torch.cat([NarrowLayer.apply(8, True, row, *layer) for row in x.split(1)])
    assert torch.equal(NarrowLayer.apply(8, True, x, *layer), alone)


def test_an_empty_batch_gives_an_empty_one_and_no_gradient() -> None:
    layer = [parameter.requires_grad_() for parameter in parameters()]
    out = NarrowLayer.apply(8, True, torch.zeros(0, 16, 4), *layer)
    assert out.shape == (0, 16, 4)
    assert all(not gradient.any() for gradient in torch.autograd.grad(out.sum(), layer))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_comes_through(value: float) -> None:
    x, layer = draw(2, 16, 5).requires_grad_(), parameters()
    with torch.no_grad():
        x[1, 2, 0] = value
    out = NarrowLayer.apply(8, True, x, *layer)
    assert torch.isfinite(out[0]).all()
    assert out[1].isnan().all()
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.isfinite(gradient[0]).all()
    assert gradient[1].isnan().all()


def test_bfloat16_is_computed_in_float32() -> None:
    op, x = attention(16, 8, 1.0), draw(3, 16, 8)
    expected = op([("s0", x)], 8)
    out = op.bfloat16()([("s0", x.bfloat16())], 8)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.1)


def test_it_is_for_narrow_heads_in_float32_on_the_cpu() -> None:
    x = draw(2, 16, 4)
    assert use_narrow(x, 2)
    assert use_narrow(x.bfloat16(), 2)  # in float32 between two casts: still the faster one
    assert not use_narrow(x.double(), 2)
    assert not use_narrow(x.to("meta"), 2)
    assert not use_narrow(x, 64)


def test_a_forked_process_has_threads_of_its_own() -> None:
    code = """
import os, torch
from nasrec_automl.ops.narrow_layer import NarrowLayer
torch.set_num_threads(2)
e, x = 16, torch.randn(40, 16, 32)
sizes = [(3 * e, e), (3 * e,), (e, e), (e,), (e,), (e,), (e, e), (e,), (e, e), (e,), (e,), (e,)]
layer = [torch.randn(*size) for size in sizes]
expected = NarrowLayer.apply(8, True, x, *layer)
child = os.fork()
if child == 0:
    os._exit(0 if torch.equal(NarrowLayer.apply(8, True, x, *layer), expected) else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
