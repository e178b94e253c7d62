"""The tasks of attention inside one cluster, in the forms with overlap."""

from typing import TYPE_CHECKING

import numpy as np

from hybridsim.plan import Need, Plan, PlanBuilder, Resource, Step, Within
from hybridsim.units import Ints, ceil_div

if TYPE_CHECKING:
    from hybridsim.programs.attention import Attention

_RESOURCES = (
    Resource("dma", "dma"),
    Resource("matrix_engine", "matrix_engine"),
    Resource("cores", "cores"),
)
_DMA, _ENGINE, _CORES = (0,), (1,), (2,)


def lay_out(attention: "Attention", rows: tuple[int, ...]) -> Plan:
    """Return the tasks of all heads, ``rows`` of queries at a time, part by part, then by head.

    The output of a part and head is ready when its ``store`` ends.
    """
    if attention.form == "flash":
        return _flash(attention, rows)
    if attention.keys_values == "resident":
        return _with_resident(attention, rows)
    return _rereading(attention, rows)


def _rereading(attention: "Attention", rows: tuple[int, ...]) -> Plan:
    """Lay out parts that each fetch K and V.

    With two buffers and one head, Q and K of a part wait for the loads of V (even parts) or of
    Q and K (odd ones) of the part before; with several heads the same holds from head to head,
    and a new part waits for the last but one store. Source: HARP. With one buffer they wait for
    the product before them.
    """
    builder = PlanBuilder(_RESOURCES)
    keys, heads = attention.keys, attention.heads
    load = {part: attention.transfer_ps(part, keys) for part in set(rows)}
    steps = [
        Step("load q k", _DMA, _per_step(attention, rows, load)),
        *_compute(attention, rows, (Within(0),), (Within(3),)),
    ]
    steps.insert(3, Step("load v", _DMA, attention.transfer_ps(keys), (Within(1),)))
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


def _with_resident(attention: "Attention", rows: tuple[int, ...]) -> Plan:
    """Lay out the loads of K and V of all heads, then parts that fetch Q alone.

    A part waits for the product whose buffer it takes.
    """
    builder = PlanBuilder(_RESOURCES)
    heads = attention.heads
    whole = attention.transfer_ps(attention.keys)
    fetch = [Step("load k", _DMA, whole), Step("load v", _DMA, whole)]
    builder.repeat("attention", fetch, heads)
    first = len(builder)
    load = {part: attention.transfer_ps(part) for part in set(rows)}
    buffers = attention.buffers(rows[0])
    room = (Within(3, back=buffers, room=True),)
    steps = [
        Step("load q", _DMA, _per_step(attention, rows, load), room),
        *_compute(attention, rows, (Within(0),), ()),
    ]
    count = len(rows) * heads
    builder.repeat("attention", steps, count)
    work, head = first + np.arange(count) * len(steps), np.arange(count) % heads
    builder.link(work + 1, 2 * head)
    builder.link(work + 3, 2 * head + 1)
    return builder.build()


def _compute(
    attention: "Attention",
    rows: tuple[int, ...],
    first: tuple[Need | Within, ...],
    second: tuple[Need | Within, ...],
) -> list[Step]:
    """Return product, softmax, product and store; step 0 loads, ``second`` may be step 3."""
    sizes, keys = set(rows), attention.keys
    products = {part: attention.products_ps(part, keys) for part in sizes}
    softmax = {part: attention.softmax_ps(part, keys) for part in sizes}
    store = {part: attention.transfer_ps(part) for part in sizes}
    before = {part: products[part][0] for part in sizes}
    after = {part: products[part][1] for part in sizes}
    last = 3 + len(second)
    return [
        Step("q k", _ENGINE, _per_step(attention, rows, before), first),
        Step("softmax", _CORES, _per_step(attention, rows, softmax), (Within(1),)),
        Step("scores v", _ENGINE, _per_step(attention, rows, after), (Within(2), *second)),
        Step("store", _DMA, _per_step(attention, rows, store), (Within(last),)),
    ]


