"""Times that candidates for the batch of adapted layers cannot beat, as columns.

The tiles integrate all tokens, then the last batch is finished; so is the one before it, on
whatever cluster, and what two batches in a row leave behind on the same one. With an early start
so is each of the last few, and what their clusters take after it. A unit begins when A, B and the
first X are there, and ends before the last store; batches are given to clusters in turn. Each
cluster fetches A and B, and the link carries all that moves; so of some clusters the last one
begins when what all of them begin with has passed the link. No more batches than there are buffers
are between the fetch of Y and the store of Z, or between the first kernel and the last one that
reads U. With a single output buffer the tiles wait until each batch has been fetched.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.compiling import over_columns, using
from hybridsim.components.core_kernels import larger
from hybridsim.programs import LoraProgram
from hybridsim.strategies.layers.batches import BatchOrder, SizeColumns
from hybridsim.strategies.layers.estimate import transfer_ps
from hybridsim.strategies.layers.loads import (
    CHAIN,
    CORES,
    HELD,
    IN_TURN,
    LATE,
    LINK,
    SLICE,
    TAIL,
    X,
)
from hybridsim.strategies.layers.way_times import WayPrices, WayTimes, times_of
from hybridsim.units import Ints

LINES = 7
"""Times that a candidate cannot beat which grow with the time of an MVM."""
NEVER = 2**63 - 1
"""Bound of what is no candidate."""


def whole_div(a: int, b: int) -> int:
    """Return ``a / b`` rounded up, for integers with ``b > 0``.

    Mostly by 1 or 2: a bound takes a quarter less time where these are not divided by.
    """
    if b == 1:
        return a
    return (a + 1) >> 1 if b == 2 else -(-a // b)


@dataclass(frozen=True, eq=False)
class Bounded:
    """Candidates of one choice and number of slices whose bounds are asked for."""

    machine: Machine
    """Fields that are columns have one entry for each candidate."""
    tokens: Ints
    program: LoraProgram
    """As columns; it holds the batches."""
    buffers: Ints
    order: BatchOrder
    """On whatever number of clusters."""
    every: bool
    """Whether each setting has all batches from one token on, ascending."""

    def fill(self, clusters: int, all_busy: bool, found: Ints) -> None:
        """Fill in the bounds on a number of clusters, shape (1 + 2 LINES, candidates).

        A time [ps], then pairs of tokens that are integrated first and the time on top [ps]. With
        ``all_busy`` a candidate with fewer batches than clusters is none.
        """
        cut, order, machine = self._cut, self.order, self.machine
        takes = (
            order.early, order.overlap, order.ramped, self.every, len(self.program.slices) == 1,
        )  # fmt: skip
        figures = int(clusters), all_busy, *takes, self._full.loads, self._end.loads
        weights = self._weights
        start, store = (weights, weights) if self.every else self._least
        columns = (
            self.tokens, self._batch, self.buffers, cut.up, cut.left, cut.count, cut.down,
            *cut.smallest, weights, start, store, machine.link.count, machine.tile.output_buffers,
        )  # fmt: skip
        over_columns(fill_bounds, figures, *columns, into=found)

    @cached_property
    def _cut(self) -> SizeColumns:
        ramps = self.order.first_batch or 0, self.order.last_batch or 0
        return SizeColumns.of(self.tokens, self._batch, *ramps)

    @property
    def _batch(self) -> Ints:
        batch: Any = self.program.tokens
        found: Ints = np.asarray(batch)
        return found

    @cached_property
    def prices(self) -> WayPrices | None:
        """What is run of candidates takes; None where ramps have batches that are no others."""
        if self.order.ramped and not self.every:
            return None
        full, end = self._full.steps_ps, self._end.steps_ps
        steps = full if self.every else np.concatenate((full, end), axis=1)
        return WayPrices(self._once, steps, self.every)

    @cached_property
    def _once(self) -> Ints:
        """Fetching A and B, shape (2, candidates) [ps]."""
        program, found = self.program, np.empty((2, len(self.tokens)), np.int64)
        for row, size in zip(found, (program.in_features, program.out_features), strict=True):
            row[:] = transfer_ps(self.machine, size * program.rank)
        return found

    @cached_property
    def _weights(self) -> Ints:
        """Fetching both [ps]."""
        found: Ints = self._once.sum(axis=0)
        return found

    @cached_property
    def _least(self) -> tuple[Ints, Ints]:
        """Fetching A, B and X of the smallest batch, which a DMA takes in this order; storing the
        smallest slice of Z [ps]."""
        cut, program = self._cut, self.program
        left = np.where(cut.left > 0, cut.left, cut.batch)
        ends = np.minimum(cut.first_size, cut.last_size)
        least = np.minimum(np.minimum(left, cut.batch), ends)
        shortest: Any = program.slices[-1]
        load_x = transfer_ps(self.machine, least * program.in_features)
        store = transfer_ps(self.machine, least * shortest)
        return np.asarray(self._weights + load_x), np.asarray(store)

    @cached_property
    def _full(self) -> WayTimes:
        return times_of(self.machine, self.program)

    @cached_property
    def _end(self) -> WayTimes:
        """Of last batches, or of all batches where these are candidates."""
        if self.every:
            return self._full
        last: LoraProgram = self.program.of_tokens(self._cut.last_size)  # type: ignore[arg-type]
        return times_of(self.machine, last)


def of_batches(batches: int, units: int, chain: int, buffers: int, store: int) -> int:
    """Return what so many full batches take on a cluster, from the first kernel on [ps]."""
    return int(larger(batches * units, whole_div(batches, buffers) * chain)) + store


def of_last_to_begin(
    clusters: int, full: int, most: int, begins: int, link: int, own: int, each: int
) -> int:  # fmt: skip
    """Return what full batches take on the cluster that begins last [ps].

    Of the ``most`` clusters that have most of them, which take ``own``, and of all clusters, which
    take ``each`` at least; ``begins`` has passed the link for every one of these.
    """
    found = 0
    if full > 0:
        found = whole_div(most * begins, link) + own
    if full >= clusters:
        found = larger(found, whole_div(clusters * begins, link) + each)
    return int(found)


def fill_in_turn(i: int, tokens: int, tail: int, steps: int, found: Ints) -> None:
    """Fill in the bounds of a candidate whose steps are all one after the other."""
    for line in range(1, 2 * LINES, 2):
        found[line, i] = tokens
    found[2, i] = found[4, i] = found[6, i] = tail
    found[8, i] = found[10, i] = found[12, i] = steps


def place_of(
    number: int, i: int, size: int, up: int, left: int, count: int, down: int, first: int,
    falling: int,
) -> int:  # fmt: skip
    """Return the column that has the loads of a batch, where batches of ramps are candidates."""
    full = number - up - (1 if left > 0 and down > 0 else 0)
    if 0 <= full < count:
        return i
    if full < 0:
        return i - size + (first << number if number < up else left)
    return i - size + (falling << (down - 1 - full + count) if down > 0 else left)


def totals_of(
    clusters: int, held_row: int, i: int, count: int, left: int, ramped: int, loads: Ints,
    ends: Ints,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Return what :func:`sums_of` does of batches that are no candidates; no chain.

    With a ramp only full batches count.
    """
    last = 1 if left > 0 and not ramped else 0
    cores = count * loads[CORES, i] + last * ends[CORES, i]
    engine = count * loads[CORES + 1, i] + last * ends[CORES + 1, i]
    moved = count * loads[CORES + 2, i] + last * ends[CORES + 2, i]
    held = count * loads[held_row, i] + last * ends[held_row, i]
    linked = count * loads[LINK, i] + last * ends[LINK, i]
    each = whole_div(moved, clusters), 0, whole_div(held, clusters)
    return whole_div(larger(cores, engine), clusters), *each, int(linked)


