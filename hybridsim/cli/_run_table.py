"""A result in the terminal: a table per layer, the other ops, and the answer below."""

import re
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.cli._analog_noise import noise_lines
from hybridsim.cli._terminal import plain_table
from hybridsim.measure.result import LayerResult, OpResult, Result
from hybridsim.units import format_bytes, format_ps

MOST_ROWS = 40
"""Layers that are shown one by one; longer networks are shown by kind of layer."""
SHORT_KINDS = {"matrix_engine": "engine"}
"""Kinds of parts as the narrow table names them."""


def render(result: Result, every_layer: bool = False) -> RenderableType:
    """Return a result as a table per layer, or per kind of layer, and the answer below it."""
    bare = "bare" if result.ops else "analog"
    table = plain_table(
        "layer", "#", "shape", "t", "latency", bare, "over", "bound by",
        right=f"#|shape|t|latency|{bare}|over",
    )  # fmt: skip
    one_by_one = every_layer or len(result.layers) <= MOST_ROWS
    for name, count, layer in _rows(result, one_by_one):
        table.add_row(
            escape(name),
            str(count),
            f"{layer.in_features}x{layer.out_features}",
            str(layer.batch) if layer.rank else "-",
            format_ps(layer.latency_ps),
            format_ps(layer.all_analog_ps),
            _percent(layer.overhead_percent),
            SHORT_KINDS.get(layer.bound, layer.bound),
        )
    others = [_other_ops(result), ""] if result.ops else []
    return Group(table, "", *others, *_summary(result), *noise_lines(result, one_by_one))


def _other_ops(result: Result) -> RenderableType:
    """Return the ops that are no linear layers, by kind: how many, where, the slowest of them."""
    table = plain_table(
        "other op", "#", "on", "split", "latency", "busy", "cost",
        right="#|split|latency|busy",
    )  # fmt: skip
    alike: dict[str, list[OpResult]] = {}
    for op in result.ops:
        alike.setdefault(re.sub(r"\d+", "*", op.name), []).append(op)
    for name, ops in alike.items():
        slowest = max(ops, key=lambda op: op.latency_ps)
        table.add_row(
            escape(name),
            str(len(ops)),
            slowest.where,
            str(slowest.pieces),
            format_ps(slowest.latency_ps),
            format_ps(slowest.busy_ps),
            slowest.cost_from.replace("_", " "),
        )
    return table


def _percent(value: float) -> str:
    return f"{value:.1f} %" if value < 100 else f"{value:.0f} %"


def _rows(result: Result, one_by_one: bool) -> list[tuple[str, int, LayerResult]]:
    """Return (name, how many, one of them); layers alike in all but their index are one row.

    In a run of a whole network blocks overlap and differ a little; the slowest one is shown.
    """
    if one_by_one:
        return [(layer.name, 1, layer) for layer in result.layers]
    alike: dict[tuple[Any, ...], list[LayerResult]] = {}
    for layer in result.layers:
        kind = re.sub(r"\d+", "*", layer.name)
        key: tuple[Any, ...] = (kind, layer.in_features, layer.out_features)
        if not result.ops:
            key += (layer.latency_ps, layer.bound)
        alike.setdefault(key, []).append(layer)
    return [
        (str(key[0]), len(layers), max(layers, key=lambda layer: layer.latency_ps))
        for key, layers in alike.items()
    ]


def _summary(result: Result) -> list[str]:
    shares = ", ".join(
        f"{SHORT_KINDS.get(kind, kind.replace('_', ' '))} {share:.0%}"
        for kind, share in result.critical_path_share.items()
        if share >= 0.005
    )
    rank = max((layer.rank for layer in result.layers), default=0)
    what = f"adapters of rank {rank}" if rank else "no adapters"
    tokens = f"{result.tokens} tokens" if result.tokens != 1 else "1 token"
    if result.past:
        tokens += f" after {result.past}"
    lines = [
        f"{escape(result.network)} on {escape(result.machine)}, {tokens}, {what}, "
        f"{result.scheduler}:",
        f"  latency      {format_ps(result.latency_ps)}  "
        f"({'without adapters' if result.ops else 'all-analog'} "
        f"{format_ps(result.all_analog_ps)})",
        f"  overhead     {result.overhead_percent:.2f} %",
        f"  bound by     {shares} of the critical path",
        f"  tiles        {result.tiles}, {result.occupancy:.0%} of their devices hold weights",
    ]
    if result.energy is not None:
        lines.append(f"  energy       {result.energy.summary}")
    if result.tcdm_bytes:
        lines.append(f"  TCDM         {format_bytes(result.tcdm_bytes)} at most on a cluster")
    lines += [f"  {escape(note)}" for note in result.notes]
    if result.free_ops:
        kinds = sorted({re.sub(r"block\d+\.|\d+", "", name) for name in result.free_ops})
        names = ", ".join(kinds[:4]) + (", ..." if len(kinds) > 4 else "")
        lines.append(
            f"  free         {len(result.free_ops)} ops, declared by the machine: {names}"
        )
    if result.numerics is not None:
        lines.append(f"  numerics     {result.numerics.summary}")
    return lines
