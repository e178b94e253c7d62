"""The paper's latency study: integration time x layer shape x batch, with its published anchors.

Source: Li, Ferro, Lammie, Le Gallo, Boybat, Rajendran, "Efficient transformer adaptation for
analog in-memory computing via low-rank adapters", Neuromorphic Computing and Engineering 6(1)
014011 (2026), Fig. 4. Its full text was not at hand: the anchors are from summaries of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridsim.arch import load_machine
from hybridsim.errors import CapacityError
from hybridsim.library import network_path
from hybridsim.measure.result import LayerResult
from hybridsim.programs import CHOICES, LoraProgram
from hybridsim.simulation import simulate
from hybridsim.strategies import TokenParallel
from hybridsim.units import format_ps
from hybridsim.workload import load_network

MACHINE = "ahwa_lora_2026"
SHAPES = ("layer_128x128", "layer_512x128")
INTEGRATION_TIMES = ("128 ns", "256 ns", "512 ns")
BATCHES = (8, 16, 32, 64, 128)
SEQUENCE_LENGTHS = (128, 320)
ARRAYS = ((4, 8), (4, 12), (4, 16), (8, 16), (8, 24))
"""Height and width of RedMulE arrays; 4 x 8 and 4 x 12 are published builds."""
ARRAYS_OF_THE_TABLE = ((4, 8), (4, 12), (8, 24))
"""The arrays that were measured in RTL."""
CLOCKS_MHZ = (400, 500, 613, 1000)
"""Clocks: 500 MHz is HARP's, 613 MHz that of RedMulE at 0.8 V, 1 GHz that of Snitch chips."""
DMA_BYTES = (8, 64)
"""Bytes per cycle: HARP's DMA and that of the open Snitch cluster."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published figure of the study."""

    name: str
    network: str
    integration_time: str | None
    """None where the publication does not say."""
    overhead_percent: float
    source: str


ANCHORS = (
    Anchor("best case", "layer_128x128", None, 4.0, "Fig. 4c: 4 % in the best case"),
    Anchor("worst case", "layer_512x128", "128 ns", 172.0, "Fig. 4c: up to 2.72x at 128 ns"),
)
"""2.72x the all-analog latency is an overhead of 172 %."""


