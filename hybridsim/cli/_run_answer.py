"""The answer of a run in a terminal: a table of layers alike, and what it comes to below."""

import re
from collections.abc import Callable, Iterable, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._terminal import Sentence, noted, plain_table, told
from hybridsim.measure.interval import sure
from hybridsim.measure.result import AnalogNoiseRow, LayerResult, OpResult, Result
from hybridsim.units import format_bytes, format_ps

LEAST_SHOWN = 0.005
"""Elasticities below this are not printed."""


def render(result: Result, every_layer: bool = False) -> RenderableType:
    """Return a result as a table with a row per layer or layers alike, and the answer below it."""
    heads = ["layer", "#", "shape", "batch", "latency", "yardstick", "over", "bound by"]
    if not result.layers_in_turn:
        heads = [head for head in heads if head not in ("yardstick", "over")]
    table = plain_table(
        *heads, right="#|shape|batch|latency|yardstick|over", may_go="yardstick|batch"
    )
    for layers in _alike(result.layers, every_layer):
        first = layers[0]
        cells = {
            "layer": escape(_name_of([layer.name for layer in layers])),
            "#": str(len(layers)),
            "shape": f"{first.in_features}x{first.out_features}",
            "batch": _range((layer.batch for layer in layers), str) if first.rank else "-",
            "latency": times(layer.latency_ps for layer in layers),
            "yardstick": times(layer.yardstick_ps for layer in layers),
            "over": _range((layer.overhead_percent for layer in layers), _whole_percent),
            "bound by": _bounds(layers),
        }
        table.add_row(*(cells[head] for head in heads))
    others = [_other_ops(result), ""] if result.ops else []
    return Group(table, "", *others, *_summary(result), *noise_lines(result, every_layer))


def _alike(layers: Sequence[LayerResult], every_layer: bool) -> list[list[LayerResult]]:
    """Return the layers in groups: those whose names differ in numbers alone, of one shape."""
    alike: dict[tuple[object, ...], list[LayerResult]] = {}
    for layer in layers:
        pattern = layer.name if every_layer else re.sub(r"\d+", "*", layer.name)
        key = (pattern, layer.in_features, layer.out_features, layer.rank)
        alike.setdefault(key, []).append(layer)
    return list(alike.values())


def _name_of(names: Sequence[str]) -> str:
    """Return one name for several that differ in numbers alone: a star for each that differs."""
    texts, numbers = re.split(r"\d+", names[0]), [re.findall(r"\d+", name) for name in names]
    said = [each[0] if len(set(each)) == 1 else "*" for each in zip(*numbers, strict=True)]
    return "".join(a + b for a, b in zip(texts, [*said, ""], strict=True))


def times(values_ps: Iterable[int]) -> str:
    """Return times that are equal as one, others from the least to the most of them."""
    return _range(values_ps, format_ps)


def _range(values: Iterable[float], shown: Callable[..., str]) -> str:
    """Return what values have in common as people read it, or the least and the most of them."""
    known = sorted(set(values))
    least, most = shown(known[0]), shown(known[-1])
    if least == most:
        return least
    (one, *unit), (_, *other) = least.split(" "), most.split(" ")
    return f"{one}..{most}" if unit == other else f"{least}..{most}"


def _whole_percent(value: float) -> str:
    return f"{value:.1f} %" if abs(value) < 100 else f"{value:.0f} %"


def _bounds(layers: Sequence[LayerResult]) -> str:
    """Return the part that bounds most layers, with two dots where it does not bound all."""
    kinds = [layer.bound for layer in layers]
    parts = [kind for kind in kinds if kind != "nothing"] or kinds
    most = max(dict.fromkeys(parts), key=parts.count)
    said = part_name(most)
    return said if len(set(kinds)) == 1 else f"{said}.."


def _other_ops(result: Result) -> RenderableType:
    """Return the ops that are no linear layers, by kind: how many, where, and how long."""
    table = plain_table(
        "other op", "#", "on", "split", "latency", "busy", "cost",
        right="#|split|latency|busy", may_go="split|busy|cost",
    )  # fmt: skip
    alike: dict[str, list[OpResult]] = {}
    for op in result.ops:
        alike.setdefault(re.sub(r"\d+", "*", op.name), []).append(op)
    for ops in alike.values():
        table.add_row(
            escape(_name_of([op.name for op in ops])),
            str(len(ops)),
            ops[0].where,
            _range((op.pieces for op in ops), str),
            times(op.latency_ps for op in ops),
            times(op.busy_ps for op in ops),
            ops[0].cost_from.replace("_", " "),
        )
    legend = "latency: of one op; busy: of all its parts together; cost: what tells these times"
    return Group(table, Sentence(legend, 2))


def headline(result: Result) -> list[Sentence]:
    """Return what was run, how long it takes, what that covers, and what bounds it."""
    rank = max((layer.rank for layer in result.layers), default=0)
    what = f"adapters of rank {rank}" if rank else "no adapters"
    tokens = f"{result.tokens} tokens" if result.tokens != 1 else "1 token"
    if result.past:
        tokens += f" after {result.past}"
    interval = result.interval
    latency = format_ps(result.latency_ps) + sure(interval, "latency")
    head = f"{result.network} on {result.machine}, {tokens}, {what}, {result.strategy}:"
    return [
        Sentence(head, 2),
        told("latency", f"{latency}  ({against(result)})"),
        *([told("covers", result.covers.text)] if result.covers else []),
        told("overhead", overhead(result)),
        *_whole_network(result),
        told("bound by", bound_words(result)),
        *_clusters(result),
    ]


