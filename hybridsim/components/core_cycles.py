"""What kernels on the cores take: equations of figures that cores, program and format lead to.

Equations of one kernel have no branches on sizes, so that they take single numbers, int64 arrays,
and the single entries of columns in the compiled loops at the end. What they mean, and their
errors: ``docs/cluster.md``.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hybridsim.compiling import using
from hybridsim.components.core_kernels import (
    columns_per_core,
    larger,
    rows_per_core,
    smaller,
    starting_together,
    train_collides,
)
from hybridsim.units import IntLike, Ints, ceil_div


class CoresAtWork(NamedTuple):
    """The cores that run a kernel."""

    used: int
    lanes: int
    """Elements of a SIMD word."""
    banks: int
    """Banks of the scratchpad, a power of two."""


class GemmFigures(NamedTuple):
    """A GEMM kernel on given cores; the conditions are 0 or 1."""

    once: int
    """Set-up, prologue and end, whatever the size [cycles]."""
    outputs: int
    """Columns that a block computes."""
    packs_outputs: int
    """Whether a block computes words of columns, so that the reduction is not packed."""
    packs_reduction: int
    step: int
    """Cycles that a block takes per word, or element, of the reduction."""
    epilogue: int
    """Cycles after each block."""
    conflicts: int
    """Whether its streams can collide."""
    padded: int
    """Whether rows are one word longer than their data."""
    typical: int
    """Whether conflicts are those usually measured, not the worst."""
    start: int
    """What each further core that starts in the same bank costs once; 0 if none do [cycles]."""
    spread: int
    """What conflicts add to streaming [percent]."""


class ElementFigures(NamedTuple):
    """A pass over elements on given cores."""

    once: int
    packed: int
    """Whether it works on SIMD words."""
    cycles: int
    per: int
    """Words or elements that take so many cycles."""
    spread: int
    """What conflicts add to its words [percent]."""
    last: int
    """What the last word takes where no conflicts hide it, on its way out [cycles]."""


def share_of(cores: CoresAtWork, m: IntLike, k: IntLike) -> tuple[IntLike, IntLike]:
    """Return the rows and the columns of a GEMM that the busiest core takes."""
    return rows_per_core(m, cores.used), columns_per_core(m, k, cores.used)


def gemm_blocks(own: GemmFigures, rows: IntLike, columns: IntLike) -> IntLike:
    """Return the blocks of the busiest core, from its rows and its columns."""
    return rows * ceil_div(columns, own.outputs)


def gemm_stream(own: GemmFigures, cores: CoresAtWork, blocks: IntLike, n: IntLike) -> IntLike:
    """Return the cycles in which so many blocks stream."""
    steps = ceil_div(n, cores.lanes) if own.packs_reduction else n
    return blocks * steps * own.step


def gemm_conflicts(
    own: GemmFigures, cores: CoresAtWork, m: IntLike, n: IntLike, k: IntLike, stream: IntLike
) -> tuple[IntLike, IntLike]:
    """Return what bank conflicts cost a GEMM: once after the start, and throughout.

    Rows without padding put a whole block in one bank, so that cores that start together
    queue once until they are spread; with padding they collide for as long as they run, if
    their train meets itself. The broadcast kernel collides in one cycle of five (fitted)
    until it has lost as much as an aligned start, and a little from then on.
    """
    nothing = 0 * stream
    if not own.conflicts:
        return nothing, nothing
    columns = columns_per_core(m, k, cores.used)
    row = ceil_div(k if own.packs_outputs else n, cores.lanes) + own.padded
    words = ceil_div(columns, cores.lanes) if own.packs_outputs else columns * row
    train = starting_together(m, words, cores.used, cores.banks)
    once = nothing + own.start * (train - 1)
    throughout = ceil_div(stream * own.spread, 100)
    # only these keep the same distances for as long as they run
    meets = train_collides(row, train, cores.banks) if own.typical and own.padded else 1
    if own.packs_outputs:
        return smaller(ceil_div(stream, 5), once) * meets, throughout * own.padded
    if own.typical:
        throughout = throughout * meets * own.padded
    return once * (1 - own.padded), throughout


def gemm_cycles(
    own: GemmFigures, cores: CoresAtWork, m: IntLike, n: IntLike, k: IntLike
) -> IntLike:
    """Return the cycles of one GEMM kernel."""
    rows, columns = share_of(cores, m, k)
    blocks = gemm_blocks(own, rows, columns)
    stream = gemm_stream(own, cores, blocks, n)
    start, conflicts = gemm_conflicts(own, cores, m, n, k, stream)
    return own.once + stream + blocks * own.epilogue + start + conflicts


def fastest_gemm(
    kernels: Sequence[GemmFigures], cores: CoresAtWork, m: int, n: int, k: int
) -> int:
    """Return the cycles of the fastest of some GEMM kernels, for one job."""
    best = gemm_cycles(kernels[0], cores, m, n, k)
    rows, columns = share_of(cores, m, k)
    for number in range(1, len(kernels)):
        own = kernels[number]
        blocks = gemm_blocks(own, rows, columns)
        stream = gemm_stream(own, cores, blocks, n)
        # conflicts take longest to work out, and only add to a kernel that is slower already
        undisturbed = own.once + stream + blocks * own.epilogue
        if undisturbed < best:
            start, conflicts = gemm_conflicts(own, cores, m, n, k, stream)
            best = smaller(best, undisturbed + start + conflicts)
    return best


def element_cycles(own: ElementFigures, cores: CoresAtWork, elements: IntLike) -> IntLike:
    """Return the cycles of one pass: ceil(elements / cores), in words if packed."""
    share = ceil_div(elements, cores.used)
    steps = ceil_div(share, cores.lanes) if own.packed else share
    conflicts = larger(ceil_div(steps * own.spread, 100), own.last)
    return ceil_div(steps * own.cycles, own.per) + own.once + conflicts


def fastest_pass(passes: Sequence[ElementFigures], cores: CoresAtWork, elements: int) -> int:
    """Return the cycles of the fastest of some passes over elements."""
    best = element_cycles(passes[0], cores, elements)
    for number in range(1, len(passes)):
        best = smaller(best, element_cycles(passes[number], cores, elements))
    return best


# --- columns --------------------------------------------------------------------------------


@using(
    ceil_div, larger, smaller, rows_per_core, columns_per_core, starting_together, train_collides,
    share_of, gemm_blocks, gemm_stream, gemm_conflicts, gemm_cycles, fastest_gemm,
)  # fmt: skip
def fill_gemms(
    kernels: Sequence[GemmFigures], cores: CoresAtWork, m: Ints, n: Ints, k: Ints, found: Ints
) -> None:
    """Fill in the cycles of the fastest of some GEMM kernels.

    Of at least as many rows as cores only the rounds count, as the last one costs what a full one
    does; where shares of rows are tried, those of a round are next to each other.
    """
    before = 0
    for i in range(len(found)):
        rounds = ceil_div(m[i], cores.used) if m[i] >= cores.used else 0
        if 0 < rounds == before and n[i] == n[i - 1] and k[i] == k[i - 1]:
            found[i] = found[i - 1]
        else:
            found[i] = fastest_gemm(kernels, cores, m[i], n[i], k[i])
        before = rounds


@using(ceil_div, larger, smaller, element_cycles, fastest_pass)
def fill_passes(
    passes: Sequence[ElementFigures], cores: CoresAtWork, elements: Ints, found: Ints
) -> None:
    """Fill in the cycles of the fastest of some passes over elements."""
    for i in range(len(found)):
        found[i] = fastest_pass(passes, cores, elements[i])
