"""Intervals against the rows that they did not come from: how many they cover, how wide they are.

The fitted half of the measured rows calibrates (:func:`calibrated`); the held-back half, and the
adapter programs, on which nothing was fitted, are what intervals are tried on.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.arch import Cluster, load_machine
from hybridsim.certainty.draws import Draws
from hybridsim.certainty.intervals import MOST_SAMPLES, bounds_of
from hybridsim.certainty.programs import stream_doubts
from hybridsim.certainty.regimes import (
    CONSTANTS,
    CONTENTION,
    STARTS,
    Regime,
    engine_regime,
    gemm_regime,
    norm_regime,
    softmax_regime,
    transfer_regime,
)
from hybridsim.certainty.residuals import Residuals
from hybridsim.components.core_kernels import GEMMS
from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.components.snitch_rows import GEMM_NAMES, GEMM_SHAPE
from hybridsim.cost import stream_cycles
from hybridsim.csv_files import Row
from hybridsim.engines import compiled
from hybridsim.programs.lora_stream import LoraStream
from hybridsim.units import ceil_div
from hybridsim.validation.rtl import (
    LARGEST_ARRAY,
    MACHINE,
    Compared,
    Comparison,
    stream_of,
)
from hybridsim.work import price

CONFLICT_CONSTANTS = 3
"""Constants of bank conflicts fitted to rows that meet: ``train_fp32``, ``broadcast``, and
the cycle of five of a broadcast's start; ``train_fp16`` is derived."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One measured row, its error and its interval, both in percent of the simulated cycles."""

    group: str
    half: str
    regime: str
    error_percent: float
    """|measured - simulated| / simulated [%]."""
    half_width_percent: float
    """Half of the 90 % interval / simulated [%]."""
    covered: bool
    """Whether the interval holds what was measured."""


def calibrated(comparison: Comparison, machine: str = MACHINE) -> Residuals:
    """Return the scores of the fitted half by regime, as if each row had been left out.

    Constants of the cores were read off these rows, so they are missed by less than further ones.
    A residual r of a fit becomes r / (1 - h) when its row is left out, where h, the weight of a
    row in its own answer, is constants / rows on average. Source: Golub, Heath and Wahba,
    Technometrics 21, 1979 (generalised cross-validation). Where constants are as many as the rows
    they came from, these are exact by construction and say nothing of others.
    """
    fitted = [
        (one, regime, _read_off(one, regime))
        for one, regime in _rows(comparison, _cluster(machine))
        if one.half == "fitted"
    ]
    rows = Counter(source for _, _, (source, _) in fitted)
    found: dict[str, list[float]] = {}
    for one, regime, (source, constants) in fitted:
        free = rows[source] - constants
        if free > 0:
            score = _missed(one) / regime.unit * rows[source] / free
            found.setdefault(regime.name, []).append(score)
    return Residuals.of(found)


def _read_off(one: Compared, regime: Regime) -> tuple[str, int]:
    """Return which rows fix the same constants as this one, by a name, and how many constants.

    Those of bank conflicts are fitted to all rows that meet (``arch.yaml``). A program on the
    cores has one for what it pays once and one for each block or element, by format where
    :mod:`~hybridsim.components.core_kernels` tells formats apart; rows with and without padding
    share them. The engine is replayed, the DMA has a handful of constants for exact rows.
    """
    if regime.name == "cores.bank conflicts":
        return regime.name, CONFLICT_CONSTANTS
    if regime is not STARTS:
        return "", 0
    kernel = one.row.cells["kernel"].partition("(")[0].removesuffix("_nopad")
    if kernel not in GEMM_NAMES:
        return kernel, 2
    program = GEMMS[GEMM_NAMES[kernel]]
    return kernel, sum(len({c.fp32, c.fp16}) for c in (program.prologue, program.epilogue))


def judged(
    comparison: Comparison, residuals: Residuals, machine: str = MACHINE
) -> tuple[Judged, ...]:
    """Return every row that was compared, with its interval."""
    cluster = _cluster(machine)
    rows = []
    for one, regime in _rows(comparison, cluster):
        # scores are rounded to four decimals in the table
        half = residuals.bound(regime.name) * regime.unit
        covered = _missed(one) <= half + 1e-4 * regime.unit
        rows.append(_judged(one, regime.name, half, covered))
    for one in comparison.rows:
        if one.group == "lora" and one.simulated is not None and one.measured is not None:
            stream = stream_of(cluster, one.row)[0]
            assert stream is not None
            low, high = stream_bounds(stream, residuals)
            covered = low <= one.measured <= high
            rows.append(_judged(one, "adapter program", (high - low) / 2, covered))
    return tuple(rows)


