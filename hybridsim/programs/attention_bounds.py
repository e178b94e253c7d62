"""What the heads of a cluster at least take, for many batches of queries at once.

Each of DMA, engine and cores does one thing at a time, so heads take no less than the busiest of
them; done one after the other, no less than all together. Where K and V are read whole, a product
comes before all softmax, and a product and its store behind it; with room for one part alone, its
operands come when the one before is done with.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from hybridsim.plan import Bools
from hybridsim.programs.attention import Attention
from hybridsim.units import Ints, ceil_div


def least_ps(attention: Attention, batches: Ints) -> Any:
    """Return times that the heads do not beat, for batches of so many queries [ps].

    Nothing is known of those of which not one query fits.
    """
    tokens = np.full_like(batches, attention.tokens)
    full = np.minimum(batches, tokens)
    part, fits = _parts(attention, full)
    first, second, softmax, moved, stored = _costs(attention, int(part.max()))
    count = ceil_div(tokens, full)
    last = tokens - (count - 1) * full
    left = (full % part) * (count > 1), last % part
    if attention.form == "flash":
        left = (0 * part, 0 * part)  # their warps are those of a whole part

    def total(each: Ints) -> Any:
        """Return the sum over all parts of what ``each`` says of a part of so many rows."""
        found = ((count - 1) * (full // part) + last // part) * each[part]
        return attention.heads * (found + (count - 1) * each[left[0]] + each[left[1]])

    busy = total(first + second), total(softmax), total(moved + stored)
    if attention.form == "sequential" or attention.in_turn:
        return (busy[0] + busy[1] + busy[2]) * fits
    found = np.maximum.reduce(busy)
    if attention.form == "pipelined":
        # with one buffer a part is fetched behind the product of the one before
        alone = np.array([attention.buffers(rows) < 2 for rows in part.tolist()])
        in_turn = total(first + softmax + second + (moved + stored) // 2)
        found = np.where(alone, np.maximum(found, in_turn), found)
        # what comes first is a whole part, and behind all whole ones is still one to be finished
        load = (moved + stored) // 2 if attention.keys_values == "reread" else 0 * stored
        head, end = (load + first)[part], second + stored
        rests = [np.where(rows > 0, rows, part) for rows in left]
        if attention.keys_values == "resident":
            head = np.minimum(head, np.minimum(*(first[rows] for rows in rests)))
        whole = attention.heads * ((count - 1) * (full // part) + last // part) * softmax[part]
        least = np.minimum(end[part], np.minimum(*(end[rows] for rows in rests)))
        found = np.maximum(found, head + np.maximum(busy[1] + least, whole + end[part]))
    return found * fits


def _parts(attention: Attention, full: Ints) -> tuple[Ints, Bools]:
    """Return the rows of the fewest equal parts of each batch that fit, and whether any do."""
    fitting = [attention.buffers(rows) > 0 for rows in range(1, int(full.max()) + 1)]
    found, fits = np.ones_like(full), np.zeros(len(full), np.bool_)
    for at, rows in enumerate(full.tolist()):
        for count in range(1, rows + 1):
            part = ceil_div(rows, count)
            if fitting[part - 1]:
                found[at], fits[at] = part, True
                break
    return found, fits


@lru_cache(maxsize=64)
def _costs(attention: Attention, most: int) -> tuple[Ints, ...]:
    """Return what a part of each number of rows up to ``most`` takes of a head [ps].

    The first product, the second one, softmax, transfers of operands, and that of the output.
    """
    found = np.zeros((5, most + 1), np.int64)
    rows, cluster = np.arange(1, most + 1), attention.cluster
    fixed = cluster.kernel_costs is None and cluster.row_unit is None
    if attention.form != "flash" and fixed and attention.has_engine:
        found[:, 1:] = _of_part(attention, rows)
    else:
        found[:, 1:] = np.transpose([_of_part(attention, each) for each in rows.tolist()])
    return tuple(found)


def _of_part(attention: Attention, rows: Any) -> tuple[Any, ...]:
    """Return the costs of a part; rows may be a column where no kernel has costs as data."""
    keys, stored = attention.keys, attention.transfer_ps(rows)
    if attention.form != "flash":
        there = attention.keys_values == "resident"
        moved = stored if there else attention.transfer_ps(rows, keys, keys)
        products = attention.products_ps(rows, keys)
        return (*products, attention.softmax_ps(rows, keys), moved, stored)
    warp = attention.warp(rows)
    first = second = softmax = 0
    moved = attention.transfer_ps(rows)
    for own, times in ((warp, keys // warp), (keys % warp, 1)):
        if own and times:
            one, other = attention.products_ps(rows, own)
            first, second = first + times * one, second + times * other
            softmax += times * attention.partial_softmax_ps(rows, own)
            moved += 2 * times * attention.transfer_ps(own)
    return first, second, softmax, moved, stored
