"""The paper's latency study: integration time x layer shape x batch x layout of X.

Source: Li, Ferro, Lammie, Le Gallo, Boybat, Rajendran, "Efficient transformer adaptation for
analog in-memory computing via low-rank adapters", Neuromorphic Computing and Engineering 6(1)
014011 (2026), Fig. 4. Its full text was not at hand. What is published of the figure, beside what
comes out, is in :mod:`.paper_anchors`.
"""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, get_args

import pandas as pd

from hybridsim.arch import XLayout, load_machine
from hybridsim.errors import CapacityError
from hybridsim.library import network_path
from hybridsim.measure.result import LayerResult
from hybridsim.programs import CHOICES, LoraProgram
from hybridsim.simulation import simulate
from hybridsim.strategies import TokenParallel
from hybridsim.work import Work
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
_CASE = ("network", "integration_time", "sequence_length", "x_layout", "unit")
"""What a case of the study is, but for its batch."""


def latency_study(
    units: Iterable[str] = ("matrix_engine",), x_layout: XLayout = "token_major"
) -> pd.DataFrame:
    """Return one row per case of the study, with X arriving in one layout.

    Columns: network, integration_time, sequence_length, x_layout, unit, batch, latency_ps,
    yardstick_ps, overhead_percent, ratio, tcdm_bytes, buffers, bound; ``problem`` says that it
    does not fit.
    """
    rows: list[dict[str, Any]] = []
    for shape, time in product(SHAPES, INTEGRATION_TIMES):
        network = load_network(network_path(shape))
        changes = {"tile.integration_time": time, "cluster.x_layout": x_layout}
        machine = load_machine(MACHINE, changes)
        for tokens, unit, batch in product(SEQUENCE_LENGTHS, tuple(units), BATCHES):
            case = {
                "network": shape,
                "integration_time": time,
                "sequence_length": tokens,
                "x_layout": x_layout,
                "unit": unit,
                "batch": batch,
            }
            try:
                strategy = TokenParallel(batch=batch, unit=unit)
                layer = simulate(network, machine, strategy, tokens).layers[0]
            except CapacityError:
                rows.append(case | {"problem": "does not fit the TCDM"})
            else:
                rows.append(case | _answer(layer) | {"problem": ""})
    whole = ["latency_ps", "yardstick_ps", "tcdm_bytes", "buffers"]
    return pd.DataFrame(rows).astype(dict.fromkeys(whole, "Int64"))


def _answer(layer: LayerResult) -> dict[str, Any]:
    return {
        "latency_ps": layer.latency_ps,
        "yardstick_ps": layer.yardstick_ps,
        "overhead_percent": layer.overhead_percent,
        "ratio": layer.latency_ps / layer.yardstick_ps,
        "tcdm_bytes": layer.tcdm_bytes,
        "buffers": layer.buffers,
        "bound": layer.bound,
    }


def both_layouts() -> pd.DataFrame:
    """Return the study on the matrix engine, with X by tokens and then by features."""
    studies = [latency_study(x_layout=x_layout) for x_layout in get_args(XLayout)]
    return pd.concat(studies, ignore_index=True)


def cycles_per_token() -> pd.DataFrame:
    """Return what an adapter of rank 8 costs on each unit, all operands in the TCDM.

    One row per layer shape, array and batch: layer, array, batch, and cycles per token on the
    cores, on the engine in direct order, in swapped order with X by tokens and by features, and
    on both units at once.
    """
    rows = []
    for (height, width), inner, batch in product(ARRAYS_OF_THE_TABLE, (128, 512), BATCHES):
        cluster = load_machine(MACHINE, array_of(height, width)).cluster
        assert cluster is not None
        direct, swapped, cores, both = CHOICES
        by_features = swapped.model_copy(update={"x_layout": "feature_major"})
        ways = {
            "cores": cores,
            "engine": direct,
            "swapped": swapped,
            "swapped_by_features": by_features,
            "both": both,
        }
        case = {"layer": f"{inner}x128", "array": f"{height} x {width}", "batch": batch}
        for name, choice in ways.items():
            program = LoraProgram(inner, 128, 8, batch, choice).on(cluster)
            case[name] = program.compute_cycles(cluster) / batch
        rows.append(case)
    return pd.DataFrame(rows)


