"""What serving a trace of requests came to."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim._old_names import OldAttribute
from hybridsim.measure.answer import Document
from hybridsim.service.residency import Tier
from hybridsim.service.serving import Batch, Served

PERCENTILES = (50, 90, 99)


class ServiceResult(Document):
    """Latencies, throughput and swaps of one trace of requests on one chip."""

    network: str
    machine: str
    strategy: str
    policy: str
    mix: str
    overlap: bool
    most: int
    """Requests that a batch may hold."""
    tasks: int
    requests: int
    batches: int
    span_s: float
    """From the first arrival to the last end [s]."""
    throughput_per_s: float
    """Requests per second over the span."""
    utilization: float
    """Share of the span in which the chip works on a batch, 0 to 1."""
    latency_mean_ms: float
    """From arrival to end, mean over requests [ms]."""
    latency_ms: dict[str, float]
    """``p50``, ``p90``, ``p99`` and ``max``: latencies that so many percent do not exceed [ms]."""
    waiting_mean_ms: float
    """From arrival to the start of the batch, mean over requests [ms]."""
    service_mean_ms: float
    """How long the chip works on a batch, mean over batches [ms]."""
    first_token_ms: dict[str, float] | None = None
    """``p50``, ``p90``, ``p99`` and ``max``: times from arrival to the first token that so many
    percent of the requests that generate do not exceed [ms]; None if none does."""
    tokens_per_s: float | None = None
    """Generated tokens per second over the span; None if none are generated."""
    tier: Tier
    """Where adapters are kept: ``tcdm``, ``sram`` or ``dram``."""
    store_bytes: int
    """The on-chip store of adapters, of each chip [bytes]."""
    adapter_bytes: dict[str, int]
    """Task -> adapters of all its layers [bytes]."""
    swaps: int
    """Adapters fetched from external memory, one task's adapters of all layers each."""
    swaps_per_s: float
    swapped_bytes: int
    lost_to_swaps_ms: float
    """How long the chip was free with requests waiting for a swap [ms]."""
    lost_to_swaps: float
    """The same as a share of the span, 0 to 1."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was computed, a line each."""

    scheduler: ClassVar[OldAttribute] = OldAttribute("strategy")


def totals(served: Sequence[Served], batches: Sequence[Batch]) -> dict[str, object]:
    """Return the fields of a :class:`ServiceResult` that follow from what was served when."""
    latency = np.array([one.latency_ps for one in served], np.float64) / 1e9
    waiting = np.array([one.waiting_ps for one in served], np.float64) / 1e9
    busy = [batch.end_ps - batch.start_ps for batch in batches]
    span = max(one.end_ps for one in served) - served[0].request.arrival_ps
    lost = sum(batch.lost_ps for batch in batches)
    swaps = sum(len(batch.fetched) for batch in batches)
    first = [one.first_token_ps / 1e9 for one in served if one.first_token_ps is not None]
    tokens = sum(one.request.output for one in served)
    return {
        "requests": len(served),
        "batches": len(batches),
        "span_s": span / 1e12,
        "throughput_per_s": len(served) * 1e12 / span,
        "utilization": sum(busy) / span,
        "latency_mean_ms": float(latency.mean()),
        "latency_ms": _spread(latency),
        "first_token_ms": _spread(np.array(first, np.float64)) if first else None,
        "tokens_per_s": tokens * 1e12 / span if tokens else None,
        "waiting_mean_ms": float(waiting.mean()),
        "service_mean_ms": sum(busy) / len(busy) / 1e9,
        "swaps": swaps,
        "swaps_per_s": swaps * 1e12 / span,
        "lost_to_swaps_ms": lost / 1e9,
        "lost_to_swaps": lost / span,
    }


def _spread(times: NDArray[np.float64]) -> dict[str, float]:
    """Return the percentiles and the longest of some times."""
    found = np.percentile(times, PERCENTILES, method="inverted_cdf")
    named = {f"p{p}": float(x) for p, x in zip(PERCENTILES, found, strict=True)}
    return named | {"max": float(times.max())}


def requests_frame(served: Sequence[Served]) -> pd.DataFrame:
    """Return one row per request, units in the column names.

    With ``first_token_ps``, from arrival to the first token, if any request generates tokens.
    """
    table = pd.DataFrame(
        {
            "task": [one.request.task for one in served],
            "prompt_tokens": [one.request.prompt for one in served],
            "output_tokens": [one.request.output for one in served],
            "batch": [one.batch for one in served],
            "arrival_ps": [one.request.arrival_ps for one in served],
            "start_ps": [one.start_ps for one in served],
            "end_ps": [one.end_ps for one in served],
            "latency_ps": [one.latency_ps for one in served],
        }
    )
    if any(one.first_ps is not None for one in served):
        first = [one.first_token_ps for one in served]
        table["first_token_ps"] = pd.array(first, dtype="Int64")
    return table
