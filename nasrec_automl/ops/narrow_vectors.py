"""Vectors of sixteen float32 for the loops of `narrow_layer`. Importing this module imports numba.

Left to itself the compiler puts vectors into some loops and not into others, and sums into memory. These say what is in
registers: a vector, or a tuple of vectors ("rows": one vector of each of several rows of an array). The length of a
tuple is a constant of the machine code. Processors with narrower registers use several for one vector.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

from nasrec_automl.digest import digest

WIDTH = 16

_SOURCES = digest("".join(path.read_text() for path in sorted(Path(__file__).parent.glob("narrow_*.py"))))

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

_FLOATS, _INTEGERS = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(ir.IntType(32), WIDTH)
_FUSED = ("contract",)  # a product and the sum it goes into are one instruction where the processor has it


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name="vector")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


_VECTOR, _F32, _INDEX = _Vector(), types.float32, types.intp


def _constant(value: float) -> Any:
    return ir.Constant(_FLOATS, [float(np.float32(value))] * WIDTH)


def _spread(builder: Any, scalar: Any) -> Any:
    zero = ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, zero)
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), ir.Constant(_INTEGERS, [0] * WIDTH))


def _scalar_at(context: Any, builder: Any, kind: Any, array: Any, row: Any, column: Any) -> Any:
    """The address of an element of a two-dimensional array."""
    array = context.make_array(kind)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, kind, array, [row, column], wraparound=False)


def _vector_at(context: Any, builder: Any, kind: Any, array: Any, row: Any, column: Any) -> Any:
    return builder.bitcast(_scalar_at(context, builder, kind, array, row, column), _FLOATS.as_pointer())


def _load(builder: Any, address: Any) -> Any:
    value = builder.load(address)
    value.align = 4
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, address).align = 4


def _call(builder: Any, name: str, result: Any, *arguments: Any, flags: tuple[str, ...] = ()) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments, fastmath=flags)


def _total(builder: Any, value: Any) -> Any:
    start, name = ir.Constant(ir.FloatType(), 0.0), f"llvm.vector.reduce.fadd.v{WIDTH}f32"
    return _call(builder, name, ir.FloatType(), start, value, flags=("reassoc",))


def _next(row: Any, step: int) -> Any:
    return ir.Constant(row.type, step)


# One vector -----------------------------------------------------------------------------------------------------------


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """A scalar in each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0])

    return _VECTOR(_F32), generate


