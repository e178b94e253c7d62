"""The tasks of attention inside one cluster, in the forms with overlap."""

from collections.abc import Callable

import numpy as np

from hybridsim.plan import Need, Plan, PlanBuilder, Resource, Step, Within
from hybridsim.programs.attention import Attention
from hybridsim.units import Ints
from hybridsim.work import Work

_RESOURCES = (
    Resource("dma", "dma"),
    Resource("matrix_engine", "matrix_engine"),
    Resource("cores", "cores"),
)
_DMA, _ENGINE, _CORES = (0,), (1,), (2,)


def lay_out(attention: Attention, rows: tuple[int, ...]) -> Plan:
    """Return the tasks of all heads, ``rows`` of queries at a time, part by part, then by head.

    The output of a part and head is ready when its ``store`` ends.
    """
    if attention.form == "flash":
        return _flash(attention, rows)
    if attention.keys_values == "resident":
        return _with_resident(attention, rows)
    return _rereading(attention, rows)


def _rereading(attention: Attention, rows: tuple[int, ...]) -> Plan:
    """Lay out parts that each fetch K and V.

    With two buffers and one head, Q and K of a part wait for the loads of V (even parts) or of
    Q and K (odd ones) of the part before; with several heads the same holds from head to head,
    and a new part waits for the last but one store. Source: HARP. With one buffer they wait for
    the product before them.
    """
    builder = PlanBuilder(_RESOURCES)
    keys, heads = attention.keys, attention.heads
    load = _per_step(rows, heads, lambda part: _moved("load q k", part, keys))
    steps = [
        Step(load, _DMA),
        *_compute(attention, rows, (Within(0),), (Within(3),)),
    ]
    steps.insert(3, Step(_moved("load v", keys), _DMA, (Within(1),)))
    count = len(rows) * heads
    builder.repeat("attention", steps, count)
    index = np.arange(1, count)
    if attention.buffers(rows[0]) == 1:
        before, step = index - 1, np.full(count - 1, 4)
    else:
        before, step = _alternating(index, heads)
    there = before >= 0
    builder.link((index * len(steps))[there], (before * len(steps) + step)[there])
    return builder.build()


def _alternating(index: Ints, heads: int) -> tuple[Ints, Ints]:
    """Return which step of which iteration each load of Q and K waits for.

    Steps: 0 loads Q and K, 3 loads V, 5 stores.
    """
    turn = index if heads == 1 else index % heads
    step = np.where(turn % 2 == 1, 0, 3)
    before = index - 1
    if heads > 1:
        new_part = turn == 0
        before, step = np.where(new_part, index - 2, before), np.where(new_part, 5, step)
    return before, step


def _with_resident(attention: Attention, rows: tuple[int, ...]) -> Plan:
    """Lay out the loads of K and V of all heads, then parts that fetch Q alone.

    A part waits for the product whose buffer it takes.
    """
    builder = PlanBuilder(_RESOURCES)
    heads = attention.heads
    keys = attention.keys
    fetch = [Step(_moved("load k", keys), _DMA), Step(_moved("load v", keys), _DMA)]
    builder.repeat("attention", fetch, heads)
    first = len(builder)
    load = _per_step(rows, heads, lambda part: _moved("load q", part))
    buffers = attention.buffers(rows[0])
    room = (Within(3, back=buffers, room=True),)
    steps = [
        Step(load, _DMA, room),
        *_compute(attention, rows, (Within(0),), ()),
    ]
    count = len(rows) * heads
    builder.repeat("attention", steps, count)
    work, head = first + np.arange(count) * len(steps), np.arange(count) % heads
    builder.link(work + 1, 2 * head)
    builder.link(work + 3, 2 * head + 1)
    return builder.build()


