"""The answer of ``hybridsim serve`` in a terminal."""

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._terminal import noted, plain_table
from hybridsim.measure.interval import between
from hybridsim.service import ServiceResult
from hybridsim.service.result import Continuous
from hybridsim.units import format_bytes

_SHOWN = ("p50", "p90", "p99")


def render(result: ServiceResult) -> RenderableType:
    """Return the answer as a table for people."""
    table = plain_table("", "value", right="value")
    for name, value in (
        ("requests", f"{result.requests} of {result.tasks} tasks in {result.span_s:.3g} s"),
        *_lengths(result),
        ("throughput", f"{result.throughput_per_s:.4g} requests/s"),
        *_goodput(result),
        *_latency(result),
        *_spread("first token", result.first_token_ms),
        *_spread("per token", result.token_ms),
        *_spread("token to token", result.inter_token_ms),
        *_generated(result),
        ("waiting, mean", f"{result.waiting_mean_ms:.4g} ms"),
        ("chip works", f"{100 * result.utilization:.1f} % of the time"),
        (
            "a batch" if result.continuous is None else "an iteration",
            f"{result.service_mean_ms:.4g} ms, mean of {result.batches}{_at_work(result)}",
        ),
        ("swaps", f"{result.swaps} ({result.swaps_per_s:.4g}/s)"),
        ("swapped", format_bytes(result.swapped_bytes)),
        ("adapters kept in", result.tier.upper()),
        ("lost to swaps", f"{100 * result.lost_to_swaps:.1f} % of the time"),
    ):
        table.add_row(name, value)
    head = (
        f"{escape(result.network)} on {escape(result.machine)}, {result.strategy}; "
        f"policy {result.policy}, {_batching(result)}"
        f"{', fetches overlap' if result.overlap else ''}"
    )
    notes = [*_passes(result), *_sure(result), *result.notes]
    return Group(table, "", head, *(noted(escape(note)) for note in notes))


def _batching(result: ServiceResult) -> str:
    if result.continuous is None:
        return f"{result.mix} batches of up to {result.most}"
    return (
        f"continuous batching of up to {result.most} sequences, chunks of up to "
        f"{result.continuous.chunk} prompt tokens"
    )


def _latency(result: ServiceResult) -> list[tuple[str, str]]:
    """Return the rows of latencies, with their intervals where these are known."""
    found, interval = _spread("latency", result.latency_ms), result.interval
    if interval is None or interval.latency_low_ms is None or interval.latency_high_ms is None:
        return found
    ends = zip(_SHOWN, found, strict=True)
    low, high = interval.latency_low_ms, interval.latency_high_ms
    return [(name, text + _ends(low[p], high[p])) for p, (name, text) in ends]


def _at_work(result: ServiceResult) -> str:
    interval = result.interval
    if interval is None:
        return ""
    return _ends(interval.service_low_ms, interval.service_high_ms)


def _ends(low_ms: float, high_ms: float) -> str:
    """Return both ends with as many digits as tell them apart; nothing where they are one."""
    low_ps, high_ps = round(low_ms * 1e9), round(high_ms * 1e9)
    if low_ps == high_ps:
        return ""
    return f" (90 %: {between(low_ps, high_ps, lambda time_ps: f'{time_ps / 1e9:.4g} ms')})"


def _sure(result: ServiceResult) -> list[str]:
    """Return what no interval holds."""
    names = result.interval.not_in_interval if result.interval else ()
    return (
        [f"assumed: {', '.join(names)}: not measured on RTL, so not in the 90 %"] if names else []
    )


def _spread(name: str, times: dict[str, float] | None) -> list[tuple[str, str]]:
    if times is None:
        return []
    return [(f"{name} {p}", f"{times[p]:.4g} ms") for p in _SHOWN]


def _lengths(result: ServiceResult) -> list[tuple[str, str]]:
    """Return the rows of requests that are longer than the model, if there are any."""
    rows = [("left out, too long", result.skipped), ("cut, too long", result.cut)]
    return [(name, f"{count} requests") for name, count in rows if count]


def _goodput(result: ServiceResult) -> list[tuple[str, str]]:
    good = result.goodput
    if good is None:
        return []
    both = (("first token", good.first_token_ms), ("token", good.token_ms))
    targets = ", ".join(f"{name} {most:g} ms" for name, most in both if most is not None)
    return [
        ("goodput", f"{good.per_s:.4g} requests/s ({100 * good.share:.1f} %) within {targets}")
    ]


def _generated(result: ServiceResult) -> list[tuple[str, str]]:
    if result.tokens_per_s is None:
        return []
    rows = [("generated", f"{result.tokens_per_s:.4g} tokens/s")]
    if result.continuous is not None:
        rows.append(("sequences, mean", f"{result.continuous.sequences_mean:.3g} per pass"))
        if result.continuous.reused_tokens:
            rows.append(("reused", f"{result.continuous.reused_tokens} prompt tokens"))
    return rows


def _passes(result: ServiceResult) -> list[str]:
    """Return how times of passes were found."""
    found = result.continuous
    if found is None:
        return []
    count = found.decode_passes + found.prompt_passes
    if found.exact:
        return [f"{count} passes, {found.simulated} different ones, each simulated", _bound(found)]
    text = (
        f"{count} passes; {found.simulated} were simulated and the others interpolated between "
        "them (--exact simulates all)"
    )
    if found.error_percent is not None and found.error_together_percent is not None:
        text += (
            f"; of {found.checked} checked, none is more than {found.error_percent:.2g} % off, "
            f"and all together {abs(found.error_together_percent):.2g} %"
        )
    return [text, _bound(found)]


def _bound(found: Continuous) -> str:
    """Return what passes of both kinds in one could come to."""
    return (
        "chunks and tokens take a pass each; one for both would save at most "
        f"{100 * found.saved_by_one_pass:.1f} % of the time at work"
    )
