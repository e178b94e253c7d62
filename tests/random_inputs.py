"""Random plans, small enough to shrink and odd enough to matter."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from hybridsim.plan import Mostly, Outline, Plan, PlanBuilder, Resource, Step, Timeline, Within
from hybridsim.units import Ints
from hybridsim.work import Work, delay

Run = Callable[[Plan], Timeline]
"""Executes a plan of delays."""

_NEAR = 8  # how far back a task's needs reach, so that chains and joins are common

# mostly a few picoseconds, so that many tasks end at the same instant
durations = st.integers(1, 6) | st.integers(1, 10**15)


@st.composite
def resources(draw: st.DrawFn, most: int = 4) -> tuple[Resource, ...]:
    """From none to ``most`` resources of two kinds, of one unit mostly."""
    count = draw(st.sampled_from([*range(most + 1), *range(1, most + 1)]))
    units = draw(st.lists(st.sampled_from([1, 1, 2, 3]), min_size=count, max_size=count))
    return tuple(Resource(f"r{i}", "ab"[i % 2], n) for i, n in enumerate(units))


@st.composite
def plans(draw: st.DrawFn, most_tasks: int = 24) -> Plan:
    """Tasks that use any number of resources, none as well, with data and room needs."""
    builder = PlanBuilder(draw(resources()))
    bits = st.integers(0, 2 ** (3 * _NEAR) - 1)
    rows = st.tuples(durations, st.integers(0, 2**6 - 1), bits, bits)
    count = draw(st.integers(0, most_tasks))
    for duration, uses, needs, rooms in draw(st.lists(rows, min_size=count, max_size=count)):
        task = len(builder)
        near = range(task - 1, max(-1, task - 1 - _NEAR), -1)
        builder.add(
            op=f"op{uses % 3}",
            work=delay(f"action{uses % 2}", duration),
            uses=_chosen(range(len(builder.resources)), uses >> 2),
            needs=_chosen(near, _few(needs)),
            rooms=_chosen(near, _few(rooms)),
        )
    return builder.build()


def times(plan: Plan | Outline) -> Ints:
    """Return the time of each work of a plan of delays [ps], shape (works,)."""
    return np.array([work.shape[0] for work in plan.works], np.int64)


def each_its_own(plan: Plan) -> Plan:
    """Return a plan of delays in which no two tasks share a work, so each has its own price."""
    each = zip(plan.work.tolist(), times(plan)[plan.work].tolist(), strict=True)
    works = [delay(f"{plan.works[w].label} {i}", t) for i, (w, t) in enumerate(each)]
    return replace(plan, works=tuple(works), work=np.arange(len(plan)))


def delays(label: str, each_ps: Sequence[int]) -> tuple[Work, ...]:
    """Return the works of a step that lasts another time in each iteration."""
    return tuple(delay(label, time_ps) for time_ps in each_ps)


def mostly_delay(
    label: str, usual: int, last: Sequence[int] = (), first: Sequence[int] = ()
) -> Mostly:
    """Return the works of a step that lasts ``usual``, but in a few iterations [ps]."""
    return Mostly(delay(label, usual), delays(label, last), delays(label, first))


def _chosen(items: range, bits: int) -> list[int]:
    return [item for k, item in enumerate(items) if bits >> k & 1]


def _few(bits: int) -> int:
    """Return few bits of many, so that tasks compete rather than follow each other."""
    return bits & bits >> _NEAR & bits >> 2 * _NEAR


def two_stages(first: Sequence[int], second: Sequence[int], room: int) -> Plan:
    """A producer and a consumer, batch by batch, with room for ``room`` batches between them."""
    builder = PlanBuilder((Resource("producer", "a"), Resource("consumer", "b")))
    steps = (
        Step(delays("produce", first), (0,), (Within(1, back=room, room=True),)),
        Step(delays("consume", second), (1,), (Within(0),)),
    )
    builder.repeat("op", steps, len(first))
    return builder.build()
