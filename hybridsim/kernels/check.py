r"""How far a cluster's adapters are from the definition, and how far theory lets them be.

Every shape gets random operands, the kernel of the unit, the definition in float64, and a bound on
the error of each output. The bounds are running error bounds: with |d| <= u for each rounding, a
sum of n terms differs from the exact one by at most :math:`((1 + u)^n - 1)` times the sum of
magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1 and eq.
3.5, which go on to the weaker :math:`\gamma_n = n u / (1 - n u)`; we keep the first form because
it also holds for n u >= 1, that is 2,048 terms in fp16).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import SpecError
from hybridsim.kernels.half import (
    HALF_ROUNDOFF,
    HALF_UNDERFLOW,
    SINGLE_ROUNDOFF,
    SINGLE_UNDERFLOW,
)
from hybridsim.kernels.lora import SIMD_LANES, Precision, lora
from hybridsim.kernels.quantize import calibrate
from hybridsim.kernels.split import Order, Split
from hybridsim.units import ceil_div

F64 = NDArray[np.float64]

PUBLISHED_SCALE = 4.0
"""alpha / rank = 32 / 8. Source: the AHWA-LoRA authors' training scripts (run_qa.py)."""
TRAINED_B = 0.02
"""Assumed standard deviation of B, which starts at zero and is trained away from it."""


class AdapterShape(NamedTuple):
    """The sizes of one adapter and the tokens it sees at once."""

    name: str
    in_features: int
    out_features: int
    rank: int
    tokens: int


@dataclass(frozen=True, slots=True)
class NumericsRow:
    """What was found for one shape; all errors are those of y + s (x A) B, against float64."""

    name: str
    in_features: int
    out_features: int
    rank: int
    tokens: int
    precision: Precision
    worst_absolute_error: float
    worst_relative_error: float
    """Largest absolute error over the largest magnitude of the result."""
    error_bound: float
    """Largest of the outputs' bounds on the absolute error, from theory."""
    share_of_bound: float
    """Largest ratio of an output's error to its own bound; at most 1 if theory holds."""
    bound_holds: bool
    equals_unsplit: bool
    """Whether the unit's result has the bits of the unsplit one, but for the sign of zeros."""


class _Operands(NamedTuple):
    x: F64
    a: F64
    b: F64
    y: F64


def check_numerics(
    shapes: Iterable[AdapterShape | tuple[str, int, int, int, int]],
    precision: Precision,
    rng_seed: int,
    *,
    unit: Split,
    swapped: bool = False,
    scale: float = PUBLISHED_SCALE,
) -> list[NumericsRow]:
    """Return one row per shape, in the given order; shapes of equal sizes are computed once.

    The operands of a shape depend on ``rng_seed`` and its sizes alone. x and y are normal with
    unit variance (assumed: layers are normalized), A is uniform within 1 / sqrt(in) (the usual
    initial values: Hu et al.'s code draws Kaiming-uniform with a = sqrt(5)), B is normal with
    standard deviation 0.02 (assumed).

    Raises:
        UnsupportedError: The unit cannot compute in this format or order.
        SpecError: A size is below 1.
    """
    named = [AdapterShape(*shape) for shape in shapes]
    rows: dict[tuple[int, ...], NumericsRow] = {}
    for shape in named:
        if shape[1:] not in rows:
            operands = _draw(shape, rng_seed)
            rows[shape[1:]] = _measure(shape, operands, scale, precision, unit, swapped)
    return [replace(rows[shape[1:]], name=shape.name) for shape in named]


def error_bound(
    x: F64, a: F64, b: F64, y: F64, scale: float, precision: Precision, unit: Split
) -> F64:
    """Return a bound on the absolute error of each output, shape (tokens, out).

    The error counts from the given operands, so it includes rounding them to the format. It
    holds as long as no number of the computation overflows the format.
    """
    if precision == "int8":
        return _bound_int8(x, a, scale * b, y)
    return _bound_float(x, a, scale * b, y, precision, unit)


def _draw(shape: AdapterShape, seed: int) -> _Operands:
    rng = np.random.default_rng([seed, *shape[1:]])
    inputs, outputs, rank, tokens = shape[1:]
    if min(shape[1:]) < 1:
        raise SpecError("", f"shape {shape.name!r}", f"found {shape[1:]}; every size is 1 or more")
    return _Operands(
        x=rng.standard_normal((tokens, inputs)),
        a=rng.uniform(-1, 1, (inputs, rank)) / np.sqrt(inputs),
        b=rng.standard_normal((rank, outputs)) * TRAINED_B,
        y=rng.standard_normal((tokens, outputs)),
    )