def caveats(result: Result) -> list[Sentence]:
    """Return what no interval holds, and notes."""
    interval = result.interval
    assumed = interval.assumed if interval is not None else ""
    return [*([told("assumed", assumed)] if assumed else []), *map(noted, result.notes)]


def _summary(result: Result) -> list[Sentence]:
    lines = headline(result)
    share = f"{100 * result.occupancy:.0f} %"
    lines.append(told("tiles", f"{result.tiles}, {share} of their devices hold weights"))
    if result.energy is not None:
        energy = result.energy.summary + sure(result.interval, "energy")
        lines.append(told("energy", energy))
    if result.tcdm_bytes:
        lines.append(told("TCDM", f"{format_bytes(result.tcdm_bytes)} at most on a cluster"))
    lines += caveats(result)
    if result.free_ops:
        kinds = sorted({re.sub(r"block\d+\.|\d+", "", name) for name in result.free_ops})
        names = ", ".join(kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        lines.append(told("free", f"{len(result.free_ops)} ops, declared by the machine: {names}"))
    if result.numerics is not None:
        lines.append(told("numerics", result.numerics.summary))
    return lines


def part_name(part: str) -> str:
    """Return a part as narrow tables name it."""
    name, colon, sort = part.partition(":")
    return {"matrix_engine": "engine"}.get(name, name.replace("_", " ")) + colon + sort


def bound_words(result: Result) -> str:
    """Return what a run is bound by, with the elasticities of the parts that have any."""
    shown = [(part_name(part), worth) for part, worth in result.elasticity.items()]
    shown = [own for own in shown if own[1] >= LEAST_SHOWN]
    if not shown:  # no single part gains anything, or an earlier release ran it
        return part_name(result.bound)
    (first, most), *others = shown
    text = f"{first} (elasticity {most:.2f})"
    if not others:
        return text
    return f"{text}, then " + ", ".join(f"{part} {worth:.2f}" for part, worth in others)


def against(result: Result) -> str:
    """Return the yardstick of a result, and what it is, in a few words."""
    if result.ops:
        what = "without adapters"
    elif result.yardstick_ps == result.layer_by_layer_ps or result.layer_by_layer_ps is None:
        what = "all-analog"
    else:
        what = "all-analog, streamed as well"
    return f"yardstick {format_ps(result.yardstick_ps)}, {what}"


def overhead(result: Result) -> str:
    """Return the overhead and its interval, and beside it the one that the paper defines."""
    text = f"{result.overhead_percent:.2f} %{sure(result.interval, 'overhead')}"
    by_layer = result.layer_by_layer_percent
    if by_layer is None or result.layer_by_layer_ps is None:
        return text
    if by_layer == result.overhead_percent:
        return f"{text}, layer by layer the same"
    return (
        f"{text}; layer by layer {by_layer:.2f} %, over {format_ps(result.layer_by_layer_ps)} "
        "of all-analog layers in turn, as the paper defines it"
    )


def _whole_network(result: Result) -> list[Sentence]:
    whole = result.whole_network
    if whole is None:
        return []
    if whole.latency_ps is None or whole.yardstick_ps is None:
        return [told("all ops", f"no strategy for whole networks runs: {whole.problem}")]
    batch = f", batch {whole.batch}" if whole.batch and result.tokens > 1 else ""
    return [
        told(
            "all ops",
            f"{format_ps(whole.latency_ps)} under {whole.strategy}{batch}, the fastest of "
            f"{len(whole.tried) + len(whole.slower)} for whole networks  "
            f"(yardstick {format_ps(whole.yardstick_ps)}, "
            f"overhead {whole.overhead_percent:.2f} %)",
        )
    ]


def _clusters(result: Result) -> list[Sentence]:
    """Return how many clusters take the batches of a layer, where there are several."""
    cluster = result.inputs.get("machine", {}).get("cluster") or {}
    there, used = cluster.get("count", 1), {layer.clusters for layer in result.layers} - {0}
    if there == 1 or not used:
        return []
    return [told("clusters", f"{_range(used, str)} of {there} take the batches of a layer")]


def noise_lines(result: Result, every_layer: bool) -> list[RenderableType]:
    """Return the noise as a table: one row per layer or kind of layer, columns per time."""
    noise = result.analog_noise
    if noise is None:
        return []
    from hybridsim.analog.times import format_time

    times = list(dict.fromkeys(row.seconds for row in noise.rows))
    heads = [f"{format_time(t)} {what}" for t in times for what in ("SNR", "1-cos")]
    table = plain_table("layer", "#", *heads, right="|".join(["#", *heads]))
    alike: dict[tuple[str, ...], list[str]] = {}
    by_layer: dict[str, list[AnalogNoiseRow]] = {}
    for row in noise.rows:
        by_layer.setdefault(row.layer, []).append(row)
    for name, rows in by_layer.items():
        kind = name if every_layer else re.sub(r"\d+", "*", name)
        cells = [
            text for row in rows for text in (f"{row.snr_db:.1f} dB", f"{row.cosine_error:.4f}")
        ]
        alike.setdefault((kind, *cells), []).append(name)
    for (_, *cells), names in alike.items():
        table.add_row(escape(_name_of(names)), str(len(names)), *cells)
    return [
        "",
        Sentence(
            f"analog noise over time since programming, mean of {noise.chips} chips, tiles as in "
            "the paper:"
        ),
        table,
        Sentence(f"weights {noise.weights}; IR drop left out"),
    ]
