"""How long each step of each batch of a layer takes."""

from dataclasses import dataclass, replace

import numpy as np

from hybridsim.arch import Machine
from hybridsim.plan import Mostly
from hybridsim.programs import Kernel
from hybridsim.schedulers._batching import Batching, transfer_ps
from hybridsim.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
class BatchTimes:
    """Durations of the steps of a layer [ps]: one per batch, or one per layer for A and B."""

    load_a: int
    load_b: int
    mvm: Mostly
    load_x: Mostly
    slices: tuple[Mostly, ...]
    """Fetching each slice of Y, and storing that slice of Z, which is as large."""
    kernels: tuple[tuple[Kernel, Mostly], ...]
    batches: int
    """Batches of the layer; the last one may be smaller than the others."""


def batch_times(machine: Machine, tokens: int, batching: Batching) -> BatchTimes:
    """Return the durations of a layer's steps when ``tokens`` are cut into batches."""
    program = batching.program
    batches, last = -(-tokens // batching.batch), (tokens - 1) % batching.batch + 1
    sizes = np.array([batching.batch, last], np.int64)
    element, inner, outer = program.element_bytes, program.in_features, program.out_features
    return BatchTimes(
        load_a=transfer_ps(machine, inner * program.rank * element),
        load_b=transfer_ps(machine, outer * program.rank * element),
        mvm=_mostly(sizes * machine.tile.mvm_ps(inner, outer, 1)),
        load_x=_mostly(transfer_ps(machine, sizes * (inner * element))),
        slices=tuple(
            _mostly(transfer_ps(machine, sizes * (width * element))) for width in program.slices
        ),
        kernels=_kernel_times(batching, last),
        batches=batches,
    )


def _mostly(times: Ints) -> Mostly:
    usual, last = times.tolist()
    return Mostly(usual, last)


def _kernel_times(batching: Batching, last: int) -> tuple[tuple[Kernel, Mostly], ...]:
    """Return each kernel of a full batch with its duration in a full and in the last batch [ps].

    A kernel without work in the last batch takes 1 ps, the least that a task can last.
    """
    program, cluster = batching.program, batching.program.cluster
    of_last = program if last == batching.batch else replace(program, tokens=last)
    return tuple(
        (kernel, Mostly(*(max(1, cluster.to_ps(k.cycles)) for k in (kernel, rest))))
        for kernel, rest in zip(program.kernels, of_last.kernels, strict=True)
    )
