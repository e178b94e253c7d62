"""Where time and energy of a run flow: from the network over kinds of ops to the parts.

Only bands are laid out here, in pixels of a drawing that scales with the page; the template draws
them, so they are there without any script.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridsim.measure.result import Result
from hybridsim.plan import Plan, Timeline
from hybridsim.report.page.cells import part_name, short_names, shown
from hybridsim.report.page.chart_data import kind_of_layer
from hybridsim.report.page.charts import part_color

MOST_KINDS = 10
"""Kinds of ops with a band of their own; the others are one."""
MOST_LETTERS = 30
"""Letters of a name for which there is room."""
WIDTH, HEIGHT = 1000, 340
_BAR, _GAP, _TOP = 14, 9, 6
_COLUMNS = (150, 460, 770)
"""Where the bars of network, kinds and parts begin."""


@dataclass(frozen=True, slots=True)
class Node:
    """A bar: the network, a kind of op or a part."""

    name: str
    label: str
    """Its name, as far as there is room for it."""
    amount: str
    color: str
    x: float
    y: float
    height: float
    side: str
    """Where its name stands: ``start`` on its right, ``end`` on its left."""


@dataclass(frozen=True, slots=True)
class Band:
    """What flows from one bar to the next."""

    about: str
    color: str
    path: str
    """Outline, as a path of SVG."""


@dataclass(frozen=True, slots=True)
class Sankey:
    """A drawing of flows, and its table."""

    name: str
    title: str
    caption: str
    nodes: tuple[Node, ...]
    bands: tuple[Band, ...]
    columns: dict[str, list[object]]
    """kind, part and amount of each flow, by columns."""


def time_flows(plan: Plan, timeline: Timeline) -> pd.DataFrame:
    """Return op, part and amount [ps]: how long kinds of parts work for each op.

    A task that holds several parts counts for each of them; tiles that work together count once.
    """
    kinds = list(dict.fromkeys(resource.kind for resource in plan.resources))
    place = np.array([kinds.index(resource.kind) for resource in plan.resources])
    key = plan.op[plan.holder] * len(kinds) + place[plan.use]
    total = np.zeros(len(plan.ops) * len(kinds), np.int64)
    np.add.at(total, key, timeline.duration[plan.holder])
    some = np.flatnonzero(total)
    return pd.DataFrame(
        {
            "op": [plan.ops[at // len(kinds)] for at in some.tolist()],
            "part": [kinds[at % len(kinds)] for at in some.tolist()],
            "amount": total[some].tolist(),
        }
    )


def kinds_of_ops(result: Result) -> Callable[[str], str]:
    """Return what tells the kind of an op: of whole networks what it is, else its name.

    Names that differ in numbers alone are one kind.
    """
    kinds = {op.name: op.kind.replace("_", " ") for op in result.ops}
    layers = {layer.name for layer in result.layers}

    def kind(op: str) -> str:
        if not kinds or (op not in kinds and op not in layers):
            return kind_of_layer(op)
        return kinds.get(op, "linear layer")

    return kind


def sankey(
    name: str,
    title: str,
    caption: str,
    flows: pd.DataFrame,
    kind_of: Callable[[str], str],
    network: str,
) -> Sankey | None:
    """Lay out flows (op, part, amount); None where nothing flows.

    Heights are in proportion to amounts, the same in all three columns, so the bands of a bar add
    up to it. ``name`` is ``time`` (amounts in ps) or ``energy`` (in aJ).
    """
    amounts = _amounts(flows, kind_of)
    if not amounts:
        return None
    kinds, parts = (_totals(amounts, side) for side in (0, 1))
    whole = sum(kinds.values())
    tell = _teller(name, whole)
    room = HEIGHT - 2 * _TOP - _GAP * (max(len(kinds), len(parts)) - 1)
    scale = room / whole
    middle = {name: _TOP + at for name, at in _stacked(kinds, scale).items()}
    right = {name: _TOP + at for name, at in _stacked(parts, scale).items()}
    label = short_names([network, *kinds, *map(part_name, parts)], MOST_LETTERS)

    def bar(name: str, color: str, column: int, y: float, amount: int) -> Node:
        side = "start" if column == 2 else "end"
        x, height = _COLUMNS[column], amount * scale
        return Node(name, label[name], tell(amount), color, x, y, height, side)

    nodes = [bar(network, "var(--plain)", 0, _TOP, whole)]
    nodes += [bar(kind, "var(--plain)", 1, middle[kind], sum_) for kind, sum_ in kinds.items()]
    nodes += [
        bar(part_name(part), part_color(part), 2, right[part], sum_)
        for part, sum_ in parts.items()
    ]
    bands = _from_network(kinds, middle, scale, network, tell)
    bands += _to_parts(amounts, middle, right, scale, tell)
    columns: dict[str, list[object]] = {
        "kind": [kind for kind, _ in amounts],
        "part": [part for _, part in amounts],
        "time_ps" if name == "time" else "energy_aj": [*amounts.values()],
    }
    return Sankey(f"flow_{name}", title, caption, tuple(nodes), tuple(bands), columns)


def _amounts(flows: pd.DataFrame, kind_of: Callable[[str], str]) -> dict[tuple[str, str], int]:
    """Return (kind of op, part) -> amount, the largest kinds first, as exact integers."""
    found: dict[tuple[str, str], int] = {}
    for op, part, amount in zip(flows["op"], flows["part"], flows["amount"], strict=True):
        key = (kind_of(str(op)), str(part))
        found[key] = found.get(key, 0) + int(amount)
    order = [*_totals(found, 0)]
    own = set(order[:MOST_KINDS] if len(order) > MOST_KINDS + 1 else order)
    rest = f"{len(order) - len(own)} other kinds"
    kept: dict[tuple[str, str], int] = {}
    for (kind, part), amount in sorted(found.items(), key=lambda one: order.index(one[0][0])):
        key = (kind if kind in own else rest, part)
        kept[key] = kept.get(key, 0) + amount
    return {key: amount for key, amount in kept.items() if amount}


def _totals(amounts: dict[tuple[str, str], int], side: int) -> dict[str, int]:
    """Return the sums of one side of the flows, the largest first."""
    found: dict[str, int] = {}
    for key, amount in amounts.items():
        found[key[side]] = found.get(key[side], 0) + amount
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _stacked(totals: dict[str, int], scale: float) -> dict[str, float]:
    """Return where each bar of a column begins."""
    found, at = {}, 0.0
    for name, amount in totals.items():
        found[name] = at
        at += amount * scale + _GAP
    return found


def _teller(name: str, whole: int) -> Callable[[int], str]:
    def tell(amount: int) -> str:
        text = shown("time", amount) if name == "time" else shown("energy", amount / 10**6)
        return f"{text}, {shown('share', amount / whole)}"

    return tell


def _from_network(
    kinds: dict[str, int],
    middle: dict[str, float],
    scale: float,
    network: str,
    tell: Callable[[int], str],
) -> list[Band]:
    bands, leaving = [], float(_TOP)
    for kind, amount in kinds.items():
        path = _band(_COLUMNS[0] + _BAR, leaving, _COLUMNS[1], middle[kind], amount * scale)
        bands.append(Band(f"{network}: {kind}, {tell(amount)}", "var(--c0)", path))
        leaving += amount * scale
    return bands


def _to_parts(
    amounts: dict[tuple[str, str], int],
    middle: dict[str, float],
    right: dict[str, float],
    scale: float,
    tell: Callable[[int], str],
) -> list[Band]:
    bands, leaving, arriving = [], dict(middle), dict(right)
    for kind in middle:
        for part in right:
            amount = amounts.get((kind, part), 0)
            if not amount:
                continue
            thick = amount * scale
            about = f"{kind} on {part_name(part)}: {tell(amount)}"
            path = _band(_COLUMNS[1] + _BAR, leaving[kind], _COLUMNS[2], arriving[part], thick)
            bands.append(Band(about, part_color(part), path))
            leaving[kind] += thick
            arriving[part] += thick
    return bands


def _band(x: float, y: float, to_x: float, to_y: float, thick: float) -> str:
    """Return the outline of a band from one bar to another."""
    half = (x + to_x) / 2
    return (
        f"M{x:.1f} {y:.2f}C{half:.1f} {y:.2f} {half:.1f} {to_y:.2f} {to_x:.1f} {to_y:.2f}"
        f"V{to_y + thick:.2f}C{half:.1f} {to_y + thick:.2f} {half:.1f} {y + thick:.2f} "
        f"{x:.1f} {y + thick:.2f}Z"
    )
