"""Answers of the model for the measured rows of ``snitch_kernels.csv``."""

import re

from hybridsim.components.core_kernels import Precision
from hybridsim.components.cores import Cores
from hybridsim.components.dma import Dma, Place
from hybridsim.components.offload import Offload
from hybridsim.components.tcdm import Tcdm
from hybridsim.units import ceil_div

Answer = tuple[int | None, str]
"""Simulated cycles and nothing, or None and the reason why there are none."""

GEMM_SHAPE = re.compile(r"(\d+)x(\d+)\.(\d+)x(\d+)")
"""How a GEMM's shape is written: m x n . n x k."""
_DMA_SHAPE = re.compile(r"(\d+)\s*x\s*(\d+)\s*B")

GEMM_NAMES = {
    "gemm_ssr_frep_u8": "gemm_ssr_frep",
    "gemm_ssr_frep_u8_nopad": "gemm_ssr_frep_unpadded",
    "gemm_bcastA_ssr_frep": "gemm_broadcast",
    "gemm_bcastA_ssr_frep_nopad": "gemm_broadcast_unpadded",
    "dot_ssr_frep_k8": "dot_ssr_frep",
    "gemm_packedSIMD_noSSR": "gemm_packed_simd",
    "gemm_scalar_blk8": "gemm_scalar_blocked",
    "gemm_naive_scalar": "gemm_scalar_naive",
}
"""Measured kernel -> its name in the model."""
_VECTOR_ADD_NAMES = {
    "vadd_ssr_frep": "vector_add_ssr_frep",
    "vadd_packedSIMD_noSSR": "vector_add_packed_simd",
    "vadd_scalar_unroll4": "vector_add_scalar_unroll4",
    "vadd_scalar_simple": "vector_add_scalar_simple",
}
_CONTENTION_PROLOGUE = 14
"""Instructions before the streams of the contention rows; fitted on these rows."""
_POLL = 5
"""Cycles between two looks at the DMA's status in the measured program."""
_FIRST_POLL_1D, _FIRST_POLL_2D = 3, 1
"""Phase of those looks, modulo the above; source: all rows agree with it."""


def row_cycles(
    cores: Cores,
    dma: Dma,
    offload: Offload,
    tcdm: Tcdm,
    kernel: str,
    shape: str,
    precision: str,
    cores_used: str,
    note: str = "",
) -> Answer:
    """Return what the model says for one measured row, or why it says nothing.

    The columns are those of ``snitch_kernels.csv``. A row of one core means that only core 0 ran,
    on its share of the work of all.
    """
    if kernel.startswith("lora_"):
        return None, "a program: see the LoRA program"
    if kernel.startswith("dma:"):
        return _dma_row(dma, kernel.removeprefix("dma:"), shape, note)
    if kernel.startswith("ubench:TCDM contention"):
        return _contention_row(cores, dma, tcdm, kernel.rpartition(": ")[2])
    if kernel.startswith("ubench:"):
        return _micro_row(cores, offload, kernel.removeprefix("ubench:"))
    if precision not in ("fp32", "fp16"):
        return None, f"precision {precision!r} is not one of the table's"
    alone = cores_used == "1"
    kind: Precision = "fp32" if precision == "fp32" else "fp16"
    if kernel in GEMM_NAMES:
        return _gemm_row(cores, GEMM_NAMES[kernel], shape, kind, alone)
    return _vector_row(cores, kernel, shape, kind, alone)


