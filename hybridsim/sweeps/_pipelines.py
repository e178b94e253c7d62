"""The pipeline of one layer, compiled: its makespan from the durations of its steps alone.

A step of the pipeline works on one server (tiles, DMA, matrix engine, cores), and each server has
one unit. Then steps of one kind start and end in the order of their batches, so the state is a
marked graph: every need is a *place* that holds as many tokens as batches may still pass. A step
is ready when all its places hold a token; it takes one from each when it starts, and puts one
into each place behind it when it ends. All places lie in two words of 60 bits, five bits each,
so that readiness of a step is one comparison and a state is a few numbers.

The execution rule is that of :mod:`hybridsim.plan`. A state that comes back is jumped over; it
is looked at whenever the tiles finish a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from hybridsim.plan import Resource, Step, Within
from hybridsim.units import Ints

SERVERS = ("tile", "dma", "matrix_engine", "cores")
"""Kinds of resources that a step works on, in the order of the tables."""

_BITS, _PLACES = 5, 12
_ONES = sum(15 << (_BITS * i) for i in range(_PLACES))
_GUARDS = sum(16 << (_BITS * i) for i in range(_PLACES))
_NEVER = 2**62
_BATCH_TILES = 0


@dataclass(frozen=True, slots=True)
class Calm:
    """A pipeline in which one server computes and the DMA moves."""

    server: tuple[int, ...]
    needs: frozenset[tuple[int, int, int]]
    """All (source, user, back) but the room for outputs on the tiles, which must be 2 or more.
    Back is 2 where it is the number of buffers, which may be 1 or 2."""
    load_x: int
    zero_u: int | None
    load_y: int
    store_z: int
    before_y: tuple[int, ...]
    """Steps of the computing server that do not wait for Y."""
    with_y: tuple[int, ...]
    """The others."""


CALM = (
    # mvm, load x, zero u, xa, load y, ub+y, store z
    Calm(
        (0, 1, 1, 2, 1, 2, 1),
        frozenset({(3, 1, 2), (5, 2, 2), (1, 3, 0), (2, 3, 0), (0, 3, 0), (0, 4, 0), (6, 4, 2),
                   (4, 5, 0), (3, 5, 0), (5, 6, 0)}),
        1, 2, 4, 6, (3,), (5,),
    ),
    # mvm, load x, xa, load y, ub, add y, store z
    Calm(
        (0, 1, 3, 1, 3, 3, 1),
        frozenset({(2, 1, 2), (1, 2, 0), (0, 2, 0), (5, 2, 2), (0, 3, 0), (6, 3, 2), (2, 4, 0),
                   (3, 5, 0), (4, 5, 0), (5, 6, 0)}),
        1, None, 3, 6, (2, 4), (5,),
    ),
)  # fmt: skip
"""The two forms for which :func:`calm_end` is proven: on the matrix engine, and on the cores."""


def _calm_buffers(server: Sequence[int | None], places: Sequence[tuple[int, int, int]]) -> int:
    """Return with how many buffers the pipeline is one of :data:`CALM`; 0 if it is none."""
    others = {(source, user, back) for source, user, back in places if user}
    room = [(source, back) for source, user, back in places if not user]
    for form in CALM:
        for buffers in (1, 2):
            needs = {(source, user, buffers * (back > 0)) for source, user, back in form.needs}
            same = tuple(server) == form.server and others == needs
            if same and all(source == form.load_y and back > 1 for source, back in room):
                return buffers
    return 0


@numba.njit(cache=True, forceinline=True)
def calm_end(turn: int, last_turn: int, batches: int, begin: int, period: int) -> int:
    """Return when the cluster begins to compute the last batch of a calm pipeline [ps], or -1.

    With two buffers, a batch is calm if its transfers D = x + zero + y + z take no longer than
    its computing P, and Y arrives while the steps before it compute:
    max(x + z, zero) + y <= before. Then by
    induction over the batches the computing server starts batch k at
    t(k) = max(end of its MVMs, t(k - 1) + P), t(0) = max(end of its MVMs, ``begin``):

    *   At t(k) four transfers are left that matter: store z (k - 1), load y (k), load x and
        zero u (k + 1). All are ready, nothing that comes before them in the plan is left, and
        the DMA is not idle until they are done. So they end by t(k) + D <= t(k + 1).
    *   Of these, load y (k) waits for store z and for at most one that had begun: load x, or
        zero u if store z has ended. So Y is there when the steps before it end.
    *   The tiles may begin batch k + 1 when Y (k - 1) has been fetched, by t(k - 1) + P. If the
        MVMs of a batch take P or less, they end by t(k + 1). If they take longer, and ``begin``
        is not later than the first MVMs, the tiles never wait.

    With one buffer and all batches alike, ``period`` is the computing P, and where a buffer is
    zeroed also store z and zero u, which then lie between two batches. A batch is calm if

    *   on the matrix engine load y fits beside xa, and load x of the next batch beside ub+y:
        at the end of ub+y the DMA is idle, stores Z, and zeroes U before it does anything else;
    *   on the cores z + y <= xa + ub, and max(xa, z + y) + x <= P: at the end of the addition Z is
        stored, then Y fetched while xa and ub run, then the next X.

    ``begin`` is when A, B, the first X and its zeroed buffer are there. -1 means that neither of
    the two cases holds.
    """
    if batches == 1:
        return max(last_turn, begin)
    if turn <= period:
        return max(turn, begin) + (batches - 1) * period
    if begin <= turn:
        return (batches - 1) * turn + max(last_turn, period)
    return -1


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Steps and needs of a pipeline as tables; a need is one field of two words."""

    server: Ints
    """The server of each step."""
    wants: Ints
    """Shape (steps, 2): guard bits of the places that must hold a token."""
    takes: Ints
    """Shape (steps, 2): one token of each of these places."""
    gives: Ints
    """Shape (steps, 2): one token for each place behind the step."""
    start: Ints
    """Shape (2,): tokens before the first batch."""
    ahead: Ints
    """How often each step runs before the tiles have finished their first batch."""
    regular: bool
    """Whether each further batch of the tiles lets every step run once more, and the tiles
    themselves never wait when all that could run has run."""
    calm: int
    """Batches in flight, 1 or 2, if it has a form for which :func:`calm_end` holds; else 0."""


