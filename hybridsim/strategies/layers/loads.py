"""What a batch of an adapted layer at least takes of each part of a machine, as columns."""

from typing import Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora import last_end
from hybridsim.units import Ints

LOADS = 15
"""Rows of a load: X, the shortest slice; cores, matrix engine, DMA with all transfers, link; from
the fetch of Y to the store of Z without and with an early start, and likewise from the end of the
MVMs of a batch to its last store; of cores, matrix engine and DMA what can only be done behind
those MVMs with an early start; from the first kernel that reads X to the last that reads U; all
one after the other."""
X, SLICE, CORES, LINK, HELD, TAIL, LATE, CHAIN, IN_TURN = 0, 1, 2, 5, 6, 8, 10, 13, 14
_UNITS = ("cores", "matrix_engine", "dma")


def loads_of(
    cluster: Cluster, program: LoraProgram, cycles: tuple[Any, ...], load_x: Ints, slices: Ints
) -> Ints:
    """Return the loads of batches, shape (loads, sizes) [ps]."""
    found = np.zeros((LOADS, len(load_x)), np.int64)
    found[X], found[SLICE] = load_x, slices.min(axis=0)
    times = [cluster.to_ps(own) for own in cycles]
    late = _late(program, True)
    for kernel, own, waits in zip(program.kernels, times, late, strict=True):
        unit = _UNITS.index(kernel.unit)
        found[CORES + unit] += own
        if waits:
            found[LATE + unit] += own
    moving = load_x + 2 * slices.sum(axis=0)
    found[CORES + 2] += moving
    found[LINK] = moving
    store = found[SLICE]
    found[LATE + 2] += 2 * slices.sum(axis=0)
    for early in (False, True):
        found[HELD + early] = 2 * store + cluster.to_ps(_chain(program, cycles, early))
    found[CHAIN] = cluster.to_ps(_until_u_is_free(program, cycles))
    found[IN_TURN] = moving + sum(times)
    whole = store + cluster.to_ps(_chain(program, cycles, None))
    found[TAIL] = np.maximum(found[HELD], whole)
    found[TAIL + 1] = found[HELD + 1]
    return found


def _chain(program: LoraProgram, cycles: tuple[Any, ...], early: bool | None) -> Any:
    """Return the least cycles of the kernels that wait for Y; of all that wait for X for None."""
    ends: list[Any] = []
    late = _late(program, early)
    for kernel, own, waits in zip(program.kernels, cycles, late, strict=True):
        ends.append(last_end([ends[i] for i in kernel.after]) + (own if waits else 0))
    return last_end(ends)


def _until_u_is_free(program: LoraProgram, cycles: tuple[Any, ...]) -> Any:
    """Return the least cycles from the first kernel that reads X to the last that reads U."""
    ends: list[Any] = []
    free: list[Any] = []
    for kernel, own in zip(program.kernels, cycles, strict=True):
        ends.append(
            last_end([ends[i] for i in kernel.after]) + (own if kernel.unit != "dma" else 0)
        )
        free += ends[-1:] * ("u" in kernel.frees)
    return last_end(free)


def _late(program: LoraProgram, early: bool | None) -> list[bool]:
    """Return which kernels wait for Y; of all that wait for X for None.

    With an early start a fused product waits for Y, as it is made where Y lies. Without one it
    may be made while Y is fetched.
    """
    fused = program.choice.add == "fused"
    waits: list[bool] = []
    for kernel in program.kernels:
        on_y = "y" in kernel.reads or (early is True and fused and "b" in kernel.reads)
        follows = any(waits[i] for i in kernel.after)
        waits.append(kernel.unit != "dma" and (early is None or on_y or follows))
    return waits
