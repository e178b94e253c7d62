"""What a cluster does to adapt one batch: multiply-accumulates and bytes, for energy.

The counts mirror :class:`hybridsim.programs.lora.LoraProgram` kernel by kernel: what it computes,
what the engine's array is occupied with, and what its DMA moves.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from hybridsim.programs.lora import LoraProgram

Doing = tuple[str, str]
"""What is done and by which unit, as in ``("xa", "matrix_engine")``."""


@dataclass(frozen=True, slots=True)
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


def weights_activity(program: LoraProgram) -> dict[Doing, Activity]:
    """Return what bringing A and B of an adapter once to a cluster moves."""
    size = program.rank * program.element_bytes
    return {
        ("load a", "dma"): _moved(program.in_features * size),
        ("load b", "dma"): _moved(program.out_features * size),
    }


def batch_activity(program: LoraProgram) -> dict[Doing, Activity]:
    """Return what adapting one batch does, with X and Y brought in and Z taken out.

    U = X A takes tokens x in x rank multiply-accumulates, U B takes tokens x rank x out, split
    over units as the program splits its rows. Transfers move whole matrices; the buffers that the
    engine adds onto are zeroed by the DMA inside the TCDM, in full rows of the array.
    """
    size, tokens = program.element_bytes, program.tokens
    done: dict[Doing, Activity] = defaultdict(Activity)
    done["load x", "dma"] = _moved(tokens * program.in_features * size)
    done["load y", "dma"] = _moved(tokens * program.out_features * size)
    done["store z", "dma"] = _moved(tokens * program.out_features * size)
    for doing, activity in _kernels(program):
        done[doing] += activity
    return dict(done)


def _moved(size: int) -> Activity:
    return Activity(tcdm_bytes=size, link_bytes=size)


def _kernels(program: LoraProgram) -> Iterator[tuple[Doing, Activity]]:
    """Yield what each kernel with work does."""
    peak = program.cluster.matrix_engine.peak if program.cluster.matrix_engine else 0
    first, second = program.engine_rows
    taken: dict[str, int] = defaultdict(int)
    for kernel in program.kernels:
        inputs = 0
        if kernel.action == "xa":
            inputs = program.input_slices[taken[kernel.unit]]
            taken[kernel.unit] += 1
        if not kernel.cycles:
            continue
        on_engine = kernel.unit == "matrix_engine"
        macs = 0
        if kernel.action == "xa":
            rows = first if on_engine else program.tokens - first
            macs = rows * inputs * program.rank
        elif kernel.action in ("ub", "ub+y"):
            rows = second if on_engine else program.tokens - second
            macs = rows * program.rank * program.slices[kernel.slice]
        slots = kernel.cycles * peak if on_engine else 0
        zeroed = _zeroed_bytes(program, kernel.action, kernel.slice)
        yield (kernel.action, kernel.unit), Activity(macs, slots, zeroed)


def _zeroed_bytes(program: LoraProgram, action: str, index: int) -> int:
    """Return the bytes of the buffer that a kernel fills with zeros, if it does that."""
    engine, size = program.cluster.matrix_engine, program.element_bytes
    if engine is None or action not in ("zero u", "zero v"):
        return 0
    if action == "zero v":
        return engine.buffer_rows(program.tokens) * program.slices[index] * size
    if program.choice.order == "swapped":
        return engine.buffer_rows(program.rank) * program.tokens * size
    return engine.buffer_rows(program.engine_rows[0]) * program.rank * size
