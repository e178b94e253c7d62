"""What each step of each batch of a layer does."""

from collections.abc import Callable
from dataclasses import dataclass

from hybridsim.arch import Machine
from hybridsim.plan import Mostly
from hybridsim.programs import Kernel
from hybridsim.programs.lora import KernelWork
from hybridsim.strategies._batching import Batching, Cut, program_of
from hybridsim.work import NOTHING, Work


@dataclass(frozen=True, slots=True, eq=False)
class BatchTimes:
    """Works of the steps of a layer: one per batch, or one per layer for A and B."""

    load_a: Work
    load_b: Work
    mvm: Mostly
    load_x: Mostly
    load_y: tuple[Mostly, ...]
    """Fetching each slice of Y."""
    store_z: tuple[Mostly, ...]
    """Storing that slice of Z, which is as large."""
    kernels: tuple[tuple[Kernel, Mostly], ...]
    batches: int = 1
    """Batches of the layer; the first and the last ones may be smaller than the others."""


def batch_times(machine: Machine, tokens: int, batching: Batching) -> BatchTimes:
    """Return the works of a layer's steps when ``tokens`` are cut into batches."""
    program, cut = batching.program, batching.cut(tokens)
    element, inner, outer = program.element_bytes, program.in_features, program.out_features

    def moved(label: str, width: int) -> Mostly:
        return _per_batch(cut, lambda size: transfer(label, size * (width * element), size))

    def computed(index: int, kernel: Kernel) -> Mostly:
        def work(size: int) -> Work:
            own = KernelWork(program_of(program, size).shape, index)
            return Work(kernel.unit, "program", kernel.action, (own,), size)

        return _per_batch(cut, work)

    return BatchTimes(
        load_a=transfer("load a", inner * program.rank * element),
        load_b=transfer("load b", outer * program.rank * element),
        mvm=_per_batch(cut, lambda size: mvm(((inner, outer),), size)),
        load_x=moved("load x", inner),
        load_y=tuple(moved("load y", width) for width in program.slices),
        store_z=tuple(moved("store z", width) for width in program.slices),
        kernels=tuple((kernel, computed(i, kernel)) for i, kernel in enumerate(program.kernels)),
        batches=cut.batches,
    )


def mvm(members: tuple[tuple[int, int], ...], tokens: int) -> Work:
    """Return the MVMs of so many tokens on layers of (in, out) features, at once."""
    return Work("tile", "mvm", "mvm", (members, tokens), tokens)


def transfer(label: str, size: int, tokens: int = NOTHING) -> Work:
    """Return a transfer of ``size`` bytes by the DMA of a cluster over the link."""
    return Work("dma", "transfer", label, (size,), tokens, size)


def _per_batch(cut: Cut, work: Callable[[int], Work]) -> Mostly:
    return Mostly(
        work(cut.full),
        tuple(work(size) for size in cut.last),
        tuple(work(size) for size in cut.first),
    )
