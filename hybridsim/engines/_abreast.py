"""Points abreast in compiled code: eight integers that are one value, or one integer by itself.

A loop over the points inside of a loop is mostly left to the compiler. It does badly where the
outer loop runs a few times only and its columns may overlap: asking whether they do takes longer
than the work. Here eight points are one value from the start, which the processor adds, compares
and chooses from at once.

The same source serves points by themselves: of a column of shape (rows,) an item is one integer,
of one of shape (rows, WIDTH) it is a row. Functions below are for compiled code alone.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

WIDTH = 8
"""Points that are abreast: as many as 512 bits hold; with fewer bits a processor takes turns."""

_compiled: Callable[[Callable[..., Any]], Any] = intrinsic
_NUMBER = ir.IntType(64)
_NUMBERS = ir.VectorType(_NUMBER, WIDTH)
_BITS = ir.VectorType(ir.IntType(1), WIDTH)


class _Eight(types.Type):
    """Eight integers of 64 bits."""

    def __init__(self) -> None:
        super().__init__(name="hybridsim.Eight")


class _EightBits(types.Type):
    """Eight answers, yes or no."""

    def __init__(self) -> None:
        super().__init__(name="hybridsim.EightBits")


@register_model(_Eight)
class _EightModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, _NUMBERS)  # type: ignore[no-untyped-call]


@register_model(_EightBits)
class _EightBitsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, _BITS)  # type: ignore[no-untyped-call]


_EIGHT: Any = _Eight()
_EIGHT_BITS: Any = _EightBits()


def _item(column: Any) -> Any:
    """Return the type of an item of a column."""
    return _EIGHT if column.ndim == 2 else types.int64


def _bits(item: Any) -> Any:
    return _EIGHT_BITS if item == _EIGHT else types.boolean


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Return where an item of a column is; columns have no gaps between rows."""
    kind = signature.args[0]
    column = context.make_array(kind)(context, builder, args[0])
    at = context.cast(builder, args[1], signature.args[1], types.int64)
    if kind.ndim == 1:
        return builder.gep(column.data, [at])
    first = builder.gep(column.data, [builder.mul(at, ir.Constant(_NUMBER, WIDTH))])
    return builder.bitcast(first, _NUMBERS.as_pointer())


@_compiled
def item(_: Any, column: Any, at: Any) -> Any:
    """Return what a column has at a place."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        loaded = builder.load(_place(context, builder, signature, args))
        loaded.align = 8  # rows begin at any integer
        return loaded

    return _item(column)(column, at), emit


@_compiled
def put(_: Any, column: Any, at: Any, value: Any) -> Any:
    """Set what a column has at a place."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _place(context, builder, signature, args)).align = 8
        return context.get_dummy_value()

    return types.void(column, at, value), emit


@_compiled
def alike(_: Any, number: Any, column: Any) -> Any:
    """Return one number for all points that an item of a column stands for."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = context.cast(builder, args[0], signature.args[0], types.int64)
        if signature.return_type != _EIGHT:
            return value
        none, at = ir.Constant(_NUMBERS, ir.Undefined), ir.IntType(32)
        one = builder.insert_element(none, value, ir.Constant(at, 0))
        first = ir.Constant(ir.VectorType(at, WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, none, first)

    return _item(column)(number, column), emit


def _of_two(of: Callable[[Any], Any], emit_two: Callable[[Any, Any, Any], Any]) -> Any:
    """Return a function of two values, point by point; ``of`` is the type of what it returns."""

    @_compiled
    def function(_: Any, one: Any, other: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return emit_two(builder, *args)

        return of(one)(one, other), emit

    return function


def _same_type(value: Any) -> Any:
    return value


plus = _of_two(_same_type, lambda builder, a, b: builder.add(a, b))
minus = _of_two(_same_type, lambda builder, a, b: builder.sub(a, b))
larger = _of_two(
    _same_type, lambda builder, a, b: builder.select(builder.icmp_signed("<", a, b), b, a)
)
before = _of_two(_bits, lambda builder, a, b: builder.icmp_signed("<", a, b))
same = _of_two(_bits, lambda builder, a, b: builder.icmp_signed("==", a, b))
differ = _of_two(_bits, lambda builder, a, b: builder.icmp_signed("!=", a, b))


@_compiled
def choose(_: Any, bits: Any, one: Any, other: Any) -> Any:
    """Return for each point the first value where the answer is yes, and the second elsewhere."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return one(bits, one, other), emit


@_compiled
def some(_: Any, bits: Any) -> Any:
    """Return whether the answer is yes for any point."""

    def emit(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if signature.args[0] == types.boolean:
            return args[0]
        together = ir.IntType(WIDTH)
        return builder.icmp_unsigned(
            "!=", builder.bitcast(args[0], together), ir.Constant(together, 0)
        )

    return types.boolean(bits), emit
