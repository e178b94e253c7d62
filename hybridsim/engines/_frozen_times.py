"""Times in a frozen order, for a block of points side by side, and the proof that it holds.

In a frozen order every end is the largest of a few earlier ends plus a duration. The execution
rule gives the same times exactly if every task that waits is *blocked* at each instant from its
ready time until its start: some resource it uses has all units held by tasks that started
before that instant, or at it and stand before the task in the plan. Units are held one task
after the other, so no more than there are can be held.

Most tasks need no check (:mod:`._frozen_order`). For the others one comparison mostly shows that
one forerunner blocked the task all along; where it does not, the units are walked back.
"""

import numpy as np
from numpy.typing import NDArray

from hybridsim.engines._frozen_order import BEFORE, PARTLY, SURELY, Order
from hybridsim.machine_code import machine_code
from hybridsim.units import Ints

Bytes = NDArray[np.int8]

WIDTH = 64
"""Points of a block: a row of them is 512 bytes, so that the rows in use stay in the cache."""


def times(order: Order, work: Ints, time_ps: Ints, end: Ints) -> tuple[Ints, Bytes]:
    """Fill in ``end``, shape (tasks, WIDTH); return the last end of each point and if it holds.

    ``time_ps`` has the shape (works, WIDTH).
    """
    latest, holds = np.zeros(WIDTH, np.int64), np.ones(WIDTH, np.int8)
    _times(
        order.sequence, order.edge_first, order.edge, order.doubt, order.ready_first, order.ready,
        order.rival_first, order.rival, order.blocks, order.tail_first, order.tail, order.group,
        order.owner, order.previous, order.last, work, time_ps, end, latest, holds,
    )  # fmt: skip
    return latest, holds


@machine_code()
def _times(
    sequence: Ints, edge_first: Ints, edge: Ints, doubt: Ints, ready_first: Ints, ready: Ints,
    rival_first: Ints, rival: Ints, blocks: Ints, tail_first: Ints, tail: Ints, group: Ints,
    owner: Ints, previous: Ints, last: Ints, work: Ints, time_ps: Ints, end: Ints, latest: Ints,
    holds: Bytes,
) -> None:  # fmt: skip
    start, since = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    blocked = np.empty(WIDTH, np.int64)
    widest = 0  # a task of a small plan may have more units to choose from than there are uses
    for d in range(len(tail_first) - 1):
        widest = max(widest, tail_first[d + 1] - tail_first[d])
    reach = np.empty(widest, np.int64)
    for at in range(len(sequence)):
        task = sequence[at]
        k, stop = edge_first[at], edge_first[at + 1]
        w = work[task]
        if at % WIDTH == 0 and not holds.any():
            return  # mostly an order that does not hold fails early
        if doubt[at] < 0:
            _advance(end, task, edge, k, stop, time_ps, w)
            continue
        _latest(end, edge, k, stop, start)
        for p in range(WIDTH):
            end[task, p] = start[p] + time_ps[w, p]
        d = doubt[at]
        _latest(end, ready, ready_first[d], ready_first[d + 1], since)
        for p in range(WIDTH):
            blocked[p] = start[p] == since[p]
        for k in range(rival_first[d], rival_first[d + 1]):
            other, v = rival[k], work[rival[k]]
            if blocks[k] == SURELY:
                for p in range(WIDTH):
                    blocked[p] |= end[other, p] == start[p]
            elif blocks[k] != PARTLY:
                late = np.int64(blocks[k] == BEFORE)
                for p in range(WIDTH):
                    began = end[other, p] - time_ps[v, p] + late
                    blocked[p] |= (end[other, p] == start[p]) & (began <= since[p])
        missing = 0
        for p in range(WIDTH):
            missing += 1 - blocked[p]
        if missing:
            for p in range(WIDTH):
                if not blocked[p] and holds[p]:
                    holds[p] = _walk(
                        task, p, since[p], start[p], tail_first[d], tail_first[d + 1], tail,
                        group, owner, previous, work, time_ps, end, reach,
                    )  # fmt: skip
    for task in last:
        for p in range(WIDTH):
            latest[p] = max(latest[p], end[task, p])


@machine_code(forceinline=True)
def _advance(
    end: Ints, task: int, edge: Ints, first: int, stop: int, time_ps: Ints, w: int
) -> None:
    """Fill in the ends of a task; one and two edges, the most frequent, in one pass."""
    if stop - first == 1:
        a = edge[first]
        for p in range(WIDTH):
            end[task, p] = end[a, p] + time_ps[w, p]
    elif stop - first == 2:
        a, b = edge[first], edge[first + 1]
        for p in range(WIDTH):
            end[task, p] = max(end[a, p], end[b, p]) + time_ps[w, p]
    elif stop == first:
        for p in range(WIDTH):
            end[task, p] = time_ps[w, p]
    else:
        a, b, c = edge[first], edge[first + 1], edge[first + 2]
        for p in range(WIDTH):
            end[task, p] = max(max(end[a, p], end[b, p]), end[c, p])
        for k in range(first + 3, stop):
            a = edge[k]
            for p in range(WIDTH):
                end[task, p] = max(end[task, p], end[a, p])
        for p in range(WIDTH):
            end[task, p] += time_ps[w, p]


@machine_code(forceinline=True)
def _latest(end: Ints, edge: Ints, first: int, stop: int, out: Ints) -> None:
    """Fill in the largest of some ends, 0 of none."""
    if stop == first:
        out[:] = 0
        return
    a = edge[first]
    for p in range(WIDTH):
        out[p] = end[a, p]
    for k in range(first + 1, stop):
        a = edge[k]
        for p in range(WIDTH):
            out[p] = max(out[p], end[a, p])


@machine_code()
def _walk(
    task: int, p: int, ready: int, start: int, first: int, stop: int, tail: Ints, group: Ints,
    owner: Ints, previous: Ints, work: Ints, time_ps: Ints, end: Ints, reach: Ints,
) -> bool:  # fmt: skip
    """Return whether a task is blocked at every instant from ``ready`` until ``start``.

    What is left to show shrinks from behind: all instants from ``open_`` on are blocked.
    ``reach`` has the use that each unit is walked back to.
    """
    for k in range(first, stop):
        reach[k - first] = tail[k]
    open_ = start
    while open_ > ready:
        best, k = open_, first
        while k < stop:
            units, begin = group[k], 0
            for lane in range(k, k + units):
                begin = max(begin, _blocked_from(
                    task, p, open_, lane - first, owner, previous, work, time_ps, end, reach,
                ))  # fmt: skip
            best = min(best, begin)
            k += units
        if best == open_:
            return False
        open_ = best
    return True


@machine_code(forceinline=True)
def _blocked_from(
    task: int, p: int, before: int, lane: int, owner: Ints, previous: Ints, work: Ints,
    time_ps: Ints, end: Ints, reach: Ints,
) -> int:  # fmt: skip
    """Return since when one unit is held for the task at the instant right before ``before``.

    That is ``before`` itself if it is not.
    """
    while reach[lane] >= 0:
        other = owner[reach[lane]]
        # who starts together with the task, but stands behind it, does not block it yet
        late = other > task
        begin = end[other, p] - time_ps[work[other], p] + late
        if begin < before:
            held: int = begin if end[other, p] >= before else before
            return held
        reach[lane] = previous[reach[lane]]
    return before