def _flash(attention: "Attention", rows: tuple[int, ...]) -> Plan:
    """Lay out, per part and head: load Q, the warps of keys one after the other, scale, store.

    Q and the output are held once, so a part waits for the store of the part before.
    """
    builder = PlanBuilder(_RESOURCES)
    warp = attention.warp(rows[0])
    warps = [min(warp, attention.keys - at) for at in range(0, attention.keys, warp)]
    move = {part: attention.transfer_ps(part) for part in set(rows)}
    last = 2 + 6 * len(warps)
    room = (Within(last, back=1, room=True),)
    steps = [Step("load q", _DMA, _per_step(attention, rows, move), room)]
    for number, keys in enumerate(warps):
        steps += _warp(attention, rows, number, keys, room)
    final = {part: _scale_ps(attention, part) for part in set(rows)}
    steps += [
        Step("scale", _CORES, _per_step(attention, rows, final), (Within(last - 2),)),
        Step("store", _DMA, _per_step(attention, rows, move), (Within(last - 1),)),
    ]
    builder.repeat("attention", steps, len(rows) * attention.heads)
    return builder.build()


def _warp(
    attention: "Attention",
    rows: tuple[int, ...],
    number: int,
    keys: int,
    room: tuple[Within, ...],
) -> list[Step]:
    """Return load K, product, partial softmax, load V, product, partial scale of one warp.

    K waits for the product whose place it takes, one or two warps before; statistics of the
    rows pass from warp to warp.
    """
    at, sizes = 1 + 6 * number, set(rows)
    buffers = attention.buffers(rows[0])
    if number >= buffers:
        room = (Within(at - 6 * buffers + 4, room=True),)
    products = {part: attention.products_ps(part, keys) for part in sizes}
    before = {part: products[part][0] for part in sizes}
    after = {part: products[part][1] for part in sizes}
    softmax = {part: _partial_softmax_ps(attention, part, keys) for part in sizes}
    scale = {part: _scale_ps(attention, part) for part in sizes}
    fetch = attention.transfer_ps(keys)
    return [
        Step("load k", _DMA, fetch, room),
        Step("q k", _ENGINE, _per_step(attention, rows, before), (Within(0), Within(at))),
        Step(
            "softmax",
            _CORES,
            _per_step(attention, rows, softmax),
            (Within(at + 1), Within(at - 1)),
        ),
        Step("load v", _DMA, fetch, (Within(at + 1),)),
        Step(
            "scores v",
            _ENGINE,
            _per_step(attention, rows, after),
            (Within(at + 2), Within(at + 3)),
        ),
        Step("scale", _CORES, _per_step(attention, rows, scale), (Within(at + 4),)),
    ]


def _partial_softmax_ps(attention: "Attention", rows: int, keys: int) -> int:
    """Return the time of a softmax that goes on from warp to warp [ps].

    Assumed: that of a softmax, times (4 M K + 4 M + (K - 1) M) / (M (6 K - 1)), the operations of
    the one over those of the other. Source of the counts: HARP.
    """
    whole, partial = 6 * keys - 1, 4 * keys + 4 + (keys - 1)
    return ceil_div(attention.softmax_ps(rows, keys) * partial, whole)


def _scale_ps(attention: "Attention", rows: int) -> int:
    """Return the time of scaling the rows of an output; assumed, as an addition of vectors."""
    cluster = attention.cluster
    elements = rows * attention.head_dim
    return cluster.to_ps(cluster.cores.vector_add_cycles(elements, cluster.precision))


def _per_step(attention: "Attention", rows: tuple[int, ...], cost: dict[int, int]) -> Ints:
    """Return one duration per part and head, part by part."""
    return np.repeat(np.array([cost[part] for part in rows], np.int64), attention.heads)
