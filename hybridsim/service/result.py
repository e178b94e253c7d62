"""What serving a trace of requests came to."""

from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybridsim._old_names import OldAttribute
from hybridsim.measure.answer import Answer, Document
from hybridsim.service.residency import Tier
from hybridsim.service.serving import Batches, ServedRequests, Times

PERCENTILES = (50, 90, 99)


class Continuous(Answer):
    """What continuous batching did."""

    chunk: int
    """The most prompt tokens of an iteration."""
    sequences_mean: float
    """Sequences that gain a token, mean over passes that decode; 0 if there are none."""
    decode_passes: int
    """Passes in which sequences gain a token."""
    prompt_passes: int
    """Passes that take in chunks of prompts."""
    saved_by_one_pass: float
    """Share of the time at work that one pass for both kinds would save at most, 0 to 1: the
    shorter one of each iteration."""
    reused_tokens: int
    """Prompt tokens whose keys and values were kept from an earlier request."""
    simulated: int
    """Different passes that were simulated for it."""
    exact: bool
    """Whether every pass was simulated; otherwise times between some of them are interpolated."""
    checked: int = 0
    """Passes that were interpolated and simulated besides."""
    error_percent: float | None = None
    """The largest error of those, of the time of a pass [%]."""
    error_together_percent: float | None = None
    """The error of the time of all those together [%]; below 0 if they take longer."""


class ServiceInterval(Answer):
    """How sure times are, by what the models of kernels missed on RTL: a run of the longest prompt
    of the first task says it for all runs, which are taken to be as sure in proportion."""

    level: float
    """How likely a row of RTL lies in such an interval, 0 to 1."""
    service_low_ms: float
    """The lower end of the mean time at work on a batch [ms]."""
    service_high_ms: float
    """The upper end of it [ms]."""
    latency_low_ms: dict[str, float] | None = None
    """The lower ends of latencies: the trace served with all runs at their lower ends [ms]; None
    of continuous batching, and of long traces, which are not served again."""
    latency_high_ms: dict[str, float] | None = None
    """The upper ends likewise [ms]."""
    not_in_interval: tuple[str, ...] = ()
    """What no row of RTL says anything about: assumed or published, and not in the intervals."""


class Goodput(Answer):
    """Requests that meet all targets."""

    first_token_ms: float | None
    """The most that their first token may take [ms]; None is no target."""
    token_ms: float | None
    """The most that a token after it may take, mean over the request [ms]; None is no target."""
    share: float
    """Of all requests, 0 to 1."""
    per_s: float
    """Requests per second over the span."""


class ServiceResult(Document):
    """Latencies, throughput and swaps of one trace of requests on one chip."""

    network: str
    """The network's name."""
    machine: str
    """The machine's name."""
    strategy: str
    """The strategy's name."""
    policy: str
    """Whose adapters stay in the store: ``lru``, ``pinned`` or ``none``."""
    mix: str
    """What shares a batch: ``grouped`` (one task), ``mixed`` or ``continuous``."""
    overlap: bool
    """Whether adapters are fetched while the chip works."""
    most: int
    """Requests that a batch may hold."""
    tasks: int
    """Tasks with adapters of their own."""
    requests: int
    """Requests that were served."""
    batches: int
    """Batches that the chip worked on."""
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
    token_ms: dict[str, float] | None = None
    """The same of the time per output token after the first, mean over each request [ms]; told
    of continuous batching alone."""
    inter_token_ms: dict[str, float] | None = None
    """The same of the times from one token of a request to its next, over all tokens [ms]; known
    of continuous batching alone."""
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
    """Swaps per second over the span."""
    swapped_bytes: int
    """What all swaps fetched [bytes]."""
    lost_to_swaps_ms: float
    """How long the chip was free with requests waiting for a swap [ms]."""
    lost_to_swaps: float
    """The same as a share of the span, 0 to 1."""
    goodput: Goodput | None = None
    """How many requests meet targets; None if there are none."""
    continuous: Continuous | None = None
    """What continuous batching did; None for batches."""
    interval: ServiceInterval | None = None
    """How sure times are."""
    skipped: int = 0
    """Requests of the trace that were longer than the model, and not served."""
    cut: int = 0
    """Requests that were cut to what the model allows."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was computed, a line each."""

    left_out: ClassVar[tuple[str, ...]] = (
        "token_ms", "inter_token_ms", "goodput", "continuous", "skipped", "cut",
    )  # fmt: skip
    scheduler: ClassVar[OldAttribute] = OldAttribute("strategy")


@dataclass(frozen=True, slots=True)
class Sums:
    """What a chip did in all while it served."""

    batches: int
    """Batches, or iterations of continuous batching."""
    busy_ps: int
    """How long it worked on them."""
    lost_ps: int
    """How long it was free and waited for adapters."""
    swaps: int
    """Adapters that were fetched."""

    @classmethod
    def of(cls, batches: Batches) -> "Sums":
        """Return the sums over batches."""
        start, end = np.array(batches.start_ps, np.uint64), np.array(batches.end_ps, np.uint64)
        return cls(
            len(batches),
            int((end - start).sum()),
            sum(batches.lost_ps),
            sum(map(len, batches.fetched)),
        )


@dataclass(frozen=True, slots=True)
class Targets:
    """What a good request does not exceed [ps]; None is no target."""

    first_token_ps: int | None = None
    """From arrival to its first token."""
    token_ps: int | None = None
    """Per output token after the first, mean over the request."""


