"""From the latency without adapter work to that of the hybrid machine, step by step."""

import re

import pandas as pd

from hybridsim.measure.result import Result

MOST_STEPS = 12
"""Kinds of layers with a step of their own; the others are one step."""
_ANALOG = ("mvm", "move")
"""Actions of a layer that it has without an adapter as well."""
_Change = tuple[str, int, int]


def waterfall(result: Result, path: pd.DataFrame) -> pd.DataFrame:
    """Return step, layers, from_ps, to_ps and kind: ``total``, ``more`` or ``less``.

    ``path`` is the critical path. Kinds are layers whose names differ in numbers alone. Where
    layers run one after the other, each kind adds what its layers take more than without adapter
    work. Where they overlap, it adds what its adapters take on the critical path, and what they
    hide of other work is a step of its own. Each step begins where the one before it ended.
    """
    changes = _on_path(result, path) if result.ops else _by_layer(result)
    changes.sort(key=lambda change: -abs(change[2]))
    steps, rest = changes[:MOST_STEPS], changes[MOST_STEPS:]
    if rest:
        name = f"{len(rest)} other kinds"
        steps.append((name, sum(n for _, n, _ in rest), sum(ps for _, _, ps in rest)))
    left = result.latency_ps - result.all_analog_ps - sum(ps for _, _, ps in steps)
    if left:
        name = "other work, now hidden" if left < 0 else "waits between layers"
        steps.append((name, len(result.layers), left))
    before = "without adapters" if result.ops else "all-analog"
    level = result.all_analog_ps
    rows = [(before, len(result.layers), 0, level, "total")]
    for name, count, ps in steps:
        rows.append((name, count, level, level + ps, "more" if ps > 0 else "less"))
        level += ps
    rows.append(("hybrid", len(result.layers), 0, result.latency_ps, "total"))
    return pd.DataFrame(rows, columns=["step", "layers", "from_ps", "to_ps", "kind"])


def _by_layer(result: Result) -> list[_Change]:
    added: dict[str, list[int]] = {}
    for layer in result.layers:
        added.setdefault(_kind(layer.name), []).append(layer.latency_ps - layer.all_analog_ps)
    return [(kind, len(each), sum(each)) for kind, each in added.items() if sum(each)]


def _on_path(result: Result, path: pd.DataFrame) -> list[_Change]:
    adapted = {layer.name for layer in result.layers if layer.rank}
    own = path[path["op"].isin(adapted) & ~path["action"].isin(_ANALOG)]
    time = (own["end_ps"] - own["start_ps"]).groupby(own["op"]).sum()
    found: dict[str, list[int]] = {}
    for op, ps in time.items():
        found.setdefault(_kind(str(op)), []).append(int(ps))
    return [(kind, len(each), sum(each)) for kind, each in found.items()]


def _kind(layer: str) -> str:
    return re.sub(r"\d+", "*", layer)
