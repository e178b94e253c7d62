"""An order as tables: who follows whom on each unit of a resource, and what that proves.

An *order* is the order in which the tasks of one timeline started. It gives each task the tasks
right before it on the units that it holds, its *forerunners*. Needs and forerunners together are
the *edges*: along them a task cannot start before the other one has ended, whatever the prices.

What follows from the edges alone is found here, once:

*   A resource that always goes with a scarcer one decides nothing and is left out.
*   An edge that a longer way implies is left out of the recurrence.
*   A forerunner that has surely ended when the task becomes ready cannot make it wait.
*   A task that waits is blocked all along if the one forerunner it can wait for surely started
    before the task became ready, or at that instant and stands before it in the plan. It needs
    no check. The others are *doubtful*, and are checked for each point.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybridsim.machine_code import machine_code
from hybridsim.plan import Plan, Timeline
from hybridsim.units import Ints

Bytes: TypeAlias = NDArray[np.int8]

BEFORE, UNTIL, SURELY, PARTLY = range(4)
"""How a forerunner alone blocks a task all along: if it started before the task became ready; at
that very instant will do, as it stands before the task in the plan; it surely started early
enough; or not alone, as there are other units."""

_WINDOW = 1024  # how many tasks back the search for longer ways goes


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """One order of a plan, as columns. Lists are stored one behind the other, as in a plan."""

    sequence: Ints
    """Tasks by their start."""
    edge_first: Ints
    """Edges of the recurrence, by place in the sequence."""
    edge: Ints
    doubt: Ints
    """The number of each place among the doubtful ones, or -1."""
    ready_first: Ints
    """Needs that decide when a doubtful task is ready."""
    ready: Ints
    rival_first: Ints
    """Forerunners for which a doubtful task can wait."""
    rival: Ints
    blocks: Ints
    """How each of them blocks, one of :data:`BEFORE` to :data:`PARTLY`."""
    tail_first: Ints
    """Units of the resources of a doubtful task; a list of resources is in ``group``."""
    tail: Ints
    """The last use of each unit before the doubtful task, or -1."""
    group: Ints
    """How many units from here on belong to the same resource."""
    owner: Ints
    """The task of each use."""
    previous: Ints
    """The use before each on the same unit, or -1."""
    last: Ints
    """Tasks that no edge leads on from; the last end is one of theirs."""


def freeze(plan: Plan, timeline: Timeline) -> Order:
    """Return the order in which the execution rule started the tasks of ``plan``."""
    sequence = np.lexsort((np.arange(len(plan)), timeline.start)).astype(np.int64)
    units = np.array([resource.units for resource in plan.resources], np.int64)
    use_first, use = _kept_uses(plan.use_first, plan.use, _scarce(plan.use_first, plan.use, units))
    width = units[use]
    tail_first = offsets(width)
    previous, tail = _lanes(sequence, use_first, use, offsets(units), tail_first, timeline.end)
    owner = np.repeat(np.arange(len(plan)), np.diff(use_first))
    edge_first, edge, ready_first, ready, rival_first, rival, blocks, doubtful = _edges(
        sequence, plan.need_first, plan.need, use_first, width, owner, previous
    )
    doubt = np.where(doubtful, np.cumsum(doubtful, dtype=np.int64) - 1, -1)
    chosen = np.flatnonzero(doubtful)
    ready_first, where = _lists(ready_first, chosen)
    rival_first, which = _lists(rival_first, chosen)
    group = np.repeat(tail_first[1:], width) - np.arange(len(tail))
    # units of all resources of a task are one behind the other
    tail_first, tail_of = _lists(tail_first[use_first], sequence[chosen])
    return Order(
        sequence, edge_first, edge, doubt, ready_first, ready[where], rival_first, rival[which],
        blocks[which], tail_first, tail[tail_of], group[tail_of], owner, previous,
        np.flatnonzero(np.bincount(edge, minlength=len(plan)) == 0),
    )  # fmt: skip


def offsets(lengths: Ints) -> Ints:
    """Return where the list of each owner begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def _lists(first: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """Return where the lists of some owners begin when put together, and where their items are."""
    lengths = first[chosen + 1] - first[chosen]
    begin = offsets(lengths)
    return begin, np.repeat(first[chosen] - begin[:-1], lengths) + np.arange(begin[-1])


@machine_code()
def _lanes(
    sequence: Ints, use_first: Ints, use: Ints, lane_first: Ints, tail_first: Ints, end: Ints
) -> tuple[Ints, Ints]:
    """Give each use a unit, the one that became free first.

    Returns the use before each on the same unit; and, for each use, the last use of every unit of
    its resource before it, one behind the other.
    """
    last = np.full(lane_first[-1], -1, np.int64)
    free = np.zeros(lane_first[-1], np.int64)
    previous, tail = np.empty(len(use), np.int64), np.empty(tail_first[-1], np.int64)
    for task in sequence:
        for k in range(use_first[task], use_first[task + 1]):
            begin, stop = lane_first[use[k]], lane_first[use[k] + 1]
            best = begin
            for lane in range(begin, stop):
                tail[tail_first[k] + lane - begin] = last[lane]
                if free[lane] < free[best]:
                    best = lane
            previous[k] = last[best]
            last[best], free[best] = k, end[task]
    return previous, tail


_NEED, _RIVAL = 1, 2  # what a task in the window has a way to


@machine_code()
def _edges(
    sequence: Ints, need_first: Ints, need: Ints, use_first: Ints, width: Ints, owner: Ints,
    previous: Ints,
) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints, Ints, Bytes]:  # fmt: skip
    """Return edges, needs and forerunners that matter by place, and which places are doubtful."""
    count = len(sequence)
    place = np.empty(count, np.int64)
    place[sequence] = np.arange(count)
    edge_first, ready_first = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    rival_first = np.zeros(count + 1, np.int64)
    edge, ready = np.empty(len(need) + len(owner), np.int64), np.empty(len(need), np.int64)
    rival, blocks = np.empty(len(owner), np.int64), np.empty(len(owner), np.int64)
    doubtful = np.zeros(count, np.int8)
    direct = np.zeros(count, np.int8)  # by task: a need or forerunner of the task in hand
    ways = np.zeros(count, np.int8)  # by task: what it has a longer way to
    touched = np.empty(count, np.int64)
    edges = readies = rivals = 0
    for at in range(count):
        task = sequence[at]
        needs = need[need_first[task] : need_first[task + 1]]
        uses = range(use_first[task], use_first[task + 1])
        for other in needs:
            direct[other] |= _NEED
        for k in uses:
            if previous[k] >= 0:
                direct[owner[previous[k]]] |= _RIVAL
        marks = _mark(at, task, sequence, place, needs, uses, owner, previous, edge_first, edge,
                      direct, ways, touched)  # fmt: skip
        for other in needs:
            if direct[other] & _NEED and not ways[other] & _NEED:
                ready[readies] = other
                readies += 1
                if not ways[other]:
                    edge[edges] = other
                    edges += 1
            direct[other] &= ~_NEED  # each once
        for other in needs:
            direct[other] |= _NEED
        for k in uses:
            other = owner[previous[k]] if previous[k] >= 0 else -1
            if other >= 0 and direct[other] == _RIVAL and not ways[other]:
                edge[edges], rival[rivals] = other, other
                how = _how(task, other, len(needs), place, edge_first, edge, direct, ways)
                blocks[rivals] = how if width[k] == 1 else PARTLY
                doubtful[at] |= blocks[rivals] != SURELY
                edges += 1
                rivals += 1
        for k in uses:
            if previous[k] >= 0:
                direct[owner[previous[k]]] = 0
        for other in needs:
            direct[other] = 0
        for k in range(marks):
            ways[touched[k]] = 0
        edge_first[at + 1], ready_first[at + 1], rival_first[at + 1] = edges, readies, rivals
    return (edge_first, edge[:edges].copy(), ready_first, ready[:readies].copy(), rival_first,
            rival[:rivals].copy(), blocks[:rivals].copy(), doubtful)  # fmt: skip


