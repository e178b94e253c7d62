"""How long each step of each batch of a layer takes."""

from collections.abc import Callable
from dataclasses import dataclass

from hybridsim.arch import Machine
from hybridsim.plan import Mostly
from hybridsim.programs import Kernel
from hybridsim.strategies._batching import Batching, Cut, program_of, transfer_ps
from hybridsim.units import Ints

Durations = Mostly | Ints
"""One duration for every batch."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchTimes:
    """Durations of the steps of a layer [ps]: one per batch, or one per layer for A and B."""

    load_a: int
    load_b: int
    mvm: Durations
    load_x: Durations
    slices: tuple[Durations, ...]
    """Fetching each slice of Y, and storing that slice of Z, which is as large."""
    kernels: tuple[tuple[Kernel, Durations], ...]
    batches: int = 1
    """Batches of the layer; the first and the last ones may be smaller than the others."""


def batch_times(machine: Machine, tokens: int, batching: Batching) -> BatchTimes:
    """Return the durations of a layer's steps when ``tokens`` are cut into batches.

    A kernel without work in a batch takes 1 ps, the least that a task can last.
    """
    program, cut = batching.program, batching.cut(tokens)
    element, inner, outer = program.element_bytes, program.in_features, program.out_features
    mvm = machine.tile.mvm_ps(inner, outer, 1)

    def moved(width: int) -> Mostly:
        return _per_batch(cut, lambda size: transfer_ps(machine, size * (width * element)))

    def computed(index: int) -> Mostly:
        return _per_batch(
            cut,
            lambda size: max(
                1, program.cluster.to_ps(program_of(program, size).kernels[index].cycles)
            ),
        )

    return BatchTimes(
        load_a=transfer_ps(machine, inner * program.rank * element),
        load_b=transfer_ps(machine, outer * program.rank * element),
        mvm=_per_batch(cut, lambda size: size * mvm),
        load_x=moved(inner),
        slices=tuple(moved(width) for width in program.slices),
        kernels=tuple((kernel, computed(i)) for i, kernel in enumerate(program.kernels)),
        batches=cut.batches,
    )


def _per_batch(cut: Cut, duration: Callable[[int], int]) -> Mostly:
    return Mostly(
        duration(cut.full),
        tuple(duration(size) for size in cut.last),
        tuple(duration(size) for size in cut.first),
    )