def layouts_of_y() -> pd.DataFrame:
    """Return what the engine takes where Y and Z are by tokens, and where they were by features.

    X is by features. By tokens, U^T is turned on the cores and Z = U B + Y. By features, nothing
    is turned and Z^T = B^T U^T + Y^T: out rows of the array instead of tokens. No strategy does
    that; the figures say what is lost by it. Columns: layer, batch, and cycles per token as
    y_by_tokens and y_by_features.
    """
    cluster = load_machine(MACHINE).cluster
    assert cluster is not None
    choice = CHOICES[1].model_copy(update={"x_layout": "feature_major"})
    rows = []
    for inner, batch in product((128, 512), BATCHES):
        program = LoraProgram(inner, 128, 8, batch, choice)
        zero, product_xa = program.kernels[:2]
        second = Work("matrix_engine", "gemm", "ub+y", (128, 8, batch))
        by_features = sum(cluster.cycles(each) for each in (zero.work, product_xa.work, second))
        rows.append(
            {
                "layer": f"{inner}x128",
                "batch": batch,
                "y_by_tokens": program.compute_cycles(cluster) / batch,
                "y_by_features": by_features / batch,
            }
        )
    return pd.DataFrame(rows)


def array_of(height: int, width: int) -> dict[str, Any]:
    """Return the overrides that give the machine another matrix engine."""
    return {
        "cluster.matrix_engine.array_height": height,
        "cluster.matrix_engine.array_width": width,
        "cluster.matrix_engine.port_width": f"{64 * height} bit",
    }


def plausible_machines() -> pd.DataFrame:
    """Return the two anchors on machines that differ in what the paper does not publish.

    One row per matrix engine, clock, DMA width and layout of X: array, clock_mhz,
    dma_bytes_per_cycle, x_layout, best_percent (128x128 at 512 ns) and worst_ratio (512x128 at
    128 ns), each at its best batch for 128 tokens. Nothing is fitted: the rows show which machines
    are near the anchors.
    """
    rows = []
    for (height, width), mhz, dma, x_layout in product(
        ARRAYS, CLOCKS_MHZ, DMA_BYTES, get_args(XLayout)
    ):
        changes = array_of(height, width) | {
            "cluster.clock.frequency": f"{mhz} MHz",
            "link.clock.frequency": f"{mhz} MHz",
            "cluster.dma.bytes_per_cycle": f"{dma} B/cycle",
            "cluster.x_layout": x_layout,
        }
        square = at_best_batch("layer_128x128", "512 ns", changes)
        wide = at_best_batch("layer_512x128", "128 ns", changes)
        rows.append(
            {
                "array": f"{height} x {width}",
                "clock_mhz": mhz,
                "dma_bytes_per_cycle": dma,
                "x_layout": x_layout,
                "best_percent": square.overhead_percent,
                "best_batch": square.batch,
                "worst_ratio": wide.latency_ps / wide.yardstick_ps,
                "worst_batch": wide.batch,
            }
        )
    return pd.DataFrame(rows)


def at_best_batch(
    shape: str, time: str, changes: Mapping[str, Any], early_xa: bool = False
) -> LayerResult:
    """Return a layer at the batch with the least latency, 128 tokens on the matrix engine."""
    network = load_network(network_path(shape))
    machine = load_machine(MACHINE, {**changes, "tile.integration_time": time})
    results = (
        simulate(network, machine, TokenParallel(batch=batch, early_xa=early_xa), 128).layers[0]
        for batch in BATCHES[:-1]
    )
    return min(results, key=lambda layer: layer.latency_ps)


def best_batches(study: pd.DataFrame) -> pd.DataFrame:
    """Return, of each shape, time, length, layout and unit, the batch with least latency."""
    fits = study.dropna(subset=["latency_ps"])
    keys = [*_CASE]
    return fits.loc[fits.groupby(keys, sort=False)["latency_ps"].idxmin()].reset_index(drop=True)


def with_best(study: pd.DataFrame) -> pd.DataFrame:
    """Return the study with a column ``best``: whether a batch has the least latency."""
    keys = [*_CASE, "batch"]
    chosen = {tuple(row) for row in best_batches(study)[keys].itertuples(index=False)}
    best = [tuple(row) in chosen for row in study[keys].itertuples(index=False)]
    return study.assign(best=best)