def _compute(
    attention: Attention,
    rows: tuple[int, ...],
    first: tuple[Need | Within, ...],
    second: tuple[Need | Within, ...],
) -> list[Step]:
    """Return product, softmax, product and store; step 0 loads, ``second`` may be step 3."""
    keys, heads = attention.keys, attention.heads

    def works(make: Callable[[int], Work]) -> tuple[Work, ...]:
        return _per_step(rows, heads, make)

    last = 3 + len(second)
    return [
        Step(works(lambda part: _product("q k", 0, part, keys)), _ENGINE, first),
        Step(works(lambda part: Work("cores", "softmax", "softmax", (part, keys))), _CORES,
             (Within(1),)),
        Step(works(lambda part: _product("scores v", 1, part, keys)), _ENGINE,
             (Within(2), *second)),
        Step(works(lambda part: _stored(part)), _DMA, (Within(last),)),
    ]  # fmt: skip


def _flash(attention: Attention, rows: tuple[int, ...]) -> Plan:
    """Lay out, per part and head: load Q, the warps of keys one after the other, scale, store.

    Q and the output are held once, so a part waits for the store of the part before.
    """
    builder = PlanBuilder(_RESOURCES)
    warp = attention.warp(rows[0])
    warps = [min(warp, attention.keys - at) for at in range(0, attention.keys, warp)]
    heads = attention.heads
    last = 2 + 6 * len(warps)
    room = (Within(last, back=1, room=True),)
    load = _per_step(rows, heads, lambda part: _moved("load q", part))
    steps = [Step(load, _DMA, room)]
    for number, keys in enumerate(warps):
        steps += _warp(attention, rows, number, keys, room)
    steps += [
        Step(_per_step(rows, heads, _scale), _CORES, (Within(last - 2),)),
        Step(_per_step(rows, heads, lambda part: _stored(part)), _DMA, (Within(last - 1),)),
    ]
    builder.repeat("attention", steps, len(rows) * heads)
    return builder.build()


def _warp(
    attention: Attention,
    rows: tuple[int, ...],
    number: int,
    keys: int,
    room: tuple[Within, ...],
) -> list[Step]:
    """Return load K, product, partial softmax, load V, product, partial scale of one warp.

    K waits for the product whose place it takes, one or two warps before; statistics of the
    rows pass from warp to warp.
    """
    at, buffers = 1 + 6 * number, attention.buffers(rows[0])
    if number >= buffers:
        room = (Within(at - 6 * buffers + 4, room=True),)

    def works(make: Callable[[int], Work]) -> tuple[Work, ...]:
        return _per_step(rows, attention.heads, make)

    softmax = works(lambda part: Work("cores", "partial softmax", "softmax", (part, keys)))
    return [
        Step(_moved("load k", keys), _DMA, room),
        Step(works(lambda part: _product("q k", 0, part, keys)), _ENGINE, (Within(0), Within(at))),
        Step(softmax, _CORES, (Within(at + 1), Within(at - 1))),
        Step(_moved("load v", keys), _DMA, (Within(at + 1),)),
        Step(
            works(lambda part: _product("scores v", 1, part, keys)),
            _ENGINE,
            (Within(at + 2), Within(at + 3)),
        ),
        Step(works(_scale), _CORES, (Within(at + 4),)),
    ]


def _scale(rows: int) -> Work:
    """Return the scaling of rows of an output."""
    return Work("cores", "scale", "scale", (rows,))


def _per_step(rows: tuple[int, ...], heads: int, make: Callable[[int], Work]) -> tuple[Work, ...]:
    """Return one work per part and head, part by part; parts alike share theirs."""
    known = {part: make(part) for part in dict.fromkeys(rows)}
    return tuple(known[part] for part in rows for _ in range(heads))


def _moved(label: str, *rows: int) -> Work:
    """Return one transfer of so many rows of each matrix."""
    return Work("dma", "rows", label, rows)


def _stored(rows: int) -> Work:
    """Return the transfer of so many rows of an output."""
    return Work("dma", "store", "store", (rows,))


def _product(label: str, which: int, rows: int, keys: int) -> Work:
    """Return one of both products."""
    return Work("matrix_engine", "product", label, (which, rows, keys))