def totals(served: ServedRequests, sums: Sums) -> dict[str, object]:
    """Return the fields of a :class:`ServiceResult` that follow from what was served when."""
    arrival, start, end = served.arrival_ps, served.times("start_ps"), served.times("end_ps")
    latency, waiting = (end - arrival) / 1e9, (start - arrival) / 1e9
    span = int(end.max()) - int(arrival.min())
    first = served.times("first_ps")
    generated = first > 0
    output = served.column("output")
    tokens = int(output.sum())
    return {
        "requests": len(served),
        "batches": sums.batches,
        "span_s": span / 1e12,
        "throughput_per_s": len(served) * 1e12 / span,
        "utilization": sums.busy_ps / span,
        "latency_mean_ms": float(latency.mean()),
        "latency_ms": spread(latency),
        "first_token_ms": spread((first - arrival)[generated] / 1e9) if generated.any() else None,
        "tokens_per_s": tokens * 1e12 / span if tokens else None,
        "waiting_mean_ms": float(waiting.mean()),
        "service_mean_ms": sums.busy_ps / sums.batches / 1e9,
        "swaps": sums.swaps,
        "swaps_per_s": sums.swaps * 1e12 / span,
        "lost_to_swaps_ms": sums.lost_ps / 1e9,
        "lost_to_swaps": sums.lost_ps / span,
    }


def good(served: ServedRequests, targets: Targets | None) -> dict[str, object]:
    """Return the fields that tell how many requests meet all targets, if there are any.

    A request without tokens meets every target; one with a single token that of tokens after it.
    """
    if targets is None or targets == Targets():
        return {}
    arrival, end, first = served.arrival_ps, served.times("end_ps"), served.times("first_ps")
    output, met = served.column("output"), np.ones(len(served), np.bool_)
    if (most := targets.first_token_ps) is not None:
        met &= (first == 0) | (first - arrival <= most)
    if (most := targets.token_ps) is not None:
        met &= (output < 2) | ((end - first) <= most * np.maximum(0, output - 1))
    span, count = int(end.max()) - int(arrival.min()), int(met.sum())
    goodput = Goodput(
        first_token_ms=None if targets.first_token_ps is None else targets.first_token_ps / 1e9,
        token_ms=None if targets.token_ps is None else targets.token_ps / 1e9,
        share=count / len(served),
        per_s=count * 1e12 / span,
    )
    return {"goodput": goodput}


def per_token_ms(served: ServedRequests) -> dict[str, float] | None:
    """Return the times per output token after the first, of requests that have such."""
    output, first = served.column("output"), served.times("first_ps")
    several = (first > 0) & (output > 1)
    if not several.any():
        return None
    return spread((served.times("end_ps") - first)[several] / (output[several] - 1) / 1e9)


def spread(
    times: NDArray[np.float64], weights: NDArray[np.int64] | None = None
) -> dict[str, float]:
    """Return the percentiles and the longest of some times, each counted as often as it weighs."""
    if weights is None:
        found = np.percentile(times, PERCENTILES, method="inverted_cdf")
    else:
        order = np.argsort(times)
        sums = np.cumsum(weights[order])
        wanted = [-(-int(sums[-1]) * p // 100) for p in PERCENTILES]
        found = times[order][np.searchsorted(sums, wanted)]
    named = {f"p{p}": float(x) for p, x in zip(PERCENTILES, found, strict=True)}
    return named | {"max": float(times.max())}


def requests_frame(served: ServedRequests, rows: slice = slice(None)) -> pd.DataFrame:
    """Return one row per request, units in the column names; of some requests if told which.

    With ``first_token_ps``, from arrival to the first token, if any request generates tokens.
    """
    arrival, end, first = served.arrival_ps, served.times("end_ps"), served.times("first_ps")
    names = np.array(served.columns.tasks, dtype=object)
    table = pd.DataFrame(
        {
            "task": names[served.column("task")[rows]],
            "prompt_tokens": served.column("prompt")[rows],
            "output_tokens": served.column("output")[rows],
            "batch": np.array(served.batch, np.int64)[rows],
            "arrival_ps": _signed(arrival[rows]),
            "start_ps": _signed(served.times("start_ps")[rows]),
            "end_ps": _signed(end[rows]),
            "latency_ps": _signed((end - arrival)[rows]),
        }
    )
    if first.any():
        waited = np.where(first > 0, first - arrival, 0)[rows]
        table["first_token_ps"] = pd.array(_signed(waited), dtype="Int64")
        table.loc[first[rows] == 0, "first_token_ps"] = pd.NA
    return table


def requests_csv(served: ServedRequests) -> bytes:
    """Return the same as CSV, made some rows at a time: a million of them take 70 MB as text."""
    text = BytesIO()
    for first in range(0, len(served), _ROWS):
        table = requests_frame(served, slice(first, first + _ROWS))
        text.write(table.to_csv(index=False, header=not first).encode())
    return text.getvalue()


_ROWS = 2**16
"""Rows of a table that are written at a time."""


def _signed(times: Times) -> NDArray[np.int64] | Times:
    """Return times as ordinary integers, but for traces of more than 106 days."""
    return times.astype(np.int64) if times.max(initial=0) < 2**63 else times
