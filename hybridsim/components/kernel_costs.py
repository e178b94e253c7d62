"""Costs of digital kernels as data: exact rows where there are some, a fitted line elsewhere.

A machine whose kernels are known only by their published times carries such a section; any other
machine is served by the models of cores and matrix engine.
"""

import re
from functools import cached_property
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from hybridsim.units import Clock, Count, Spec, ceil_div, shown_as

_DECIMAL = re.compile(r"(\d{1,9})(?:\.(\d{1,3}))?\s*([A-Za-z/]+)", re.ASCII)


def _thousandths(unit: str, example: str) -> BeforeValidator:
    """Return a reader of decimal quantities with at most three decimals."""

    def read(text: object) -> int:
        match = _DECIMAL.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None or match[3] != unit:
            raise ValueError(
                f"found {text!r:.60}; write a number with up to three decimals and {unit}, "
                f"as in {example!r}"
            )
        return int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0"))

    return BeforeValidator(read)


def _written(unit: str) -> PlainSerializer:
    def write(value: int) -> str:
        whole, rest = divmod(value, 1000)
        decimals = f".{rest:03}".rstrip("0") if rest else ""
        return f"{whole}{decimals} {unit}"

    return PlainSerializer(write, return_type=str)


Millicycles = Annotated[
    int,
    _thousandths("cycles", "4096.2 cycles"),
    _written("cycles"),
    shown_as({"cycles": 1}, "4096.2 cycles"),
]
"""A cost in thousandths of a clock cycle: fitted and inferred costs are no whole cycles."""
MacsPerCycle = Annotated[
    int,
    _thousandths("MAC/cycle", "31.36 MAC/cycle"),
    Field(gt=0),
    _written("MAC/cycle"),
    shown_as({"MAC/cycle": 1}, "31.36 MAC/cycle", above_zero=True),
]
"""A rate in thousandths of a multiply-accumulate per cycle."""


class AttentionRow(Spec):
    """One shape of attention: a batch of queries of one head against all keys."""

    rows: Count
    """Queries of the batch."""
    keys: Count
    """Tokens attended to."""
    head_dim: Count
    """Elements of a head."""
    whole: Millicycles | None = None
    """Both products and the softmax, without transfers; null where it is not known."""
    gemm: Millicycles | None = None
    """One of the two products; null where it is not known."""


class AttentionCosts(Spec):
    """Both products and the softmax of one head and one batch of queries.

    The two products are taken as equal: query x key and score x value have as many MACs. Where
    there is no row: product = ``gemm_fixed`` + MACs / ``gemm_rate``, and the whole = ``fixed`` +
    2 MACs / ``rate`` + ``per_score`` x rows / ``row_step`` x keys. The softmax is what is left.
    """

    row_step: Count
    """Rows are padded to a multiple of this: the rows of the matrix engine."""
    known: tuple[AttentionRow, ...]
    """Shapes whose costs are known."""
    gemm_fixed: Millicycles
    """What a product takes beside its MACs."""
    gemm_rate: MacsPerCycle
    """MACs of a product per cycle."""
    fixed: Millicycles
    """What the whole takes beside its MACs and scores."""
    rate: MacsPerCycle
    """MACs per cycle of the whole."""
    per_score: Millicycles
    """What the whole takes per score of one core."""

    def of(self, rows: int, keys: int, head_dim: int) -> tuple[int, int]:
        """Return the cost of one product and of the softmax [thousandths of a cycle]."""
        padded = ceil_div(rows, self.row_step) * self.row_step
        macs = padded * keys * head_dim
        row = self._rows.get((padded, keys, head_dim))
        gemm = row.gemm if row and row.gemm is not None else None
        whole = row.whole if row and row.whole is not None else None
        if gemm is None:
            gemm = self.gemm_fixed + macs * 10**6 // self.gemm_rate
        if whole is None:
            scores = padded // self.row_step * keys
            whole = self.fixed + 2 * macs * 10**6 // self.rate + self.per_score * scores
        return gemm, max(1, whole - 2 * gemm)

    @cached_property
    def _rows(self) -> dict[tuple[int, int, int], AttentionRow]:
        return {(row.rows, row.keys, row.head_dim): row for row in self.known}


class PieceRow(Spec):
    """One shape of a piece of an element-wise or row-wise kernel."""

    rows: Count
    """Vectors of the piece."""
    features: Count
    """Elements of a vector."""
    cost: Millicycles
    """The piece with its transfers."""


class PieceCosts(Spec):
    """A piece of a kernel on one cluster: ``rows`` vectors of ``features`` elements.

    Where there is no row: ``fixed`` + ``per_element`` x rows / ``row_step`` x features, but
    ``fixed`` + ``single_step`` x features for rows that fill one step, and ``most`` at most: a
    regression tree answers with a constant beyond the shapes it has seen.
    """

    row_step: Count
    """Rows are padded to a multiple of this."""
    known: tuple[PieceRow, ...]
    """Shapes whose costs are known."""
    fixed: Millicycles
    """What a piece takes beside its elements."""
    per_element: Millicycles
    """Per element of one core's rows."""
    single_step: Millicycles
    """The same where every core has one row."""
    most: Millicycles
    """The most that a piece takes."""

    def of(self, rows: int, features: int) -> int:
        """Return the cost of a piece [thousandths of a cycle]."""
        padded = ceil_div(rows, self.row_step) * self.row_step
        known = self._rows.get((padded, features))
        if known is not None:
            return known
        steps = padded // self.row_step
        each = self.single_step if steps == 1 else self.per_element
        return min(self.fixed + each * steps * features, self.most)

    @cached_property
    def _rows(self) -> dict[tuple[int, int], int]:
        return {(row.rows, row.features): row.cost for row in self.known}


class KernelCosts(Spec):
    """The digital kernels of a cluster, as data of the machine in place of a model.

    Transfers to the scratchpad are left out of the attention rows and counted by the width of
    the DMA alone; norm and activation include what transfers they need.
    """

    attention: AttentionCosts
    """Both products and the softmax."""
    norm: PieceCosts
    """Normalizations of rows."""
    activation: PieceCosts
    """Element-wise functions of one vector; one core takes ``row_step``-th of the rows."""


def millicycles_to_ps(clock: Clock, cost: int) -> int:
    """Return the time of ``cost`` thousandths of a cycle [ps], rounded up."""
    return ceil_div(clock.to_ps(cost), 1000)