def sums_of(
    clusters: int, batches: int, before: int, held_row: int, i: int, size: int, up: int, left: int,
    count: int, down: int, first: int, falling: int, loads: Ints,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Return what loads take on the cluster that has most of each [ps].

    Of cores and matrix engine the larger one, of DMA, of the chain to U and of what is held; last
    what all clusters take of the link. Batches are given to clusters in turn.
    """
    busy = moved = chained = held = linked = 0
    after = before + count
    for own in range(min(clusters, batches)):
        full = (count - 1 - (own - before) % clusters) // clusters + 1
        cores, engine = full * loads[CORES, i], full * loads[CORES + 1, i]
        dma, linked = full * loads[CORES + 2, i], linked + full * loads[LINK, i]
        chain, hold = full * loads[CHAIN, i], full * loads[held_row, i]
        number = own
        while number < batches:
            if before <= number < after:
                number += -(-(after - number) // clusters) * clusters
                continue
            at = place_of(number, i, size, up, left, count, down, first, falling)
            cores += loads[CORES, at]
            engine += loads[CORES + 1, at]
            dma += loads[CORES + 2, at]
            chain += loads[CHAIN, at]
            hold += loads[held_row, at]
            linked += loads[LINK, at]
            number += clusters
        busy = larger(busy, larger(cores, engine))
        moved, chained, held = larger(moved, dma), larger(chained, chain), larger(held, hold)
    return busy, moved, chained, held, linked


def most_of(
    every: int, clusters: int, batches: int, before: int, held_row: int, ramped: int,
    cut: tuple[int, int, int, int, int, int, int, int], loads: Ints, ends: Ints,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Return :func:`sums_of` where all batches are candidates, :func:`totals_of` otherwise."""
    if every:
        return sums_of(clusters, batches, before, held_row, *cut, loads)
    return totals_of(clusters, held_row, cut[0], cut[4], cut[3], ramped, loads, ends)


def fill_ends(
    i: int, last: int, clusters: int, tokens: int, size: int, known: int, last_size: int,
    early: int, wait: int, store: int, loads: Ints, ends: Ints, found: Ints,
) -> None:  # fmt: skip
    """Fill in the least time from the end of some MVMs to the end of all.

    Of all MVMs, of all but the last batch, and of all but as many as there are clusters.
    """
    tail, late = TAIL + early, LATE if early else CORES
    rest = tokens - last_size
    found[1, i], found[2, i] = tokens, known * wait + ends[tail, last]
    if known > 0:
        found[3, i], found[4, i] = rest, (known - 1) * wait + loads[tail, i]
    if known >= clusters:
        # what a full batch and the last one leave for after the MVMs of the first
        behind = larger(
            loads[late, i] + ends[late, last], loads[late + 1, i] + ends[late + 1, last]
        )
        behind = larger(behind + store, loads[LATE + 2, i] + ends[LATE + 2, last])
        found[5, i] = rest - (clusters - 1) * size
        found[6, i] = (known - clusters) * wait + behind


def fill_units(
    i: int, last: int, clusters: int, size: int, alike: int, left: int, down: int, most: int,
    first_size: int, last_size: int, early: int, own: int, busiest: int, store: int, loads: Ints,
    ends: Ints, found: Ints,
) -> None:  # fmt: skip
    """Fill in tokens that are integrated first, and what the busiest unit then takes [ps].

    Of any cluster, of the last one with as many full batches as any, and of the one with the
    last batch. With an early start no MVM comes first.
    """
    late = 0 if early else 1
    found[7, i], found[8, i] = late * first_size, larger(own, busiest)
    if alike > 0:
        found[9, i], found[10, i] = late * most * size, own
    if alike > 0 and down == 0:
        whole = alike - 1 if left == 0 else alike
        rounds = whole if clusters == 1 else whole // clusters
        reached = last_size if whole < clusters else size
        found[11, i] = late * (whole % clusters * size + reached)
        found[12, i] = store + larger(
            rounds * loads[CORES, i] + ends[CORES, last],
            rounds * loads[CORES + 1, i] + ends[CORES + 1, last],
        )


def fill_behind(
    clusters: int, batches: int, tokens: int, free: int, store: int, i: int, size: int, up: int,
    left: int, count: int, down: int, first: int, falling: int, loads: Ints, found: Ints,
) -> None:  # fmt: skip
    """Fill in the least time from the end of the MVMs of one of the last batches to the end.

    Its cluster still has to finish that batch and those that it takes later. Kernels that need X
    alone start early; batches of ramps are other candidates. ``free`` lines tell no other time.
    """
    rest = tokens
    for number in range(batches - 2, max(batches - 2 - free, -1), -1):
        nth = batches - 2 - number
        rest -= place_of(number + 1, i, size, up, left, count, down, first, falling) - i + size
        own = place_of(number, i, size, up, left, count, down, first, falling)
        cores, engine, dma = loads[LATE, own], loads[LATE + 1, own], loads[LATE + 2, own]
        for later in range(number + clusters, batches, clusters):
            other = place_of(later, i, size, up, left, count, down, first, falling)
            cores += loads[LATE, other]
            engine += loads[LATE + 1, other]
            dma += loads[LATE + 2, other]
        line = 7 + 2 * nth if nth < 3 else 2 * nth - 3
        found[line, i] = rest
        found[line + 1, i] = larger(
            larger(loads[TAIL + 1, own], dma), larger(cores, engine) + store
        )


@using(
    larger, whole_div, of_batches, of_last_to_begin, place_of, totals_of, sums_of, most_of,
    fill_ends, fill_units, fill_behind, fill_in_turn,
)  # fmt: skip
def fill_bounds(
    clusters: int, all_busy: int, early: int, overlap: int, ramped: int, every: int, whole: int,
    loads: Ints, ends: Ints, tokens: Ints, batch: Ints, buffers: Ints, up: Ints, left: Ints,
    count: Ints, down: Ints, first: Ints, falling: Ints, weights: Ints, start: Ints, store: Ints,
    link: Ints, output_buffers: Ints, found: Ints,
) -> None:  # fmt: skip
    """Fill in the bounds of candidates: see :meth:`Bounded.fill`.

    ``loads`` are those of full batches, and ``ends`` those of last ones; ``whole`` says that
    outputs are not sliced. ``start`` is fetching A, B and the smallest X, and ``store`` the
    smallest store; neither is asked where with ``every`` all batches are candidates.
    """
    turns, held_row = (clusters, HELD + early) if overlap else (1, IN_TURN)
    for i in range(len(tokens)):
        found[:, i] = 0
        size, full = batch[i], count[i]
        before = up[i] + (1 if left[i] > 0 and down[i] > 0 else 0)
        after = down[i] if down[i] > 0 else (1 if left[i] > 0 else 0)
        batches = before + full + after
        cut = i, size, up[i], left[i], full, down[i], first[i], falling[i]
        one = i - size  # where a batch of no token would be
        opening, ending = place_of(0, *cut) - one, place_of(batches - 1, *cut) - one
        end = one + ending if every else i
        least = one + min(opening, ending, size, left[i] or size) if every else i
        begin = weights[i] + loads[X, least] if every else start[i]
        stored = loads[SLICE, least] if every else store[i]
        busy, moved, chained, held, linked = most_of(
            every, turns, batches, before, held_row, ramped, cut, loads, ends
        )
        apart = larger(moved + weights[i], whole_div(linked + clusters * weights[i], link[i]))
        if overlap:
            # clusters with most full batches, how many these are, and what one of them takes
            most = (full - 1) % clusters + 1 if full > 0 else 0
            share, units = whole_div(full, clusters), larger(loads[CORES, i], loads[CORES + 1, i])
            own = of_batches(share, units, loads[CHAIN, i], buffers[i], stored)
            busiest = larger(busy, whole_div(chained, buffers[i])) + stored
            alike = full if before == 0 else 0
            fill_units(i, end, clusters, size, alike, left[i], down[i], most, opening,
                       ending, early, own, busiest, stored, loads, ends,
                       found)  # fmt: skip
            begins = weights[i] + loads[X, i] if before == 0 else begin
            apart = larger(larger(apart, begin + found[8, i]), of_last_to_begin(
                clusters, full, most, begins, link[i], own,
                of_batches(full // clusters, units, loads[CHAIN, i], buffers[i], stored)
            ))  # fmt: skip
            found[13, i] = opening
            if whole:  # slices take turns
                rounds = whole_div(full, clusters * buffers[i])
                found[14, i] = larger(rounds * loads[held_row, i], whole_div(held, buffers[i]))
            known = (full - 1 if after == 0 and full > 0 else full) if down[i] <= 1 else 0
            wait = loads[SLICE, i] if output_buffers[i] == 1 else 0
            fill_ends(i, end, clusters, tokens[i], size, known, ending, early, wait,
                      stored, loads, ends, found)  # fmt: skip
            if every and early:
                apart = larger(apart, larger(found[8, i], larger(found[10, i], found[12, i])))
                free = 3 if known > 0 else 5
                fill_behind(clusters, batches, tokens[i], free, stored, *cut, loads, found)
        else:
            fill_in_turn(i, tokens[i], ends[TAIL + early, end], held + weights[i], found)
        found[0, i] = NEVER if all_busy and batches < clusters else apart
