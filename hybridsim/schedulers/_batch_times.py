"""How long each step of each batch of a layer takes."""

from dataclasses import dataclass

import numpy as np

from hybridsim.arch import Machine
from hybridsim.programs import Kernel, LoraProgram
from hybridsim.schedulers._batching import Batching, program_of, transfer_ps
from hybridsim.units import Ints


@dataclass(frozen=True, slots=True, eq=False)
class BatchTimes:
    """Durations of the steps of a layer [ps]: one per batch, or one per layer for A and B."""

    load_a: int
    load_b: int
    mvm: Ints
    load_x: Ints
    slices: tuple[Ints, ...]
    """Fetching each slice of Y, and storing that slice of Z, which is as large."""
    kernels: tuple[tuple[Kernel, Ints], ...]

    @property
    def batches(self) -> int:
        """Batches of the layer; the last one may be smaller than the others."""
        return len(self.mvm)


def batch_times(machine: Machine, tokens: int, batching: Batching) -> BatchTimes:
    """Return the durations of a layer's steps when ``tokens`` are cut into batches."""
    program = batching.program
    sizes = batching.sizes(tokens)
    element, inner, outer = program.element_bytes, program.in_features, program.out_features
    return BatchTimes(
        load_a=transfer_ps(machine, inner * program.rank * element),
        load_b=transfer_ps(machine, outer * program.rank * element),
        mvm=sizes * machine.tile.mvm_ps(inner, outer, 1),
        load_x=transfer_ps(machine, sizes * (inner * element)),
        slices=tuple(transfer_ps(machine, sizes * (width * element)) for width in program.slices),
        kernels=_kernel_times(program, sizes),
    )


def _kernel_times(program: LoraProgram, sizes: Ints) -> tuple[tuple[Kernel, Ints], ...]:
    """Return each kernel of a full batch with its duration in every batch [ps].

    A kernel without work in a batch takes 1 ps, the least that a task can last.
    """
    different, which = np.unique(sizes, return_inverse=True)
    programs = [program_of(program, int(size)) for size in different]
    times = []
    for i, kernel in enumerate(program.kernels):
        each = [max(1, program.cluster.to_ps(p.kernels[i].cycles)) for p in programs]
        times.append((kernel, np.array(each, np.int64)[which]))
    return tuple(times)