@intrinsic
def load(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """`array[row, column : column + WIDTH]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, _vector_at(context, builder, signature.args[0], *arguments))

    return _VECTOR(array, _INDEX, _INDEX), generate


@intrinsic
def store(typing: Any, value: Any, array: Any, row: Any, column: Any) -> Any:
    """Write `array[row, column : column + WIDTH]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, *place = arguments
        _store(builder, value, _vector_at(context, builder, signature.args[1], *place))
        return context.get_dummy_value()

    return types.void(_VECTOR, array, _INDEX, _INDEX), generate


def _define(operation: Callable[..., Any], instruction: str) -> None:
    @intrinsic
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=_FUSED)

        return _VECTOR(_VECTOR, _VECTOR), generate

    @overload(operation)
    def choose(a: Any, b: Any) -> Any:
        def implement(a: Any, b: Any) -> Any:
            return compute(a, b)

        return implement if isinstance(a, _Vector) and isinstance(b, _Vector) else None


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


@intrinsic
def maximum(typing: Any, a: Any, b: Any) -> Any:
    """The larger of each lane; where one is not a number, b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return _VECTOR(_VECTOR, _VECTOR), generate


@intrinsic
def where_positive(typing: Any, condition: Any, value: Any) -> Any:
    """`value` in lanes whose condition is above zero or not a number, else zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        condition, value = arguments
        return builder.select(builder.fcmp_unordered(">", condition, _constant(0)), value, _constant(0))

    return _VECTOR(_VECTOR, _VECTOR), generate


@intrinsic
def square_root(typing: Any, x: Any) -> Any:
    """The root of each lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, f"llvm.sqrt.v{WIDTH}f32", _FLOATS, arguments[0])

    return _VECTOR(_VECTOR), generate


@intrinsic
def largest(typing: Any, x: Any) -> Any:
    """The largest magnitude over lanes, a scalar; lanes that are not a number do not count."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        magnitude = _call(builder, f"llvm.fabs.v{WIDTH}f32", _FLOATS, arguments[0])
        return _call(builder, f"llvm.vector.reduce.fmax.v{WIDTH}f32", ir.FloatType(), magnitude)

    return _F32(_VECTOR), generate


def _exp2_polynomial() -> list[float]:
    """2^x on [-0.5, 0.5] at the Chebyshev points: off by up to 1.3 units in the last place of float32."""
    series = np.polynomial.chebyshev.Chebyshev.interpolate(np.exp2, 5, domain=[-0.5, 0.5])
    return [float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef]


_COEFFICIENTS = _exp2_polynomial()


@intrinsic
def exp2(typing: Any, x: Any) -> Any:
    """2^x of x < 128, of x below -126 as of -126; NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, lowest = arguments[0], _constant(-126)
        x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
        whole = _call(builder, f"llvm.rint.v{WIDTH}f32", _FLOATS, x)
        rest = builder.fsub(x, whole)
        power = _constant(_COEFFICIENTS[-1])
        for coefficient in _COEFFICIENTS[-2::-1]:
            power = builder.fadd(builder.fmul(power, rest, flags=_FUSED), _constant(coefficient), flags=_FUSED)
        # Times 2^whole: added to the exponent in the bits.
        shifted = builder.shl(builder.fptosi(whole, _INTEGERS), ir.Constant(_INTEGERS, [23] * WIDTH))
        return builder.bitcast(builder.add(builder.bitcast(power, _INTEGERS), shifted), _FLOATS)

    return _VECTOR(_VECTOR), generate


# A vector of each of several rows -------------------------------------------------------------------------------------


def _rows(count: Any) -> Any:
    return numba.types.UniTuple(_VECTOR, len(count))


def _each(builder: Any, value: Any) -> list[Any]:
    return [builder.extract_value(value, i) for i in range(value.type.count)]


def _pack(context: Any, builder: Any, signature: Any, values: list[Any]) -> Any:
    return context.make_tuple(builder, signature.return_type, values)


@intrinsic
def zeros(typing: Any, count: Any) -> Any:
    """As many vectors of zeros as a tuple is long."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _pack(context, builder, signature, [_constant(0)] * len(signature.return_type))

    return _rows(count)(count), generate


def _one_each(count: Any, array: Any, read: Callable[..., Any]) -> Any:
    """What an intrinsic returns that reads one vector of each of several rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, array, row, column = arguments
        places = [builder.add(row, _next(row, i)) for i in range(len(signature.return_type))]
        values = [read(context, builder, signature.args[1], array, place, column) for place in places]
        return _pack(context, builder, signature, values)

    return _rows(count)(count, array, _INDEX, _INDEX), generate


@intrinsic
def load_rows(typing: Any, count: Any, array: Any, row: Any, column: Any) -> Any:
    """The vectors at `column` of as many rows, from `row` on, as the tuple `count` is long."""
    return _one_each(
        count, array, lambda context, builder, *place: _load(builder, _vector_at(context, builder, *place))
    )


@intrinsic
def splat_rows(typing: Any, count: Any, array: Any, row: Any, column: Any) -> Any:
    """The scalars at `column` of as many rows, from `row` on, each in every lane of its vector."""
    return _one_each(
        count,
        array,
        lambda context, builder, *place: _spread(builder, builder.load(_scalar_at(context, builder, *place))),
    )


@intrinsic
def store_rows(typing: Any, values: Any, array: Any, row: Any, column: Any) -> Any:
    """Write vectors at `column` of the rows from `row` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, array, row, column = arguments
        for i, value in enumerate(_each(builder, values)):
            at = builder.add(row, _next(row, i))
            _store(builder, value, _vector_at(context, builder, signature.args[1], array, at, column))
        return context.get_dummy_value()

    return types.void(values, array, _INDEX, _INDEX), generate


@intrinsic
def times(typing: Any, values: Any, factor: Any) -> Any:
    """Each vector times one vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, factor = arguments
        products = [builder.fmul(value, factor, flags=_FUSED) for value in _each(builder, values)]
        return _pack(context, builder, signature, products)

    return values(values, _VECTOR), generate


@intrinsic
def add_products(typing: Any, start: Any, a: Any, b: Any) -> Any:
    """`start` plus the sum over rows of a times b, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, *pair = arguments
        for x, y in zip(*(_each(builder, argument) for argument in pair), strict=True):
            out = builder.fadd(builder.fmul(x, y, flags=_FUSED), out, flags=_FUSED)
        return out

    return _VECTOR(_VECTOR, a, a), generate


@intrinsic
def add_scaled(typing: Any, sums: Any, values: Any, factor: Any) -> Any:
    """`sums + values * factor`: the values are a vector for each sum, the factor is one vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, values, factor = arguments
        out = [
            builder.fadd(builder.fmul(value, factor, flags=_FUSED), total, flags=_FUSED)
            for total, value in zip(_each(builder, sums), _each(builder, values), strict=True)
        ]
        return _pack(context, builder, signature, out)

    return sums(sums, sums, _VECTOR), generate


@intrinsic
def store_totals(typing: Any, values: Any, array: Any, row: Any, column: Any) -> Any:
    """Write the sum over lanes of each vector at `column` of the rows from `row` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, array, row, column = arguments
        for i, value in enumerate(_each(builder, values)):
            at = builder.add(row, _next(row, i))
            builder.store(_total(builder, value), _scalar_at(context, builder, signature.args[1], array, at, column))
        return context.get_dummy_value()

    return types.void(values, array, _INDEX, _INDEX), generate


@intrinsic
def transposed_totals(typing: Any, array: Any, row: Any, step: Any) -> Any:
    """Lane i is the sum over the first WIDTH numbers of the row `row + i * step`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, row, step = arguments
        zero, vectors = _next(row, 0), []
        for i in range(WIDTH):
            at = builder.add(row, builder.mul(step, _next(row, i)))
            vectors.append(_load(builder, _vector_at(context, builder, signature.args[0], array, at, zero)))
        # Pairs of vectors become one: lanes whose index has the bit belong to the second.
        bit = 1
        while len(vectors) > 1:
            owner = [WIDTH * bool(lane & bit) for lane in range(WIDTH)]
            straight = ir.Constant(_INTEGERS, [owner[lane] + lane for lane in range(WIDTH)])
            crossed = ir.Constant(_INTEGERS, [owner[lane] + (lane ^ bit) for lane in range(WIDTH)])
            vectors = [
                builder.fadd(builder.shuffle_vector(a, b, straight), builder.shuffle_vector(a, b, crossed))
                for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            bit *= 2
        return vectors[0]

    return _VECTOR(array, _INDEX, _INDEX), generate


def njit(kernel: _Kernel) -> _Kernel:
    """How the kernels are compiled: without the interpreter's lock, kept on disk.

    numba compiles again when a kernel's own file has changed, and calls what it keeps by the kernel's name. The name
    ends in the digest of all the files, since each kernel has those in it that it calls. Where neither `__pycache__`
    nor the user's own cache can be written to, every process compiles for itself, unless NUMBA_CACHE_DIR names another
    place.
    """
    kernel.__qualname__ += f"_{_SOURCES}"
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled: _Kernel = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # numba finds no place for its files
        compiled = numba.njit(**options)(kernel)
    return compiled