def _gemm_row(cores: Cores, kernel: str, shape: str, precision: Precision, alone: bool) -> Answer:
    match = GEMM_SHAPE.fullmatch(shape)
    if match is None:
        return None, f"shape {shape!r} is not m x n.n x k"
    m, n, _, k = map(int, match.groups())
    if not alone:
        return cores.gemm_cycles(m, n, k, precision, kernel), ""
    slices = max(1, cores.count // m)
    share = ceil_div(m, cores.count), n, ceil_div(k, slices)
    return cores.gemm_cycles(*share, precision, kernel, cores=1), ""


def _vector_row(
    cores: Cores, kernel: str, shape: str, precision: Precision, alone: bool
) -> Answer:
    match = re.fullmatch(r"(\d+)x(\d+)", shape)
    if match is None:
        return None, f"shape {shape!r} is not rows x features"
    rows, features = map(int, match.groups())
    used = None
    if alone:
        rows, used = ceil_div(rows, cores.count), 1
    if kernel in _VECTOR_ADD_NAMES:
        name = _VECTOR_ADD_NAMES[kernel]
        return cores.vector_add_cycles(rows * features, precision, name, cores=used), ""
    if kernel.startswith("layernorm_"):
        name = "layernorm_ssr_frep" if "ssr" in kernel else "layernorm_scalar"
        return cores.layernorm_cycles(rows, features, precision, name, cores=used), ""
    if kernel.startswith("softmax_scalar"):
        return cores.softmax_cycles(rows, features, precision, "softmax_scalar", cores=used), ""
    return None, f"no equation for {kernel!r}"


def _dma_row(dma: Dma, kind: str, shape: str, note: str) -> Answer:
    """Return the first look at the status register that finds the engine idle.

    The note tells how many cycles the program took to issue the transfer, which depends on what
    its compiler knew: 28 instead of 30 where all arguments were constant.
    """
    match = _DMA_SHAPE.search(shape)
    if match is None:
        return None, f"shape {shape!r} is not rows x bytes"
    rows, row_bytes = map(int, match.groups())
    source: Place = "tcdm" if kind.replace("2D ", "").startswith(("TCDM", "zeromem")) else "memory"
    # a first build of the test bench sent what was written to TCDM to memory as well
    to: Place = "memory" if "->DRAM" in kind or "mirrored" in note else "tcdm"
    if "back" in kind:
        return dma.queued_cycles(row_bytes, rows, source=source), ""
    strided = kind.startswith("2D")
    if strided and "TCDM->DRAM" in kind:
        return None, "strided stores were anomalously slow in the test bench: not modelled"
    cycles = dma.transfer_cycles(rows * row_bytes, rows, source=source, strided=strided, to=to)
    issued = re.search(r"issue (\d+) cyc", note)
    if issued:
        cycles += int(issued[1]) - (dma.issue_2d if strided or rows > 1 else dma.issue_1d)
    phase = _FIRST_POLL_2D if strided else _FIRST_POLL_1D
    return phase + ceil_div(cycles - phase, _POLL) * _POLL, ""


def _contention_row(cores: Cores, dma: Dma, tcdm: Tcdm, pattern: str) -> Answer:
    """Return the slowest of 8 cores with 2 read streams of 256 elements each."""
    accesses, streams = 256, 2
    setup = (
        streams * cores.ssr_config + cores.ssr_switch + cores.frep_overhead
        + cores.fpu_fence + cores.barrier + _CONTENTION_PROLOGUE
    )  # fmt: skip
    late = (cores.count - 1) * cores.multiply_latency
    on_one_bank = re.search(r"(\d+) cores per bank|\((\d+)-way conflict\)", pattern)
    if on_one_bank:
        per_bank = int(on_one_bank[1] or on_one_bank[2])
        # cores that come late find the queue at the bank still there: no time is lost by it
        return setup + max(tcdm.stream_cycles(accesses, per_bank), accesses + late), ""
    if "DMA" in pattern:
        busy = tcdm.beside_dma_cycles(accesses, streams, dma.bytes_per_cycle)
        return setup + late + busy, ""
    if any(word in pattern for word in ("distinct banks", "start in same bank", "stride 64 B")):
        return setup + late + tcdm.stream_cycles(accesses, 1), ""
    return None, "the conflicts depend on the phase of the cores: only their range is modelled"


def _micro_row(cores: Cores, offload: Offload, name: str) -> Answer:
    """Return a micro-benchmark that a constant of the model answers.

    A loop of integer instructions ends with 3 cycles for reading the counter, one of
    floating-point instructions with the fence.
    """
    readout = 3
    repeated = re.search(r"x\s?(\d+)", name)
    times = int(repeated[1]) if repeated else 1
    stores = re.match(r"(\d+) sw to cluster peripheral", name) or re.match(
        r"sw x(\d+)(?= posted to cluster peripheral| to peripheral)", name
    )
    if stores:
        posted = int(stores[1])
        if "readback" not in name:
            return offload.stores_cycles(posted), ""
        # a load waits for the stores before it; it overlaps the last one's cycle
        return offload.stores_arrived_cycles(posted) + offload.peripheral_load - 1, ""
    answers = {
        r"f\S+ x\d+ dependent|vf\S+ x\d+ dependent": times * cores.fp_latency + cores.fpu_fence,
        r"f\S+ x\d+ independent": times + cores.fp_latency - 1 + cores.fpu_fence,
        r"lw x\d+ pointer chase in TCDM": times * cores.load_latency + readout,
        r"mul x\d+ dependent": times * cores.multiply_latency + readout,
        r"addi\+bnez": times * cores.loop_iteration + readout,
        r"lw x\d+ dependent from cluster peripheral": times * offload.peripheral_load + readout,
        r"FPU fence": cores.fpu_fence,
        r"SSR 4D config": cores.ssr_config,
        r"ssr enable\+disable": cores.ssr_switch,
        r"32 back-to-back HW barriers": offload.barrier_cycles(32),
        r"single HW barrier|HW barrier last-arrival": offload.barrier,
        r"wake-up WFI": offload.wake_up,
        r"wake-up by TCDM flag": offload.flag_wake_cycles(cores.count),
    }
    frep = re.match(r"frep\.o (\d+) iters x (\d+)", name)
    if frep:
        return int(frep[1]) * int(frep[2]) + cores.frep_overhead, ""
    for pattern, cycles in answers.items():
        if re.match(pattern, name):
            return cycles, ""
    return None, "not a constant of the model"
