"""What a reader takes away first: the answer, what bounds it, what would change it."""

from dataclasses import dataclass

from hybridsim.explanation import Explanation
from hybridsim.measure.interval import sure
from hybridsim.measure.result import Result
from hybridsim.report.page.cells import Cell, micro, percent, shown
from hybridsim.units import format_share

LEAST_WORTH = 0.005
"""Elasticities below this are not shown."""
_REMEDIES = {
    "tile": "a shorter integration time, or another integration time per layer",
    "matrix_engine": "a larger matrix engine, a faster cluster clock or one more cluster",
    "cores": "more cores, a matrix engine, or one more cluster",
    "dma": "a wider DMA, or larger batches, which load the adapters less often",
    "link": "a wider link, or one more",
    "cluster": "more clusters, or faster kernels",
    "engine_cluster": "more clusters with a matrix engine",
    "periphery": "more lanes in the periphery of the tiles",
    "dram": "more bandwidth to external memory",
}
"""Kind of part -> what relieves it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One large number of the headline."""

    key: str
    """Field of the result."""
    label: str
    cell: Cell
    note: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting on the same machine, or one change of it beside that, that was tried."""

    change: str
    gain_percent: float
    latency: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The first screen of a page."""

    figures: tuple[Figure, ...]
    bound: str
    """The part that is worth most."""
    worth: tuple[tuple[str, float], ...]
    """Part and its elasticity, largest first; none below 0.005."""
    shares: tuple[tuple[str, float], ...]
    """Kind of part and its share of the critical path, largest first."""
    remedy: str
    """What relieves the bottleneck, in words."""
    tried: int
    """Settings and changes that were run again; 0 if none was."""
    advice: tuple[Advice, ...]


def headline(result: Result, explanation: Explanation | None = None) -> Headline:
    """Return the answer of a result, with the best changes where they were tried."""
    against = "without adapters" if result.ops else "of all-analog layers"
    interval = result.interval
    figures = (
        _figure(
            result,
            "latency_ps",
            "latency",
            count_of(result) + f", start to end{sure(interval, 'latency')}",
        ),
        _figure(
            result,
            "overhead_percent",
            "overhead",
            f"over {shown('time', result.yardstick_ps)} {against}{_by_layer(result)}"
            f"{sure(interval, 'overhead')}",
        ),
        *_whole_network(result),
        Figure(
            "throughput_tokens_per_s",
            "throughput",
            Cell(result.throughput_tokens_per_s, _rate(result.throughput_tokens_per_s)),
            "tokens per second, one sequence at a time",
        ),
        _figure(result, "tcdm_bytes", "scratchpad", "at most on a cluster"),
        *_energy(result),
    )
    best, tried = [], 0
    if explanation is not None:
        best = explanation.best_free.head(1).to_dict("records")
        best += explanation.best_changes.to_dict("records")
        tried = len(explanation.free) + len(explanation.changes)
    return Headline(
        figures=figures,
        bound=result.bound,
        worth=tuple(own for own in result.elasticity.items() if own[1] >= LEAST_WORTH),
        shares=tuple(result.critical_path_share.items()),
        remedy=_REMEDIES.get(result.bound.partition(":")[0], ""),
        tried=tried,
        advice=tuple(
            Advice(
                str(row["change"]),
                float(row["gain_percent"]),
                shown("time", row["latency_ps"]),
                str(row["arguments"]),
            )
            for row in best
        ),
    )


def count_of(result: Result) -> str:
    """Return how many tokens a run has, and how many came before them."""
    tokens = "1 token" if result.tokens == 1 else f"{result.tokens:,} tokens"
    return f"{tokens} after {result.past:,}" if result.past else tokens


def _figure(result: Result, key: str, label: str, note: str) -> Figure:
    value = getattr(result, key)
    kind = {"ps": "time", "percent": "percent", "bytes": "size"}[key.rpartition("_")[2]]
    text = percent(value) if kind == "percent" else shown(kind, value)  # type: ignore[arg-type]
    return Figure(key, label, Cell(value, text), micro(note))


def _by_layer(result: Result) -> str:
    """Return the overhead that the paper defines, where it is another one."""
    by_layer = result.layer_by_layer_percent
    if by_layer is None or result.layers_in_turn:
        return ""
    return f" that stream as well; layer by layer {percent(by_layer)}"


def _whole_network(result: Result) -> tuple[Figure, ...]:
    whole = result.whole_network
    if whole is None or whole.latency_ps is None or whole.overhead_percent is None:
        return ()
    note = (
        f"of the whole network under {whole.strategy}, overhead {percent(whole.overhead_percent)}"
    )
    cell = Cell(whole.latency_ps, shown("time", whole.latency_ps))
    return (Figure("whole_network.latency_ps", "all ops", cell, note),)


def _energy(result: Result) -> tuple[Figure, ...]:
    energy = result.energy
    if energy is None:
        return ()
    parts = [("analog", energy.analog_pj), ("digital", energy.digital_pj)]
    parts += [("static", energy.static_pj)] if energy.static_pj else []
    split = ", ".join(f"{name} {format_share(pj / (energy.total_pj or 1))}" for name, pj in parts)
    each = shown("energy", energy.per_token_pj)
    note = f"{each} per token; {split}".replace(" %", "\u00a0%") + sure(result.interval, "energy")
    cell = Cell(energy.total_pj, shown("energy", energy.total_pj))
    return (Figure("energy.total_pj", "energy", cell, micro(note)),)


def _rate(per_second: float) -> str:
    """Return a rate for people, in thousands and millions."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= size:
            return f"{per_second / size:.4g} {name}/s"
    return f"{per_second:.4g} /s"