def structure(steps: Sequence[Step], resources: Sequence[Resource]) -> Structure | None:
    """Return the tables of a pipeline; None if it has too many needs, or too much room.

    Step 0 is that of the tiles. Needs of A and B are left out: both are fetched by the DMA before
    it does anything else, so who needs a step of the DMA has waited for them as well.
    """
    server = [_server(step, resources) for step in steps]
    places = list(dict.fromkeys(
        (need.step, j, need.back)
        for j, step in enumerate(steps) for need in step.needs if isinstance(need, Within)
    ))  # fmt: skip
    most = sum(sorted((back for _, _, back in places), reverse=True)[:3])
    if None in server or len(places) > 2 * _PLACES or most >= 1 << (_BITS - 1):
        return None
    wants, takes, gives = (np.zeros((len(steps), 2), np.int64) for _ in range(3))
    start = np.zeros(2, np.int64)
    for number, (source, user, back) in enumerate(places):
        word, shift = number // _PLACES, number % _PLACES * _BITS
        wants[user, word] |= 16 << shift
        takes[user, word] += 1 << shift
        gives[source, word] += 1 << shift
        start[word] += back << shift
    ahead = _runs(places, len(steps), 0)
    more = [_runs(places, len(steps), k) for k in range(1, 4)]
    steady = all((b - a == 1).all() for a, b in zip([more[0], more[1]], more[1:], strict=True))
    free = all(counts[0] >= k + 2 for k, counts in enumerate([ahead, *more]))
    first = bool((more[0] - ahead <= 1).all())
    return Structure(
        np.array(server, np.int64),
        wants,
        takes,
        gives,
        start,
        ahead,
        steady and free and first,
        _calm_buffers(server, places),
    )


def _server(step: Step, resources: Sequence[Resource]) -> int | None:
    kinds = {resources[use].kind for use in step.uses} & set(SERVERS)
    return SERVERS.index(kinds.pop()) if len(kinds) == 1 else None


def _runs(places: Sequence[tuple[int, int, int]], steps: int, batches: int) -> Ints:
    """Return how often each step can run while the tiles finish ``batches`` batches.

    For step 0 it is how many batches the tiles may have begun.
    """
    bound = [1 << 20] * steps
    changed = True
    while changed:
        changed = False
        for source, user, back in places:
            limit = (min(batches, bound[source]) if source == 0 else bound[source]) + back
            if limit < bound[user]:
                bound[user], changed = limit, True
    return np.array(bound, np.int64)


@numba.njit(cache=True, forceinline=True)
def _later(end: int, time: int) -> int:
    """Return an end that is later by some time; of a server that is idle there is none."""
    return end + time if end != _NEVER else _NEVER