def latency_study(units: Iterable[str] = ("matrix_engine",)) -> pd.DataFrame:
    """Return one row per case of the study.

    Columns: network, integration_time, sequence_length, batch, unit, latency_ps, yardstick_ps,
    overhead_percent, ratio, tcdm_bytes, buffers, bound; ``problem`` says that it does not fit.
    """
    rows = []
    for shape in SHAPES:
        network = load_network(network_path(shape))
        for time in INTEGRATION_TIMES:
            machine = load_machine(MACHINE, {"tile.integration_time": time})
            for tokens in SEQUENCE_LENGTHS:
                for unit in units:
                    for batch in BATCHES:
                        case = {
                            "network": shape,
                            "integration_time": time,
                            "sequence_length": tokens,
                            "unit": unit,
                            "batch": batch,
                        }
                        strategy = TokenParallel(batch=batch, unit=unit)
                        try:
                            layer = simulate(network, machine, strategy, tokens).layers[0]
                        except CapacityError:
                            rows.append(case | {"problem": "does not fit the TCDM"})
                            continue
                        rows.append(
                            case
                            | {
                                "latency_ps": layer.latency_ps,
                                "yardstick_ps": layer.yardstick_ps,
                                "overhead_percent": layer.overhead_percent,
                                "ratio": layer.latency_ps / layer.yardstick_ps,
                                "tcdm_bytes": layer.tcdm_bytes,
                                "buffers": layer.buffers,
                                "bound": layer.bound,
                                "problem": "",
                            }
                        )
    whole = ["latency_ps", "yardstick_ps", "tcdm_bytes", "buffers"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def cycles_per_token() -> pd.DataFrame:
    """Return what an adapter of rank 8 costs on each unit, all operands in the TCDM.

    One row per layer shape, array and batch: layer, array, batch, and cycles per token on the
    cores, on the engine in direct and in swapped order (with and without the transposes that the
    swapped one needs), and on both at once.
    """
    rows = []
    for height, width in ARRAYS_OF_THE_TABLE:
        cluster = load_machine(MACHINE, _array(height, width)).cluster
        assert cluster is not None
        for inner in (128, 512):
            for batch in BATCHES:
                ways = {
                    choice: LoraProgram(inner, 128, 8, batch, choice).on(cluster)
                    for choice in CHOICES
                }
                direct, swapped, cores, both = (
                    ways[choice].compute_cycles(cluster) for choice in CHOICES
                )
                turns = sum(
                    cluster.cycles(kernel.work)
                    for kernel in ways[CHOICES[1]].kernels
                    if kernel.work.kind == "transpose"
                )
                case = {"layer": f"{inner}x128", "array": f"{height} x {width}", "batch": batch}
                cycles = {
                    "cores": cores,
                    "engine": direct,
                    "swapped": swapped,
                    "swapped_without_transposes": swapped - turns,
                    "both": both,
                }
                rows.append(case | {name: c / batch for name, c in cycles.items()})
    return pd.DataFrame(rows)


def _array(height: int, width: int) -> dict[str, Any]:
    """Return the overrides that give the machine another matrix engine."""
    return {
        "cluster.matrix_engine.array_height": height,
        "cluster.matrix_engine.array_width": width,
        "cluster.matrix_engine.port_width": f"{64 * height} bit",
    }


def plausible_machines() -> pd.DataFrame:
    """Return the two anchors on machines that differ in what the paper does not publish.

    One row per matrix engine, clock and DMA width: array, clock_mhz, dma_bytes_per_cycle,
    best_percent (128x128 at 512 ns) and worst_ratio (512x128 at 128 ns), each at its best batch
    for 128 tokens. Nothing is fitted: the rows show which machines are near the anchors.
    """
    rows = []
    for height, width in ARRAYS:
        for mhz in CLOCKS_MHZ:
            for dma in DMA_BYTES:
                changes = _array(height, width) | {
                    "cluster.clock.frequency": f"{mhz} MHz",
                    "link.clock.frequency": f"{mhz} MHz",
                    "cluster.dma.bytes_per_cycle": f"{dma} B/cycle",
                }
                square = _at_best_batch("layer_128x128", "512 ns", changes)
                wide = _at_best_batch("layer_512x128", "128 ns", changes)
                rows.append(
                    {
                        "array": f"{height} x {width}",
                        "clock_mhz": mhz,
                        "dma_bytes_per_cycle": dma,
                        "best_percent": square.overhead_percent,
                        "best_batch": square.batch,
                        "worst_ratio": wide.latency_ps / wide.yardstick_ps,
                        "worst_batch": wide.batch,
                    }
                )
    return pd.DataFrame(rows)


def _at_best_batch(shape: str, time: str, changes: dict[str, Any]) -> LayerResult:
    network = load_network(network_path(shape))
    machine = load_machine(MACHINE, changes | {"tile.integration_time": time})
    results = (
        simulate(network, machine, TokenParallel(batch=batch), 128).layers[0]
        for batch in BATCHES[:-1]
    )
    return min(results, key=lambda layer: layer.latency_ps)


def best_batches(study: pd.DataFrame) -> pd.DataFrame:
    """Return, of each shape, integration time, length and unit, the batch with least latency."""
    fits = study.dropna(subset=["latency_ps"])
    keys = ["network", "integration_time", "sequence_length", "unit"]
    return fits.loc[fits.groupby(keys, sort=False)["latency_ps"].idxmin()].reset_index(drop=True)


def with_best(study: pd.DataFrame) -> pd.DataFrame:
    """Return the study with a column ``best``: whether a batch has the least latency."""
    keys = ["network", "integration_time", "sequence_length", "unit", "batch"]
    chosen = {tuple(row) for row in best_batches(study)[keys].itertuples(index=False)}
    best = [tuple(row) in chosen for row in study[keys].itertuples(index=False)]
    return study.assign(best=best)


def anchors_table(study: pd.DataFrame) -> pd.DataFrame:
    """Return each published anchor beside the nearest thing that the study shows.

    The best case is the least overhead of its shape; the worst case the overhead of the best
    batch at the published integration time, for the sequence length of 128 and the matrix engine.
    """
    on_engine = study[study["unit"] == "matrix_engine"]
    best = best_batches(on_engine)
    rows = []
    for anchor in ANCHORS:
        own = best[(best["network"] == anchor.network) & (best["sequence_length"] == 128)]
        if anchor.integration_time is not None:
            own = own[own["integration_time"] == anchor.integration_time]
        case = own.sort_values("overhead_percent").iloc[0]
        rows.append(
            {
                "anchor": anchor.name,
                "source": anchor.source,
                "network": anchor.network,
                "published_percent": anchor.overhead_percent,
                "simulated_percent": float(case["overhead_percent"]),
                "integration_time": case["integration_time"],
                "batch": int(case["batch"]),
                "unit": case["unit"],
                "latency": format_ps(int(case["latency_ps"])),
            }
        )
    return pd.DataFrame(rows)