def _measure(
    shape: AdapterShape,
    operands: _Operands,
    scale: float,
    precision: Precision,
    unit: Split,
    swapped: bool,
) -> NumericsRow:
    x, a, b, y = operands
    result = lora(x, a, b, y, scale, precision=precision, unit=unit, swapped=swapped)
    unsplit = lora(x, a, b, y, scale, precision=precision, unit=unit.unsplit)
    exact = y + scale * ((x @ a) @ b)
    error = np.abs(result - exact)
    bound = error_bound(x, a, b, y, scale, precision, unit)
    share = float((error / bound).max())
    return NumericsRow(
        *shape,
        precision=precision,
        worst_absolute_error=float(error.max()),
        worst_relative_error=float(error.max() / np.abs(exact).max()),
        error_bound=float(bound.max()),
        share_of_bound=share,
        bound_holds=share <= 1.0,  # False too if the result is not a number
        equals_unsplit=np.array_equal(result, unsplit, equal_nan=True),
    )


class _Format(NamedTuple):
    """Rounding to a format: z (1 + d) + e with |d| <= u and |e| <= underflow."""

    u: float
    underflow: float

    def spoils(self, magnitude: F64) -> F64:
        """Return how far a number of this magnitude can be from the format's nearest one."""
        return self.u * magnitude + self.underflow


_HALF = _Format(HALF_ROUNDOFF, HALF_UNDERFLOW)
_SINGLE = _Format(SINGLE_ROUNDOFF, SINGLE_UNDERFLOW)
_FORMATS = {"fp16": _HALF, "fp32": _SINGLE}


def sum_error_bound(order: Order, precision: Precision, terms: int, magnitude: F64) -> F64:
    """Return a bound on the error of summing ``terms`` products with that sum of magnitudes.

    Each order is a number of roundings in its format on the longest way from a product to the
    sum, and then some in a second one.
    """
    form = _FORMATS[precision]
    if order is Order.SEQUENTIAL:
        stages = [(form, terms)]
    elif order is Order.SEPARATE:
        stages = [(form, terms + 1)]
    elif order is Order.SIMD:
        reduction = [(_SINGLE, 2), (_HALF, 1)] if form is _HALF else [(_SINGLE, 1)]
        stages = [(form, ceil_div(terms, SIMD_LANES[precision])), *reduction]
    else:
        stages = [(_SINGLE, ceil_div(terms, 4) + 1), (_HALF, 1)]
    growth = np.prod([(1 + f.u) ** n for f, n in stages])
    underflows = sum(f.underflow for f, _ in stages) * (2 * terms + 2)
    return np.asarray((growth - 1) * magnitude + growth * underflows)


def _bound_float(x: F64, a: F64, b: F64, y: F64, precision: Precision, unit: Split) -> F64:
    form = _FORMATS[precision]
    x_size, a_size, b_size, y_size = (np.abs(v) + form.spoils(np.abs(v)) for v in (x, a, b, y))
    hidden, hidden_size = np.abs(x) @ np.abs(a), x_size @ a_size
    hidden_error = hidden_size - hidden + sum_error_bound(unit.xa, precision, len(a), hidden_size)
    change = np.abs(x @ a) @ np.abs(b)
    change_size = (np.abs(x @ a) + hidden_error) @ b_size
    error: F64 = change_size - change + form.spoils(np.abs(y))
    if unit.from_y:
        error += sum_error_bound(unit.ub, precision, len(b) + 1, y_size + change_size)
        return error
    summed = sum_error_bound(unit.ub, precision, len(b), change_size)
    error += summed + form.spoils(y_size + change_size + summed)
    return error


def _bound_int8(x: F64, a: F64, b: F64, y: F64) -> F64:
    """Half a step per quantized tensor; sums are exact, the last step rounds in fp32.

    The scale of U comes from the unquantized x A, so that U may saturate by as much as the
    quantized one exceeds it; a multiplier of 31 bits adds 2^-31 of U.
    """
    scales = calibrate(x, a, b)
    x_size, a_size, b_size = (
        np.abs(v) + step / 2 for v, step in ((x, scales.x), (a, scales.a), (b, scales.b))
    )
    hidden = np.abs(x @ a)
    quantized = x_size @ a_size - np.abs(x) @ np.abs(a)
    hidden_error = 2 * quantized + scales.hidden / 2 + 2.0**-31 * (hidden + quantized)
    change_size = (hidden + hidden_error) @ b_size
    error: F64 = change_size - hidden @ np.abs(b) + _SINGLE.spoils(np.abs(y))
    roundings = 4  # of y, of the sum, of the scale, and of the result
    magnitude = np.abs(y) + change_size
    error += ((1 + _SINGLE.u) ** roundings - 1) * magnitude
    return error
