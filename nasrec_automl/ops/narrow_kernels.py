"""The compiled loops of `narrow_attention`. Importing this module imports numba.

One head of one row at a time, so that all it needs stays in the first-level cache. Inner loops run over queries: each
vector lane is one query. The width of a head is the length of a tuple, which makes it a constant of the machine code.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

Array = NDArray[np.float32]
Lanes = tuple[int, ...]

# Sums may be taken in any order, but NaN and infinity come through.
_FAST = {"reassoc", "contract", "arcp", "nsz"}

_F32, _I32 = np.float32, np.int32
_ZERO, _LOWEST, _LN_2 = _F32(0), _F32(-126), _F32(math.log(2))


def _exp2_polynomial() -> list[np.float32]:
    """2^x on [-0.5, 0.5] at the Chebyshev points: off by less than a unit in the last place of float32."""
    series = np.polynomial.chebyshev.Chebyshev.interpolate(np.exp2, 5, domain=[-0.5, 0.5])
    return [_F32(c) for c in series.convert(kind=np.polynomial.Polynomial).coef]


_C0, _C1, _C2, _C3, _C4, _C5 = _exp2_polynomial()


@intrinsic
def _times_power_of_two(typing: Any, x: Any, exponent: Any) -> Any:
    """The product x 2^exponent: the exponent is added to that in the bits of x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(arguments[0], ir.IntType(32))
        bits = builder.add(bits, builder.shl(arguments[1], ir.Constant(ir.IntType(32), 23)))
        return builder.bitcast(bits, ir.FloatType())

    return numba.float32(numba.float32, numba.int32), generate


@numba.njit(inline="always")
def _exp2(x: Any) -> Any:
    """2^x of x <= 0 in operations that vector lanes have; NaN stays NaN."""
    x = _LOWEST if x < _LOWEST else x  # a comparison: `max` would ask for NaN twice
    whole = _F32(np.rint(x))
    f = x - whole
    p = ((((_C5 * f + _C4) * f + _C3) * f + _C2) * f + _C1) * f + _C0
    return _times_power_of_two(p, _I32(whole))


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def forward(start: int, stop: int, lanes: Lanes, qkv: Array, out: Array, log_sums: Array) -> None:
    """Attend in rows `start` to `stop`.

    Args:
        start: first row.
        stop: row after the last.
        lanes: any tuple as long as a head is wide.
        qkv: `(B, n, 3 E)`.
        out: `(B, n, E)`, written.
        log_sums: `(B, H, n)`, the log-sum-exp of each query's scores to the base of 2, written.
    """
    e, (heads, n), width = len(lanes), log_sums.shape[1:], out.shape[2]
    scale = _F32(1 / math.sqrt(e)) / _LN_2  # scores to the base of 2
    q, k, v, o = np.empty((e, n), _F32), np.empty((e, n), _F32), np.empty((e, n), _F32), np.empty((e, n), _F32)
    top, total = np.empty(n, _F32), np.empty(n, _F32)
    for b in range(start, stop):
        for h in range(heads):
            for i in range(n):
                for c in range(e):
                    q[c, i] = qkv[b, i, h * e + c] * scale
                    k[c, i] = qkv[b, i, width + h * e + c]
                    v[c, i] = qkv[b, i, 2 * width + h * e + c]
                    o[c, i] = _ZERO
                top[i] = -np.inf
                total[i] = _ZERO
            for j in range(n):
                for i in range(n):
                    s = _ZERO
                    for c in range(e):
                        s += q[c, i] * k[c, j]
                    top[i] = s if s > top[i] else top[i]
            for j in range(n):
                for i in range(n):
                    s = -top[i]
                    for c in range(e):
                        s += q[c, i] * k[c, j]
                    p = _exp2(s)
                    total[i] += p
                    for c in range(e):
                        o[c, i] += p * v[c, j]
            for i in range(n):
                for c in range(e):
                    out[b, i, h * e + c] = o[c, i] / total[i]
                log_sums[b, h, i] = top[i] + np.log2(total[i])


@numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def backward(
    start: int, stop: int, lanes: Lanes, qkv: Array, out: Array, log_sums: Array, gradient: Array, result: Array
) -> None:
    """Gradients of rows `start` to `stop`, the scores computed again (FlashAttention, arXiv 2205.14135, algorithm 4).

    Args:
        start: first row.
        stop: row after the last.
        lanes: any tuple as long as a head is wide.
        qkv: as in `forward`.
        out: as `forward` wrote it.
        log_sums: as `forward` wrote them.
        gradient: `(B, n, E)`, of `out`.
        result: `(B, n, 3 E)`, of `qkv`, written.
    """
    e, (heads, n), width = len(lanes), log_sums.shape[1:], out.shape[2]
    scale = _F32(1 / math.sqrt(e))
    q, k, v, g = np.empty((e, n), _F32), np.empty((e, n), _F32), np.empty((e, n), _F32), np.empty((e, n), _F32)
    dq, ps, ds = np.empty((e, n), _F32), np.empty(n, _F32), np.empty(n, _F32)
    shift, mean = np.empty(n, _F32), np.empty(n, _F32)
    for b in range(start, stop):
        for h in range(heads):
            for i in range(n):
                mean[i] = _ZERO
                for c in range(e):
                    q[c, i] = qkv[b, i, h * e + c] * scale / _LN_2  # scores to the base of 2
                    k[c, i] = qkv[b, i, width + h * e + c]
                    v[c, i] = qkv[b, i, 2 * width + h * e + c]
                    g[c, i] = gradient[b, i, h * e + c]
                    mean[i] -= g[c, i] * out[b, i, h * e + c]
                    dq[c, i] = _ZERO
                shift[i] = -log_sums[b, h, i]
            for j in range(n):
                for i in range(n):
                    s, dp = shift[i], mean[i]
                    for c in range(e):
                        s += q[c, i] * k[c, j]
                        dp += g[c, i] * v[c, j]
                    p = _exp2(s)
                    ps[i] = p
                    ds[i] = p * dp
                    for c in range(e):
                        dq[c, i] += p * dp * k[c, j]
                for c in range(e):
                    dk, dv = _ZERO, _ZERO
                    for i in range(n):
                        dk += ds[i] * q[c, i]
                        dv += ps[i] * g[c, i]
                    result[b, j, width + h * e + c] = dk * _LN_2
                    result[b, j, 2 * width + h * e + c] = dv
            for i in range(n):
                for c in range(e):
                    result[b, i, h * e + c] = dq[c, i] * scale