def stream_bounds(stream: LoraStream, residuals: Residuals, seed: int = 0) -> tuple[int, int]:
    """Return the ends of the 90 % interval of a measured adapter program [cycles]."""
    plan, clock = stream.plan(), stream.cluster.clock
    draws = Draws(residuals, MOST_SAMPLES, seed)
    times = draws.times(
        price(plan.works, stream.cluster).time_ps, stream_doubts(stream), 1e12 / clock.frequency
    )
    spans = np.array([compiled.run(plan, own).makespan for own in np.ascontiguousarray(times.T)])
    low, high = bounds_of(spans, stream_cycles(stream) * 10**12 / clock.frequency)
    return floor(low * clock.frequency / 1e12), ceil(high * clock.frequency / 1e12)


def _judged(one: Compared, regime: str, half_width: float, covered: bool) -> Judged:
    assert one.simulated is not None
    percent = 100 / one.simulated
    missed = _missed(one) * percent
    return Judged(one.group, one.half, regime, missed, half_width * percent, covered)


def _missed(one: Compared) -> Any:
    """Return |measured - simulated| of a row [cycles]; None where one is missing."""
    if one.measured is None or one.simulated is None:
        return None
    return abs(one.measured - one.simulated)


def coverage(rows: tuple[Judged, ...], by: str = "group") -> pd.DataFrame:
    """Return what intervals cover, by ``group`` or ``regime`` and half.

    Columns: that name, half, rows, covered_percent, median_error_percent,
    median_half_width_percent.
    """
    lines = []
    names = dict.fromkeys(getattr(one, by) for one in rows)
    for name in [*sorted(names), "all rows"]:
        for half in ("fitted", "held back"):
            own = [
                one
                for one in rows
                if (one.half or "held back") == half and name in (getattr(one, by), "all rows")
            ]
            if own:
                lines.append({by: name, "half": half} | _figures(own))
    return pd.DataFrame(lines)


def _figures(rows: list[Judged]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "covered_percent": 100 * sum(one.covered for one in rows) / len(rows),
        "median_error_percent": median(one.error_percent for one in rows),
        "median_half_width_percent": median(one.half_width_percent for one in rows),
    }


# --- which regime a row belongs to --------------------------------------------------------------


def _cluster(machine: str) -> Cluster:
    cluster = load_machine(machine).cluster
    assert cluster is not None
    return cluster


def _rows(comparison: Comparison, cluster: Cluster) -> Iterator[tuple[Compared, Regime]]:
    """Yield the rows of single kernels that were compared, each with its regime."""
    for one in comparison.rows:
        if one.error_percent is not None and one.group != "lora":
            yield one, _regime(one, cluster)


def _regime(one: Compared, cluster: Cluster) -> Regime:
    kernel = one.row.cells.get("kernel")
    if kernel is None:
        return _engine_row(one.row)
    if kernel.startswith("dma:"):
        return transfer_regime(_way(kernel.removeprefix("dma:")))
    if kernel.startswith("ubench:"):
        return CONTENTION if "contention" in kernel else CONSTANTS
    if kernel in GEMM_NAMES:
        return _gemm_row(cluster, one.row)
    if kernel.startswith(("layernorm", "softmax")):
        return _rows_row(cluster, one.row)
    return STARTS


def _engine_row(row: Row) -> Regime:
    height, width, pipe = (row.whole(name) for name in LARGEST_ARRAY)
    engine = MatrixEngine(
        array_height=height,
        array_width=width,
        pipe_regs=pipe,
        port_width=f"{16 * height * (pipe + 1)} bit",
    )
    return engine_regime(engine, row.whole("m"), row.whole("n"), row.whole("k"))


def _gemm_row(cluster: Cluster, row: Row) -> Regime:
    """Return the regime of a GEMM; one core alone does its share of the work of all."""
    match = GEMM_SHAPE.fullmatch(row.cells["shape"])
    assert match is not None
    m, n, _, k = map(int, match.groups())
    kernel, cores = GEMM_NAMES[row.cells["kernel"]], cluster.cores
    precision: Any = row.cells["precision"]
    if row.cells["cores"] != "1":
        return gemm_regime(cores, m, n, k, precision, kernel)
    columns = ceil_div(k, max(1, cores.count // m))
    return gemm_regime(cores, ceil_div(m, cores.count), n, columns, precision, kernel, 1)


def _rows_row(cluster: Cluster, row: Row) -> Regime:
    rows, columns = map(int, row.cells["shape"].split("x"))
    if row.cells["kernel"].startswith("softmax"):
        return softmax_regime(cluster.cores, rows, columns, "softmax_scalar")
    name = "layernorm_ssr_frep" if "ssr" in row.cells["kernel"] else "layernorm_scalar"
    return norm_regime(cluster.cores, rows, columns, "fp32", name)


def _way(name: str) -> str:
    """Return how a transfer goes, from the name of its row."""
    if name.startswith("2D"):
        return "strided"
    if re.match("TCDM->DRAM", name):
        return "store"
    return "inside" if name.startswith(("TCDM", "zeromem")) else "load"
