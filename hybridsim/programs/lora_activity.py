"""What a cluster does to adapt one batch: multiply-accumulates and bytes, for energy.

The counts follow from the works of :class:`hybridsim.programs.lora.LoraProgram`: what a kernel
computes, what the engine's array is occupied with, and what its DMA moves.
"""

from collections import defaultdict

from hybridsim.arch import Cluster
from hybridsim.programs.lora import LoraProgram
from hybridsim.programs.lora_kernels import Kernel
from hybridsim.records import record

Doing = tuple[str, str]
"""What is done and by which unit, as in ``("xa", "matrix_engine")``."""


@record(frozen=True, slots=True)
class Activity:
    """Events that take energy."""

    macs: int = 0
    """Multiply-accumulates of use, on any unit."""
    engine_slots: int = 0
    """Multiply-accumulates that the array had time for: busy cycles x array."""
    tcdm_bytes: int = 0
    """Bytes that the DMA writes to or reads from the TCDM."""
    link_bytes: int = 0
    """Bytes that cross the link between cluster and memory or tiles."""

    def __add__(self, other: "Activity") -> "Activity":
        return Activity(
            self.macs + other.macs,
            self.engine_slots + other.engine_slots,
            self.tcdm_bytes + other.tcdm_bytes,
            self.link_bytes + other.link_bytes,
        )

    def __mul__(self, times: int) -> "Activity":
        return Activity(
            self.macs * times,
            self.engine_slots * times,
            self.tcdm_bytes * times,
            self.link_bytes * times,
        )


def weights_activity(program: LoraProgram, cluster: Cluster) -> dict[Doing, Activity]:
    """Return what bringing A and B of an adapter once to a cluster moves."""
    size = program.rank * cluster.element_bytes
    return {
        ("load a", "dma"): moved(program.in_features * size),
        ("load b", "dma"): moved(program.out_features * size),
    }


def batch_activity(program: LoraProgram, cluster: Cluster) -> dict[Doing, Activity]:
    """Return what adapting one batch does, with X and Y brought in and Z taken out.

    U = X A takes tokens x in x rank multiply-accumulates, U B takes tokens x rank x out, split
    over units as the program splits its rows. Transfers move whole matrices; the buffers that the
    engine adds onto are zeroed by the DMA inside the TCDM, in full rows of the array.
    """
    program = program.on(cluster)
    size, tokens = cluster.element_bytes, program.tokens
    done: dict[Doing, Activity] = defaultdict(Activity)
    done["load x", "dma"] = moved(tokens * program.in_features * size)
    done["load y", "dma"] = moved(tokens * program.out_features * size)
    done["store z", "dma"] = moved(tokens * program.out_features * size)
    for kernel in program.kernels:
        if activity := kernel_activity(kernel, program, cluster):
            done[kernel.work.label, kernel.unit] += activity
    return dict(done)


def moved(size: int) -> Activity:
    """Return what a transfer of so many bytes over the link does."""
    return Activity(tcdm_bytes=size, link_bytes=size)


def kernel_activity(kernel: Kernel, program: LoraProgram, cluster: Cluster) -> Activity | None:
    """Return what a kernel does in one batch, or None where it is left without work."""
    work = kernel.work
    cycles = cluster.cycles(work)
    if not cycles:
        return None
    if work.kind == "gemm":
        m, n, k = work.shape[:3]
        peak = cluster.engine.peak if work.part == "matrix_engine" else 0
        return Activity(m * n * k, cycles * peak)
    if work.kind == "zero":
        rows, columns = work.shape
        if kernel.slice_work:
            # V is counted for all tokens, also where the cores make some of its rows
            rows = program.tokens
        return Activity(
            tcdm_bytes=cluster.engine.buffer_rows(rows) * columns * cluster.element_bytes
        )
    return Activity()
