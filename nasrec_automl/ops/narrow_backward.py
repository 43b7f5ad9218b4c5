"""The compiled backward pass of `narrow_layer`: all but the attention's sums is computed again, group by group.

Each group of rows writes parameter gradients of its own, so that they do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from nasrec_automl.ops.narrow_kernels import (
    F32,
    LN_2,
    NO_FLOOR,
    ONE,
    ZERO,
    Array,
    Count,
    Layer,
    multiply,
    normalise,
    read,
    write,
)
from nasrec_automl.ops.narrow_vectors import (
    WIDTH,
    add_products,
    add_scaled,
    exp2,
    load,
    load_rows,
    njit,
    splat,
    splat_rows,
    store,
    store_rows,
    store_totals,
    times,
    transposed_totals,
    where_positive,
    zeros,
)

_FAR_BELOW = F32(-1e30)


@njit
def _add(x: Array, y: Array, width: int) -> None:
    """Add y to x in the first `width` columns."""
    for k in range(x.shape[0]):
        for t in range(0, width, WIDTH):
            store(load(x, k, t) + load(y, k, t), x, k, t)


@njit
def _of_weight(tile: Count, gradient: Array, x: Array, width: int, weight: Array, bias: Array) -> None:
    """What the gradient of `weight x + bias` gives weight and bias."""
    for c in range(0, weight.shape[0], len(tile)):
        for k in range(weight.shape[1]):
            sums = zeros(tile)
            for t in range(0, width, WIDTH):
                sums = add_scaled(sums, load_rows(tile, gradient, c, t), load(x, k, t))
            store_totals(sums, weight, c, k)
        sums = zeros(tile)
        for t in range(0, width, WIDTH):
            sums = add_scaled(sums, load_rows(tile, gradient, c, t), splat(ONE))
        store_totals(sums, bias, c, 0)


@njit
def _of_norm(
    one: Count,
    gradient: Array,
    whitened: Array,
    scale: Array,
    weight: Array,
    width: int,
    of_weight: Array,
    of_bias: Array,
) -> None:
    """Turn the gradient of `normalise`'s output into that of its input, in place, and write those of its parameters."""
    e = gradient.shape[0]
    share = splat(F32(ONE / F32(e)))
    for k in range(e):
        weights, biases = zeros(one), zeros(one)
        for t in range(0, width, WIDTH):
            weights = add_scaled(weights, load_rows(one, gradient, k, t), load(whitened, k, t))
            biases = add_scaled(biases, load_rows(one, gradient, k, t), splat(ONE))
        store_totals(weights, of_weight, k, 0)
        store_totals(biases, of_bias, k, 0)
    for t in range(0, width, WIDTH):
        mean, slope = splat(ZERO), splat(ZERO)
        for k in range(e):
            value = load(gradient, k, t) * splat(weight[k, 0])
            mean = mean + value
            slope = slope + value * load(whitened, k, t)
        mean, slope, inverse = mean * share, slope * share, load(scale, 0, t)
        for k in range(e):
            value = load(gradient, k, t) * splat(weight[k, 0]) - mean - slope * load(whitened, k, t)
            store(value * inverse, gradient, k, t)


