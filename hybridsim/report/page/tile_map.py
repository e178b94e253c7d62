"""The map of the tiles: which lie on which chip, what they hold, how busy and how noisy they are.

A run tells tiles apart as far as they do different things: those that always work together are
one group. The map draws the tiles of a group beside each other, in the order of their numbers;
where they lie on silicon the model does not say, but for a mesh, at whose nodes they are drawn.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np

from hybridsim.analog import format_time
from hybridsim.arch import Machine
from hybridsim.measure.result import ResourceResult, Result
from hybridsim.plan import Plan
from hybridsim.report.page.chart_data import kind_of_layer
from hybridsim.report.page.charts import part_color
from hybridsim.report.page.floor_map import FloorMap, floor_map

KINDS = ("tile",)
"""Kinds of parts that a map shows; so are all whose name ends in ``_tile``."""
MOST_GROUPS = 4000
"""Groups that are drawn, the busiest: about 1 MB."""
_GAP = 2.0
"""Room between two chips, in tiles."""
_WIDE = 1.9
"""Width of a chip over its height, as drawn."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tiles that always work together."""

    name: str
    kind: str
    chip: int
    tiles: int
    layers: tuple[str, ...]
    """Ops whose tasks run there."""
    use: float
    """Share of the run at work, 0 to 1."""
    held: float | None
    """Share of the devices that hold weights, 0 to 1; None where it is not known."""
    copies: int | None
    """Sets of tiles that hold the same layers, the most of one; None where it is not known."""
    noise: dict[float, float]
    """Time since programming [s] -> relative error of the layers; empty where none was asked."""


@dataclass(frozen=True, slots=True)
class TileMap:
    """What a page shows of the tiles."""

    groups: tuple[Group, ...]
    tiles: int
    """Tiles of all groups, drawn or not."""
    left_out: int
    """Groups that are not drawn."""
    floor: FloorMap | None = None
    """The nodes at which they lie, where a mesh leads to them."""


def tile_map(machine: Machine | None, plan: Plan, result: Result) -> TileMap:
    """Return the groups of tiles of a run, chip by chip."""
    all_groups = [r for r in result.resources if _is_tile(r.kind)]
    kept = sorted(all_groups, key=lambda r: -r.utilization)[:MOST_GROUPS]
    names = {resource.name for resource in kept}
    held = {layer.name: layer.occupancy for layer in result.layers}
    copies = {layer.name: layer.copies for layer in result.layers}
    noise = _noise(result)
    users = _users(plan)
    groups = [
        Group(
            name=resource.name,
            kind=f"{resource.kind}:{resource.sort}" if resource.sort else resource.kind,
            chip=_chip(machine, resource),
            tiles=resource.parts,
            layers=(layers := users.get(resource.name, ())),
            use=resource.utilization,
            held=_mean(known) if (known := [held[n] for n in layers if n in held]) else None,
            copies=max((copies[name] for name in layers if name in copies), default=None),
            noise={
                seconds: _mean(errors)
                for seconds, of in noise.items()
                if (errors := [of[name] for name in layers if name in of])
            },
        )
        for resource in all_groups
        if resource.name in names
    ]
    groups.sort(key=lambda group: (group.chip, group.kind, _first(group.name)))
    floor = floor_map(machine, result)
    if floor is not None and any(frozenset(own.layers) not in floor.of for own in groups):
        floor = None  # tiles that are shared in time hold other layers later
    tiles, left_out = sum(r.parts for r in all_groups), len(all_groups) - len(groups)
    return TileMap(tuple(groups), tiles, left_out, floor)


def _is_tile(kind: str) -> bool:
    return kind in KINDS or kind.endswith("_tile")


def _first(name: str) -> int:
    """Return the number of the first tile of a group, by the name of its resource."""
    number = re.search(r"\d+", name)
    return int(number.group()) if number else 0


def _chip(machine: Machine | None, resource: ResourceResult) -> int:
    if machine is None or machine.chip_count < 2:
        return 0
    count = machine.tile_of(resource.sort).count
    return 0 if count == "as_needed" else _first(resource.name) // int(count)