@machine_code()
def _mark(
    at: int, task: int, sequence: Ints, place: Ints, needs: Ints, uses: range, owner: Ints,
    previous: Ints, edge_first: Ints, edge: Ints, direct: Bytes, ways: Bytes, touched: Ints,
) -> int:  # fmt: skip
    """Note in ``ways`` which earlier tasks have ended when a need or forerunner starts.

    The search goes back to the earliest task that is asked for: a need, a forerunner, or what
    that waits for. Stopping sooner only leaves more to be checked.
    """
    low = at
    for other in needs:
        low = min(low, place[other])
    for k in uses:
        if previous[k] >= 0:
            before = place[owner[previous[k]]]
            low = min(low, before)
            for e in range(edge_first[before], edge_first[before + 1]):
                low = min(low, place[edge[e]])
    marks = 0
    for back in range(at - 1, max(low, at - _WINDOW - 1) - 1, -1):
        way = direct[sequence[back]] | ways[sequence[back]]
        if way:
            for e in range(edge_first[back], edge_first[back + 1]):
                if not ways[edge[e]]:
                    touched[marks] = edge[e]
                    marks += 1
                ways[edge[e]] |= way
    return marks


@machine_code()
def _how(
    task: int, other: int, needs: int, place: Ints, edge_first: Ints, edge: Ints, direct: Bytes,
    ways: Bytes,
) -> int:  # fmt: skip
    """Return how a forerunner blocks a task; it starts when the last of its own edges ends."""
    before = place[other]
    begin, stop = edge_first[before], edge_first[before + 1]
    at_once, earlier = True, stop > begin or needs > 0
    for e in range(begin, stop):
        if not ways[edge[e]] & _NEED:
            earlier = False
            at_once = at_once and direct[edge[e]] & _NEED != 0
    if earlier or (at_once and other < task):
        return SURELY
    return UNTIL if other < task else BEFORE