@njit
def _of_attention(
    head: Count,
    qkv: Array,
    start: int,
    n: int,
    attended: Array,
    shifts: Array,
    inverses: Array,
    padding: Array,
    gradient: Array,
    scaled: Array,
    query_sums: Array,
    result: Array,
) -> None:
    """The gradient of one row's `qkv` (FlashAttention, arXiv 2205.14135, algorithm 4): lanes are keys.

    Args:
        head: as long as a head is wide.
        qkv: `(3 E, T)`.
        start: the row's first column.
        n: tokens.
        attended: `(E, T)`, the output of `attend`.
        shifts: `(H, T)`, of `attend`.
        inverses: `(H, T)`, of `attend`.
        padding: `(1, P)`, zero for tokens and far below for what fills up a row.
        gradient: `(E, T)`, of `attended`.
        scaled: `(2 e + 1, P)`, space.
        query_sums: `(P e, WIDTH)`, space.
        result: `(3 E, T)`, written.
    """
    e, width, padded = len(head), attended.shape[0], padding.shape[1]
    scale, ln_2 = splat(F32(ONE / F32(math.sqrt(e)))), splat(LN_2)
    to_base_2 = splat(F32(ONE / F32(math.sqrt(e)) / LN_2))
    for h in range(width // e):
        q, k, v = h * e, width + h * e, 2 * width + h * e
        for i in range(0, padded, WIDTH):
            slope = times(load_rows(head, gradient, q, start + i), load(inverses, h, start + i))
            store_rows(slope, scaled, 0, i)
            mean = add_products(splat(ZERO), slope, load_rows(head, attended, q, start + i))
            store(splat(ZERO) - mean, scaled, e, i)
            store_rows(times(load_rows(head, qkv, q, start + i), to_base_2), scaled, e + 1, i)
        for i in range(padded * e):
            store(splat(ZERO), query_sums, i, 0)
        for j in range(0, padded, WIDTH):
            key, value = load_rows(head, qkv, k, start + j), load_rows(head, qkv, v, start + j)
            missing, of_key, of_value = load(padding, 0, j), zeros(head), zeros(head)
            for i in range(n):
                query, slope = splat_rows(head, scaled, e + 1, i), splat_rows(head, scaled, 0, i)
                score = add_products(splat(ZERO), query, key)  # rounded as in `attend`
                power = exp2(score + splat(shifts[h, start + i]) + missing)
                of_score = power * add_products(splat(scaled[e, i]), value, slope)
                of_key = add_scaled(of_key, query, of_score)
                of_value = add_scaled(of_value, slope, power)
                store_rows(add_scaled(load_rows(head, query_sums, i * e, 0), key, of_score), query_sums, i * e, 0)
            store_rows(times(of_key, ln_2), result, k, start + j)
            store_rows(of_value, result, v, start + j)
        for i in range(0, padded, WIDTH):
            for c in range(e):
                store(transposed_totals(query_sums, i * e + c, e) * scale, result, q + c, start + i)


@njit
def backward(
    start: int,
    stop: int,
    head: Count,
    tile: Count,
    together: int,
    layer: Layer,
    transposed: Layer,
    x: Array,
    attended: Array,
    shifts: Array,
    inverses: Array,
    gradient: Array,
    of_x: Array,
    of_layer: Layer,
) -> None:
    """Gradients of groups `start` to `stop` of rows.

    Args:
        start: first group.
        stop: group after the last.
        head: as in `forward`.
        tile: as in `forward`.
        together: as in `forward`.
        layer: as in `forward`.
        transposed: the same with transposed weights and biases of zero.
        x: as in `forward`.
        attended: as `forward` wrote it.
        shifts: as `forward` wrote them.
        inverses: as `forward` wrote them.
        gradient: `(B, E, n)`, of the output.
        of_x: `(B, E, n)`, written.
        of_layer: the parameters' gradients with an axis of groups in front, written.
    """
    rows, e, n = x.shape
    padded = (n + WIDTH - 1) // WIDTH * WIDTH
    most, heads = together * padded, e // len(head)
    tokens, qkv, mixed = np.empty((e, most), F32), np.empty((3 * e, most), F32), np.empty((e, most), F32)
    shift, inverse = np.empty((heads, most), F32), np.empty((heads, most), F32)
    y, hidden, z = np.empty((e, most), F32), np.empty((e, most), F32), np.empty((e, most), F32)
    first_white, first_scale = np.empty((e, most), F32), np.empty((1, most), F32)
    second_white, second_scale = np.empty((e, most), F32), np.empty((1, most), F32)
    slope, inner, of_qkv = np.empty((e, most), F32), np.empty((e, most), F32), np.empty((3 * e, most), F32)
    scaled, query_sums = np.empty((2 * len(head) + 1, padded), F32), np.empty((padded * len(head), WIDTH), F32)
    padding = np.zeros((1, padded), F32)
    padding[0, n:] = _FAR_BELOW
    one = (0,)
    for group in range(start, stop):
        first = group * together
        count = min(together, rows - first)
        width = count * padded
        # Forward, but for attention.
        read(x, first, count, padded, tokens)
        read(attended, first, count, padded, mixed)
        read(shifts, first, count, padded, shift)
        read(inverses, first, count, padded, inverse)
        read(gradient, first, count, padded, slope)
        multiply(tile, layer.query_key_value, layer.query_key_value_bias, tokens, width, NO_FLOOR, qkv)
        multiply(tile, layer.out, layer.out_bias, mixed, width, NO_FLOOR, y)
        normalise(y, tokens, layer.attended_weight, layer.attended_bias, width, first_white, first_scale, y)
        multiply(tile, layer.feed_in, layer.feed_in_bias, y, width, ZERO, hidden)
        multiply(tile, layer.feed_out, layer.feed_out_bias, hidden, width, NO_FLOOR, z)
        normalise(z, y, layer.fed_weight, layer.fed_bias, width, second_white, second_scale, z)
        # Backward: `slope` is the gradient of what the residual connections carry.
        of_weight, of_bias = of_layer.fed_weight[group], of_layer.fed_bias[group]
        _of_norm(one, slope, second_white, second_scale, layer.fed_weight, width, of_weight, of_bias)
        _of_weight(tile, slope, hidden, width, of_layer.feed_out[group], of_layer.feed_out_bias[group])
        multiply(tile, transposed.feed_out, transposed.feed_out_bias, slope, width, NO_FLOOR, inner)
        for k in range(e):
            for t in range(0, width, WIDTH):
                store(where_positive(load(hidden, k, t), load(inner, k, t)), inner, k, t)
        _of_weight(tile, inner, y, width, of_layer.feed_in[group], of_layer.feed_in_bias[group])
        multiply(tile, transposed.feed_in, transposed.feed_in_bias, inner, width, NO_FLOOR, z)
        _add(slope, z, width)
        of_weight, of_bias = of_layer.attended_weight[group], of_layer.attended_bias[group]
        _of_norm(one, slope, first_white, first_scale, layer.attended_weight, width, of_weight, of_bias)
        _of_weight(tile, slope, mixed, width, of_layer.out[group], of_layer.out_bias[group])
        multiply(tile, transposed.out, transposed.out_bias, slope, width, NO_FLOOR, inner)
        for r in range(count):
            _of_attention(head, qkv, r * padded, n, mixed, shift, inverse, padding, inner, scaled, query_sums, of_qkv)
        _of_weight(tile, of_qkv, tokens, width, of_layer.query_key_value[group], of_layer.query_key_value_bias[group])
        multiply(tile, transposed.query_key_value, transposed.query_key_value_bias, of_qkv, width, NO_FLOOR, z)
        _add(slope, z, width)
        write(slope, first, count, padded, of_x)
