"""What each step of each batch of a layer does."""

from collections.abc import Callable
from dataclasses import dataclass

from hybridsim.plan import Mostly
from hybridsim.programs import Kernel
from hybridsim.strategies.layers.batches import Batching, BatchSizes
from hybridsim.work import NOTHING, Work, mvm


@dataclass(frozen=True, slots=True, eq=False)
class BatchWorks:
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


def batch_works(element_bytes: int, batching: Batching) -> BatchWorks:
    """Return the works of a layer's steps, for numbers of so many bytes."""
    program, sizes = batching.program, batching.sizes
    inner, outer = program.in_features, program.out_features
    programs = {size: batching.program_of(size) for size in sizes.different}

    def moved(label: str, width: int) -> Mostly:
        each = width * element_bytes
        return per_batch(sizes, lambda size: transfer(label, size * each, size))

    def computed(index: int) -> Mostly:
        return per_batch(sizes, lambda size: programs[size].kernels[index].work)

    return BatchWorks(
        load_a=transfer("load a", inner * program.rank * element_bytes),
        load_b=transfer("load b", outer * program.rank * element_bytes),
        mvm=per_batch(sizes, lambda size: mvm(((inner, outer),), size)),
        load_x=moved("load x", inner),
        load_y=tuple(moved("load y", width) for width in program.slices),
        store_z=tuple(moved("store z", width) for width in program.slices),
        kernels=tuple((kernel, computed(i)) for i, kernel in enumerate(program.kernels)),
        batches=sizes.batches,
    )


def transfer(label: str, size: int, tokens: int = NOTHING) -> Work:
    """Return a transfer of ``size`` bytes by the DMA of a cluster over the link."""
    return Work("dma", "transfer", label, (size,), tokens, size)


def per_batch(sizes: BatchSizes, work: Callable[[int], Work]) -> Mostly:
    """Return the works of all batches, from that of one of so many tokens."""
    return Mostly(
        work(sizes.full),
        tuple(work(size) for size in sizes.last),
        tuple(work(size) for size in sizes.first),
    )