@machine_code()
def _scarce(use_first: Ints, use: Ints, units: Ints) -> Bytes:
    """Return whether each resource can decide anything.

    It cannot if all of its tasks use another one that has no more units: when that has a free
    unit, so has this. Of two that are used alike the first is kept.
    """
    most = 8  # companions that are remembered; more are rare, and leaving some out is safe
    companion = np.full((len(units), most), -1, np.int64)
    users = np.zeros(len(units), np.int64)
    for task in range(len(use_first) - 1):
        own = use[use_first[task] : use_first[task + 1]]
        for resource in own:
            users[resource] += 1
            if users[resource] == 1:
                companion[resource, : min(most, len(own))] = own[:most]
            for k in range(most):
                found = False
                for other in own:
                    found = found or companion[resource, k] == other
                if not found:
                    companion[resource, k] = -1
    kept = np.ones(len(units), np.int8)
    for resource in range(len(units)):
        if users[resource] <= units[resource]:
            kept[resource] = 0
        for other in companion[resource]:
            if other >= 0 and other != resource and units[other] <= units[resource]:
                alike = units[other] == units[resource] and users[other] == users[resource]
                if not alike or other < resource:
                    kept[resource] = 0
    return kept


@machine_code()
def _kept_uses(use_first: Ints, use: Ints, kept: Bytes) -> tuple[Ints, Ints]:
    """Return the uses of the resources that are kept."""
    first, found, count = np.zeros_like(use_first), np.empty_like(use), 0
    for task in range(len(use_first) - 1):
        for k in range(use_first[task], use_first[task + 1]):
            if kept[use[k]]:
                found[count] = use[k]
                count += 1
        first[task + 1] = count
    return first, found[:count].copy()
