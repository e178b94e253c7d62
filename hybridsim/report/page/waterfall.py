"""From the all-analog latency to that of the hybrid machine, step by step."""

import re

import pandas as pd

from hybridsim.metrics.result import Result

MOST_STEPS = 12
"""Kinds of layers with a step of their own; the others are one step."""


def waterfall(result: Result) -> pd.DataFrame:
    """Return step, layers, from_ps, to_ps and kind: ``total``, ``more`` or ``less``.

    Each kind of layer (names that differ in numbers alone) adds what its layers take more than
    without adapter work. Where layers overlap, the steps do not add up to the latency; what is
    left is a step of its own, so that each step begins where the one before it ended.
    """
    added: dict[str, list[int]] = {}
    for layer in result.layers:
        kind = re.sub(r"\d+", "*", layer.name)
        added.setdefault(kind, []).append(layer.latency_ps - layer.all_analog_ps)
    changes = [(k, len(v), sum(v)) for k, v in added.items() if sum(v)]
    changes.sort(key=lambda change: -abs(change[2]))
    rest = changes[MOST_STEPS:]
    steps = changes[:MOST_STEPS]
    if rest:
        name = f"{len(rest)} other kinds"
        steps.append((name, sum(n for _, n, _ in rest), sum(ps for _, _, ps in rest)))
    left = result.latency_ps - result.all_analog_ps - sum(ps for _, _, ps in steps)
    if left:
        steps.append(("overlap of layers", len(result.layers), left))
    before = "without adapters" if result.ops else "all-analog"
    level = result.all_analog_ps
    rows = [(before, len(result.layers), 0, level, "total")]
    for name, count, ps in steps:
        rows.append((name, count, level, level + ps, "more" if ps > 0 else "less"))
        level += ps
    rows.append(("hybrid", len(result.layers), 0, result.latency_ps, "total"))
    return pd.DataFrame(rows, columns=["step", "layers", "from_ps", "to_ps", "kind"])