def _users(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return resource -> the ops whose tasks hold it, in the order of the plan."""
    tiles = np.array([_is_tile(resource.kind) for resource in plan.resources], bool)
    on_tiles = tiles[plan.use]
    pairs = np.unique(
        np.stack((plan.use[on_tiles], plan.op[plan.holder[on_tiles]]), axis=1), axis=0
    )
    found: dict[str, list[str]] = {}
    for resource, op in pairs.tolist():
        found.setdefault(plan.resources[resource].name, []).append(plan.ops[op])
    return {name: tuple(ops) for name, ops in found.items()}


def _noise(result: Result) -> dict[float, dict[str, float]]:
    """Return time since programming [s] -> layer -> its relative error, in order of time."""
    found: dict[float, dict[str, float]] = {}
    for row in result.analog_noise.rows if result.analog_noise else ():
        found.setdefault(row.seconds, {})[row.layer] = row.relative_error
    return dict(sorted(found.items()))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def map_data(found: TileMap) -> dict[str, Any]:
    """Return what the script draws: outlines in units of a tile, and what each group is."""
    if found.floor is not None:
        width, height = found.floor.size
        boxes = found.floor.boxes()
        outlines = {g.name: found.floor.outline(frozenset(g.layers)) for g in found.groups}
    else:
        width, height, boxes, outlines = _by_number(found.groups)
    several = found.floor is None and len(boxes) > 1
    return {
        "width": width,
        "height": height,
        "chips": boxes if len(boxes) > 1 else [],
        "ages": [format_time(seconds) for seconds in _ages(found)],
        "groups": [
            {
                "name": g.name,
                "color": part_color(g.kind),
                "chip": g.chip if several else None,
                "tiles": g.tiles,
                "layers": list(g.layers),
                "kind": _kind(g.layers),
                "use": round(g.use, 6),
                "held": None if g.held is None else round(g.held, 4),
                "copies": g.copies,
                "noise": [round(g.noise[seconds], 6) for seconds in _ages(found)]
                if g.noise
                else None,
                "path": outlines[g.name],
            }
            for g in found.groups
        ],
    }


def _ages(found: TileMap) -> list[float]:
    """Return the times since programming that noise was asked for [s]."""
    return next((list(group.noise) for group in found.groups if group.noise), [])


def _by_number(
    groups: Sequence[Group],
) -> tuple[float, float, list[dict[str, object]], dict[str, str]]:
    """Return width, height, chips and outlines of groups side by side, chip by chip."""
    chips: dict[int, list[Group]] = {}
    for group in groups:
        chips.setdefault(group.chip, []).append(group)
    sizes = {chip: sum(g.tiles for g in own) for chip, own in chips.items()}
    across = max(1, ceil(sqrt(max(sizes.values(), default=1) * _WIDE)))
    high = {chip: ceil(size / across) for chip, size in sizes.items()}
    per_row = max(1, ceil(sqrt(len(chips) * 1.3)))
    boxes: list[dict[str, object]] = []
    outlines, top = {}, 0.0
    for at, chip in enumerate(chips):
        column = at % per_row
        x = column * (across + _GAP)
        boxes.append({"name": f"chip {chip}", "x": x, "y": top, "w": across, "h": high[chip]})
        begin = 0
        for group in chips[chip]:
            outlines[group.name] = _outline(begin, begin + group.tiles, across, x, top)
            begin += group.tiles
        if column == per_row - 1 or at == len(chips) - 1:
            row = list(chips)[at - column : at + 1]
            top += max(high[one] for one in row) + _GAP
    width = min(per_row, max(1, len(chips))) * (across + _GAP) - _GAP
    return width, max(1.0, top - _GAP), boxes, outlines


def _kind(layers: tuple[str, ...]) -> str:
    """Return what layers are called in each block: names without their numbers."""
    kinds = {kind_of_layer(layer) for layer in layers}
    return kinds.pop() if len(kinds) == 1 else "several kinds" if kinds else "nothing"


def _outline(first: int, after: int, across: int, x: float, y: float) -> str:
    """Return the outline of the tiles ``first`` to ``after`` of a chip, as a path of SVG.

    A chip is filled row by row, with ``across`` tiles in each.
    """
    return "".join(
        f"M{x + left:g} {y + row:g}h{right - left:g}v1h{left - right:g}z"
        for row, left, right in _stretches(first, after, across)
    )


def _stretches(first: int, after: int, across: int) -> Iterator[tuple[int, int, int]]:
    """Yield the row and the columns from .. to of each row that tiles take."""
    while first < after:
        row, column = divmod(first, across)
        end = min(after, (row + 1) * across)
        yield row, column, column + end - first
        first = end