@numba.njit(cache=True, forceinline=True)
def _first(
    order: Ints, unit: int, begun: Ints, batches: int, steps: int, wants: Ints, n0: int, n1: int
) -> int:
    """Return the step of a server that can begin and is first in the plan; -1 for none.

    ``n0`` and ``n1`` have the guard bit of each place that holds a token.
    """
    best, key, k = -1, _NEVER, 0
    while order[unit, k] >= 0:
        j = order[unit, k]
        k += 1
        if (
            begun[j] < batches
            and (n0 & wants[j, 0]) == wants[j, 0]
            and (n1 & wants[j, 1]) == wants[j, 1]
            and begun[j] * steps + j < key
        ):
            best, key = j, begun[j] * steps + j
    return best


@numba.njit(cache=True, forceinline=True)
def _skip(begun: Ints, steps: int, period: int, alike: int) -> int:
    """Count a period of batches as often as it fits into those that are alike; return that."""
    high = 0
    for j in range(steps):
        high = max(high, begun[j])
    times = max(0, (alike - high) // period)
    for j in range(steps):
        begun[j] += times * period
    return times


@numba.njit(cache=True)
def makespan(
    server: Ints, wants: Ints, takes: Ints, gives: Ints, start: Ints, usual: Ints, last: Ints,
    batches: int, alike: int, fetched: int, begun: Ints, order: Ints,
) -> int:  # fmt: skip
    """Return the last end of a pipeline [ps].

    Args:
        server: Tables of the :class:`Structure`, as are the next four.
        wants: See there.
        takes: See there.
        gives: See there.
        start: See there.
        usual: Duration of each step [ps].
        last: The same in the last batch.
        batches: Number of batches.
        alike: Batches before the first with other durations.
        fetched: When the DMA has fetched A and B [ps].
        begun: Room for a number per step.
        order: Steps by server, in the order of the plan: a row per server, -1 at its end.
    """
    steps = len(server)
    begun[:steps] = 0
    w0, w1 = start[0], start[1]
    e0 = e1 = e2 = e3 = _NEVER
    r0 = r1 = r2 = r3 = -1
    if fetched:
        e1 = fetched
    now = finished = 0
    # the saved state, and when the next one is saved
    s0 = s1 = -1
    q1 = q2 = q3 = d1 = d2 = d3 = saved_now = saved_at = 0
    power = 1
    while True:
        n0 = (w0 + _ONES) & _GUARDS
        n1 = (w1 + _ONES) & _GUARDS
        for unit in range(4):
            if (e0, e1, e2, e3)[unit] != _NEVER:
                continue
            best = _first(order, unit, begun, batches, steps, wants, n0, n1)
            if best >= 0:
                w0 -= takes[best, 0]
                w1 -= takes[best, 1]
                end = now + (usual[best] if begun[best] < batches - 1 else last[best])
                begun[best] += 1
                if unit == 0:
                    e0, r0 = end, best
                elif unit == 1:
                    e1, r1 = end, best
                elif unit == 2:
                    e2, r2 = end, best
                else:
                    e3, r3 = end, best
        then = min(min(e0, e1), min(e2, e3))
        if then == _NEVER:
            return now
        now = then
        if e1 == now:
            if r1 >= 0:
                w0 += gives[r1, 0]
                w1 += gives[r1, 1]
            e1, r1 = _NEVER, -1
        if e2 == now:
            w0 += gives[r2, 0]
            w1 += gives[r2, 1]
            e2, r2 = _NEVER, -1
        if e3 == now:
            w0 += gives[r3, 0]
            w1 += gives[r3, 1]
            e3, r3 = _NEVER, -1
        if e0 == now:
            w0 += gives[r0, 0]
            w1 += gives[r0, 1]
            e0, r0 = _NEVER, -1
            finished += 1
            if power == 0 or finished >= alike:
                continue
            left1, left2, left3 = _later(e1, -now), _later(e2, -now), _later(e3, -now)
            if (
                s0 == w0 and s1 == w1 and q1 == r1 and q2 == r2 and q3 == r3
                and d1 == left1 and d2 == left2 and d3 == left3
            ):  # fmt: skip
                times = _skip(begun, steps, finished - saved_at, alike)
                later = times * (now - saved_now)
                now += later
                e1, e2, e3 = _later(e1, later), _later(e2, later), _later(e3, later)
                power = 0  # what is left is shorter than a period
            elif s0 < 0 or finished - saved_at == power:
                power *= 1 if s0 < 0 else 2
                s0, s1, q1, q2, q3, d1, d2, d3 = w0, w1, r1, r2, r3, left1, left2, left3
                saved_now, saved_at = now, finished
