"""Every measured row of the Snitch cluster against the model, half of them fitted.

``python tests/rtl/test_snitch_rows.py`` prints the errors by half.
"""

import csv
import re
import zlib
from collections import defaultdict
from math import ceil
from pathlib import Path
from statistics import median

import pytest
import yaml

from hybridsim.components.cores import Cores
from hybridsim.components.dma import Dma
from hybridsim.components.offload import Offload
from hybridsim.components.snitch_rows import row_cycles
from hybridsim.components.tcdm import Tcdm

TABLE = Path(__file__).parents[2] / "arch_configs/ahwa_lora_2026/cycles/snitch_kernels.csv"
CLUSTER = yaml.safe_load("""
cores:
  count: 8
  ssr: true
  frep: true
  packed_simd: true
  exp_instruction: false
  word: 64 bit
  tcdm_banks: 32
  fp_latency: 4 cycles
  load_latency: 4 cycles
  multiply_latency: 4 cycles
  loop_iteration: 2 cycles
  ssr_config: 9 cycles
  ssr_switch: 3 cycles
  frep_overhead: 9 cycles
  fpu_fence: 7 cycles
  barrier: 3 cycles
  contention:
    train_fp32: {typical: 118, least: 100, most: 125}
    train_fp16: {typical: 113, least: 100, most: 125}
    broadcast: {typical: 105, least: 100, most: 125}
    element_wise: {typical: 125, least: 100, most: 125}
    start_fp32: 20 cycles
    start_fp16: 24 cycles
dma:
  bytes_per_cycle: 64 B/cycle
  issue_1d: 15 cycles
  issue_2d: 30 cycles
  first_byte_from_memory: 15 cycles
  first_byte_from_tcdm: 12 cycles
  rows_ahead: 5
  short_rows: 5
  short_rows_cycles: 8 cycles
  store_burst: 32
  store_ahead: 3
tcdm: {size: 128 KiB, banks: 32, bank_width: 64 bit}
offload:
  barrier: 3 cycles
  barrier_interval: 2 cycles
  wake_up: 10 cycles
  flag_wake_up: 12 cycles
  peripheral_store: 4 cycles
  peripheral_queue: 11 cycles
  peripheral_load: 9 cycles
  engine_registers: 10
""")
CORES, DMA = Cores(**CLUSTER["cores"]), Dma(**CLUSTER["dma"])
OFFLOAD, TCDM = Offload(**CLUSTER["offload"]), Tcdm(**CLUSTER["tcdm"])

Row = dict[str, str]


def rows() -> list[Row]:
    with TABLE.open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def answer(row: Row) -> tuple[int | None, str]:
    names = ("kernel", "shape", "precision", "cores", "note")
    return row_cycles(CORES, DMA, OFFLOAD, TCDM, *(row[name] for name in names))


def fitted(row: Row) -> bool:
    """Half of the rows, by their names alone."""
    name = ",".join(row[key] for key in ("kernel", "shape", "precision", "cores"))
    return zlib.crc32(name.encode()) % 2 == 0


def group(row: Row) -> str:
    return re.split("[:_]", row["kernel"])[0]


def errors(chosen: list[Row]) -> list[float]:
    """Signed errors of the answered rows, in percent."""
    found = []
    for row in chosen:
        cycles, _ = answer(row)
        if cycles is not None:
            found.append(100 * (cycles - int(row["cycles"])) / int(row["cycles"]))
    return found


def summary(found: list[float]) -> tuple[float, float, float]:
    """Median, 90th percentile and maximum of the absolute errors."""
    size = sorted(map(abs, found))
    return median(size), size[ceil(0.9 * len(size)) - 1], size[-1]


ROWS = rows()
KERNEL_ROWS = [row for row in ROWS if group(row) not in ("ubench", "lora")]


