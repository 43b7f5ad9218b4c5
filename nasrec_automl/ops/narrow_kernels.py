"""The compiled loops of `narrow_layer`: the layer and what its backward pass computes again.

A lane of a vector is a token. A few rows of the batch at a time lie side by side, `(E, T)`, each row padded with zeros
to a multiple of the vector's width, so that all that they need stays in the processor's caches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nasrec_automl.ops.narrow_vectors import (
    WIDTH,
    add_products,
    add_scaled,
    exp2,
    largest,
    load,
    load_rows,
    maximum,
    njit,
    splat,
    splat_rows,
    square_root,
    store,
    store_rows,
    times,
    zeros,
)

Array = NDArray[np.float32]
Count = tuple[int, ...]
"""Any tuple of that length: a constant of the machine code."""

F32 = np.float32
ZERO, ONE = F32(0), F32(1)
LN_2 = F32(math.log(2))
NO_FLOOR = F32(-np.inf)
"""Tells `multiply` not to cut at a lowest value."""

_EPSILON = F32(1e-5)
_HARMLESS = F32(64)  # 2 to that and to the opposite are far from what float32 cannot hold


class Layer(NamedTuple):
    """The parameters of a layer, or their gradients; weights `(out, in)`, all others `(E, 1)` or `(3 E, 1)`."""

    query_key_value: Array
    query_key_value_bias: Array
    out: Array
    out_bias: Array
    attended_weight: Array
    attended_bias: Array
    feed_in: Array
    feed_in_bias: Array
    feed_out: Array
    feed_out_bias: Array
    fed_weight: Array
    fed_bias: Array


@njit
def read(rows: Array, first: int, count: int, padded: int, out: Array) -> None:
    """Lay rows `(B, K, n)`, `count` of them from `first` on, side by side into `(K, T)`."""
    n = rows.shape[2]
    for r in range(count):
        for k in range(rows.shape[1]):
            for i in range(n):
                out[k, r * padded + i] = rows[first + r, k, i]
            for i in range(n, padded):
                out[k, r * padded + i] = ZERO


@njit
def write(x: Array, first: int, count: int, padded: int, rows: Array) -> None:
    """The reverse of `read`."""
    for r in range(count):
        for k in range(rows.shape[1]):
            for i in range(rows.shape[2]):
                rows[first + r, k, i] = x[k, r * padded + i]


@njit
def multiply(tile: Count, weight: Array, bias: Array, x: Array, width: int, floor: np.float32, out: Array) -> None:
    """Write max(weight x + bias, floor) in the first `width` columns; as many rows at once as the tile is long."""
    for t in range(0, width, WIDTH):
        for c in range(0, weight.shape[0], len(tile)):
            sums = splat_rows(tile, bias, c, 0)
            for k in range(weight.shape[1]):
                sums = add_scaled(sums, splat_rows(tile, weight, c, k), load(x, k, t))
            store_rows(sums, out, c, t)
            if floor > NO_FLOOR:
                for r in range(len(tile)):
                    store(maximum(splat(floor), load(out, c + r, t)), out, c + r, t)


@njit
def normalise(
    x: Array, residual: Array, weight: Array, bias: Array, width: int, whitened: Array, scale: Array, out: Array
) -> None:
    """Write LayerNorm(x + residual) over rows, also as it is before weight and bias, and the factor that made it so."""
    e = x.shape[0]
    share = splat(F32(ONE / F32(e)))
    for t in range(0, width, WIDTH):
        mean, variance = splat(ZERO), splat(ZERO)
        for k in range(e):
            value = load(x, k, t) + load(residual, k, t)
            mean = mean + value
            store(value, whitened, k, t)
        mean = mean * share
        for k in range(e):
            value = load(whitened, k, t) - mean
            variance = variance + value * value
        inverse = splat(ONE) / square_root(variance * share + splat(_EPSILON))
        store(inverse, scale, 0, t)
        for k in range(e):
            value = (load(whitened, k, t) - mean) * inverse
            store(value, whitened, k, t)
            store(value * splat(weight[k, 0]) + splat(bias[k, 0]), out, k, t)


@njit
def _scores_are_harmless(head: Count, qkv: Array, q: int, k: int, start: int, stop: int) -> bool:
    """Whether no score to the base of 2 can be far from 0: then softmax need not look for the largest."""
    queries, keys = ZERO, ZERO
    for i in range(start, stop, WIDTH):
        for c in range(len(head)):
            queries = max(queries, largest(load(qkv, q + c, i)))
            keys = max(keys, largest(load(qkv, k + c, i)))
    return bool(queries * keys * F32(math.sqrt(len(head))) / LN_2 < _HARMLESS)


@njit
def attend(head: Count, qkv: Array, start: int, n: int, out: Array, shifts: Array, inverses: Array) -> None:
    """softmax(q k^T / sqrt(e)) v of each head of one row.

    Args:
        head: as long as a head is wide.
        qkv: `(3 E, T)`.
        start: the row's first column.
        n: tokens.
        out: `(E, T)`, written.
        shifts: `(H, T)`, written: what is added to each query's scores to the base of 2.
        inverses: `(H, T)`, written: one over the sum of the powers of 2.
    """
    e, width = len(head), out.shape[0]
    scale = splat(F32(ONE / F32(math.sqrt(e)) / LN_2))
    for h in range(width // e):
        q, k, v = h * e, width + h * e, 2 * width + h * e
        harmless = _scores_are_harmless(head, qkv, q, k, start, start + n)
        for i in range(start, start + n, WIDTH):
            query, shift = times(load_rows(head, qkv, q, i), scale), splat(ZERO)
            if not harmless:
                top = splat(NO_FLOOR)
                for j in range(start, start + n):
                    top = maximum(add_products(splat(ZERO), query, splat_rows(head, qkv, k, j)), top)
                shift = shift - top
            power_sum, sums = splat(ZERO), zeros(head)
            for j in range(start, start + n):
                # Rounded as `top` is: shifted within the product, large scores would be off by more than softmax bears.
                power = exp2(add_products(splat(ZERO), query, splat_rows(head, qkv, k, j)) + shift)
                power_sum = power_sum + power
                sums = add_scaled(sums, splat_rows(head, qkv, v, j), power)
            inverse = splat(ONE) / power_sum
            store_rows(times(sums, inverse), out, h * e, i)
            store(shift, shifts, h, i)
            store(inverse, inverses, h, i)


@njit
def forward(
    start: int,
    stop: int,
    head: Count,
    tile: Count,
    together: int,
    layer: Layer,
    x: Array,
    out: Array,
    attended: Array,
    shifts: Array,
    inverses: Array,
) -> None:
    """The layer in groups `start` to `stop` of rows.

    Args:
        start: first group.
        stop: group after the last.
        head: as long as a head is wide.
        tile: as long as the number of rows of a matrix that are multiplied at once, a divisor of E.
        together: rows of a group.
        layer: parameters.
        x: `(B, E, n)`.
        out: `(B, E, n)`, written.
        attended: `(B, E, n)`, what attention gives, written; or without a row, if there will be no backward pass.
        shifts: `(B, H, n)`, of `attend`; as `attended`.
        inverses: `(B, H, n)`, of `attend`; as `attended`.
    """
    rows, e, n = x.shape
    padded = (n + WIDTH - 1) // WIDTH * WIDTH
    most, heads = together * padded, e // len(head)
    tokens, qkv, mixed = np.empty((e, most), F32), np.empty((3 * e, most), F32), np.empty((e, most), F32)
    shift, inverse, scale = np.empty((heads, most), F32), np.empty((heads, most), F32), np.empty((1, most), F32)
    y, z = np.empty((e, most), F32), np.empty((e, most), F32)
    for group in range(start, stop):
        first = group * together
        count = min(together, rows - first)
        width = count * padded
        read(x, first, count, padded, tokens)
        multiply(tile, layer.query_key_value, layer.query_key_value_bias, tokens, width, NO_FLOOR, qkv)
        for r in range(count):
            attend(head, qkv, r * padded, n, mixed, shift, inverse)
        if len(attended):
            write(mixed, first, count, padded, attended)
            write(shift, first, count, padded, shifts)
            write(inverse, first, count, padded, inverses)
        multiply(tile, layer.out, layer.out_bias, mixed, width, NO_FLOOR, y)
        normalise(y, tokens, layer.attended_weight, layer.attended_bias, width, z, scale, y)
        multiply(tile, layer.feed_in, layer.feed_in_bias, y, width, ZERO, z)
        multiply(tile, layer.feed_out, layer.feed_out_bias, z, width, NO_FLOOR, mixed)
        normalise(mixed, y, layer.fed_weight, layer.fed_bias, width, z, scale, y)
        write(y, first, count, padded, out)
