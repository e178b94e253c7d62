"""The published figures of the paper's latency study, what comes out, and why it differs.

Source: Li, Ferro, Lammie, Le Gallo, Boybat, Rajendran, Neuromorphic Computing and Engineering 6(1)
014011 (2026), Fig. 4c, from summaries of it. The paper tells neither in which layout activations
arrive nor whether X A waits for the tile, so each anchor has several readings; no constant of the
machine differs between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from hybridsim.arch import XLayout
from hybridsim.validation.paper import array_of, at_best_batch


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published figure of the study."""

    name: str
    network: str
    integration_time: str
    """At which the anchor is; for the best case, which is published without one, the longest."""
    overhead_percent: float
    source: str

    @property
    def ratio(self) -> float:
        """Times the all-analog latency."""
        return 1 + self.overhead_percent / 100


ANCHORS = (
    Anchor("best case", "layer_128x128", "512 ns", 4.0, "Fig. 4c: 4 % in the best case"),
    Anchor("worst case", "layer_512x128", "128 ns", 172.0, "Fig. 4c: up to 2.72x at 128 ns"),
)
"""2.72x the all-analog latency is an overhead of 172 %."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the paper leaves open of a layer, in one of the ways that it may be meant."""

    name: str
    x_layout: XLayout
    early_xa: bool


BY_TOKENS = Reading("direct order", "token_major", False)
BY_FEATURES = Reading("swapped order", "feature_major", False)
EARLY = Reading("swapped order, early X A", "feature_major", True)
READINGS = (BY_TOKENS, BY_FEATURES, EARLY)
"""X A with X by tokens, as the machine has it; A^T X^T with X by features; the same while the tile
still integrates the batch. The engine takes X as it arrives in all of them."""
ENGINES = (((4, 8), 64), ((4, 8), 8), ((4, 12), 64))
"""Array and bytes per cycle of the DMA: the machine's own, with HARP's DMA, and the open RTL's."""


def readings_table() -> pd.DataFrame:
    """Return both anchors in each reading on some engines, at the best batch for 128 tokens.

    Columns: array, dma_bytes_per_cycle, reading, and per anchor best_percent, best_batch,
    worst_ratio, worst_batch, worst_bound.
    """
    rows = []
    best, worst = ANCHORS
    for (array, dma), reading in product(ENGINES, READINGS):
        changes: Mapping[str, Any] = array_of(*array) | {
            "cluster.dma.bytes_per_cycle": f"{dma} B/cycle",
            "cluster.x_layout": reading.x_layout,
        }
        square, wide = (
            at_best_batch(anchor.network, anchor.integration_time, changes, reading.early_xa)
            for anchor in (best, worst)
        )
        rows.append(
            {
                "array": f"{array[0]} x {array[1]}",
                "dma_bytes_per_cycle": dma,
                "reading": reading.name,
                "best_percent": square.overhead_percent,
                "best_batch": square.batch,
                "worst_ratio": wide.latency_ps / wide.yardstick_ps,
                "worst_batch": wide.batch,
                "worst_bound": wide.bound,
            }
        )
    return pd.DataFrame(rows)


def anchors_table(readings: pd.DataFrame) -> pd.DataFrame:
    """Return each published anchor beside what the machine gives in each reading, and why.

    ``readings`` is :func:`readings_table`. Columns: anchor, source, network, integration_time,
    batch (that of the direct order), published_percent, then by_tokens_percent,
    by_features_percent and early_percent, and ``why`` it differs.
    """
    own = {reading: _of(readings, 0, reading) for reading in READINGS}
    rows = []
    for anchor, reason in zip(ANCHORS, (_why_best(readings), _why_worst(readings)), strict=True):
        kind = anchor.name.split()[0]
        row = {
            "anchor": anchor.name,
            "source": anchor.source,
            "network": anchor.network,
            "integration_time": anchor.integration_time,
            "batch": int(own[BY_TOKENS][f"{kind}_batch"]),
            "published_percent": anchor.overhead_percent,
        }
        columns = ("by_tokens_percent", "by_features_percent", "early_percent")
        for column, reading in zip(columns, READINGS, strict=True):
            row[column] = _percent(own[reading], kind)
        rows.append(row | {"why": reason})
    return pd.DataFrame(rows)


def _percent(row: "pd.Series[Any]", kind: str) -> float:
    return float(row["best_percent"] if kind == "best" else 100 * (row["worst_ratio"] - 1))


def _of(readings: pd.DataFrame, engine: int, reading: Reading) -> "pd.Series[Any]":
    """Return the row of an engine, by its place, and a reading."""
    row: pd.Series[Any] = readings.iloc[engine * len(READINGS) + READINGS.index(reading)]
    return row


def _why_best(readings: pd.DataFrame) -> str:
    own = [_of(readings, 0, reading) for reading in READINGS]
    narrow = _of(readings, 1, BY_TOKENS)
    return (
        f"A slow tile hides all but the cluster's work on the last batch, {own[0].best_batch} of "
        f"128 tokens: {own[0].best_percent:.2f} % with X by tokens, {own[1].best_percent:.2f} % "
        f"by features, where the cores turn U, and {own[2].best_percent:.2f} % if X A need not "
        f"wait for the tile. A DMA of {narrow.dma_bytes_per_cycle} B/cycle makes the first "
        f"{narrow.best_percent:.2f} %. Layout, DMA and clock are not public."
    )


def _why_worst(readings: pd.DataFrame) -> str:
    own = [_of(readings, 0, reading) for reading in READINGS]
    wide = _of(readings, 2, BY_TOKENS)
    published = ANCHORS[1].ratio
    nearest = min(own, key=lambda row: abs(row.worst_ratio - published))
    return (
        f"The {own[0].worst_bound.replace('_', ' ')} bounds it, not the tile. In the direct order "
        f"rank 8 fills half of the columns of its array: {own[0].worst_ratio:.2f}x, and "
        f"{wide.worst_ratio:.2f}x on {wide['array']}. With X by features the rank fills its rows: "
        f"{own[1].worst_ratio:.2f}x, and {own[2].worst_ratio:.2f}x if X A need not wait for the "
        f"tile, which leaves {100 * abs(nearest.worst_ratio / published - 1):.1f} %. Layout, "
        "clock, DMA and the length of the sequence are not public."
    )