@pytest.mark.parametrize("part", ["all", "fitted", "held back"])
def test_cores_and_dma_are_close(part):
    """Median 3 %, 90th percentile 8 %, on either half: what a plan needs to rank choices."""
    chosen = [row for row in KERNEL_ROWS if part == "all" or fitted(row) == (part == "fitted")]
    middle, high, _ = summary(errors(chosen))
    assert len(chosen) > 90
    assert middle <= 3
    assert high <= 8


@pytest.mark.parametrize(
    ("name", "worst"),
    [("gemm", 8), ("dot", 5), ("vadd", 5), ("layernorm", 4), ("softmax", 1), ("ubench", 3)],
)
def test_no_kind_of_row_is_far_off(name, worst):
    """Worst errors of the kinds that are not exact."""
    assert max(map(abs, errors([row for row in ROWS if group(row) == name]))) <= worst


def test_transfers_are_exact():
    """The status register was read every 5 cycles: with that, all agree to the cycle."""
    wrong = [
        row["shape"]
        for row in ROWS
        if group(row) == "dma" and answer(row)[0] not in (None, int(row["cycles"]))
    ]
    assert wrong == []


def test_what_is_not_answered_says_why():
    reasons = defaultdict(set)
    for row in ROWS:
        cycles, reason = answer(row)
        assert (cycles is None) == bool(reason)
        if cycles is None:
            reasons[group(row)].add(reason)
        else:
            assert type(cycles) is int
    assert set(reasons) == {"lora", "dma", "ubench"}
    assert reasons["lora"] == {"a program: see the LoRA program"}
    assert len(reasons["dma"]) == 1


@pytest.mark.parametrize(
    ("kernel", "shape", "precision"),
    [
        ("softmax_streams", "8x128", "fp32"),
        ("conv", "8x128", "fp32"),
        ("conv", "8x8x8", "fp32"),
        ("gemm_naive_scalar", "8x128", "fp32"),
        ("gemm_naive_scalar", "8x8.8x8", "fp64"),
        ("dma:DRAM->TCDM", "4 KiB", "-"),
        ("ubench:unheard of x10", "-", "-"),
    ],
)
def test_an_unknown_row_is_declined(kernel, shape, precision):
    cycles, reason = row_cycles(CORES, DMA, OFFLOAD, TCDM, kernel, shape, precision, "8")
    assert cycles is None
    assert reason


def test_an_adapter_tile_is_two_kernels_one_after_the_other():
    """X A on unpadded rows, then (X A) B by cores that are spread already: within 4 %."""
    found = []
    for row in ROWS:
        if group(row) != "lora":
            continue
        tile = int(re.search(r"tile (\d+) rows", row["kernel"])[1])
        _, into, out, rank = map(int, re.findall(r"\d+", row["shape"]))
        measured = int(re.search(r"one tile (\d+) cyc", row["note"])[1])
        first = CORES.gemm_cycles(tile, into, rank, row["precision"], "gemm_ssr_frep_unpadded")
        second = CORES.gemm_cycles(
            tile, rank, out, row["precision"], "gemm_broadcast", aligned=False
        )
        found.append(100 * (first + second - measured) / measured)
    assert len(found) >= 12
    assert max(map(abs, found)) <= 4.1
    assert median(map(abs, found)) <= 2


def error_table() -> str:
    """Return the errors by kind of row and half, as Markdown."""
    kinds = {"all cores and DMA": KERNEL_ROWS}
    for row in ROWS:
        if errors([row]):
            kinds.setdefault(group(row), []).append(row)
    lines = ["| rows | half | n | median | 90th percentile | worst |", "|---|---|---|---|---|---|"]
    for kind, members in kinds.items():
        for half in ("all", "fitted", "held back"):
            found = errors(
                [r for r in members if half == "all" or fitted(r) == (half == "fitted")]
            )
            shown = " | ".join(f"{value:.1f} %" for value in summary(found))
            lines.append(f"| {kind} | {half} | {len(found)} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(error_table())
