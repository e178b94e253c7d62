"""Machines with several kinds of parts in blocks of columns.

Layers that run one by one take as long as if the kinds that each is on were all that there is, so
those on each two kinds are points of a machine of their own, and a network is the sum of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from hybridsim.arch import Machine, ruled
from hybridsim.mapping.objectives import name_in_block
from hybridsim.strategies import LayerSerial, PipelinedStrategy, Strategy
from hybridsim.sweeps.layer_points import Found, LayerPointsOf, Together
from hybridsim.sweeps.machines import Columns
from hybridsim.units import Ints
from hybridsim.workload import Network

Kinds = tuple[str, str]
"""A kind of tiles and one of clusters, "" for the usual one."""


def settled(network: Network, machine: Machine) -> bool:
    """Return whether patterns say of everything where it lies, so that no time has a say."""
    rules = machine.mapping
    layers = network.matrices if machine.tiles else ()
    adapters = network.adapted_layers if machine.clusters else ()
    return all(
        ruled(patterns, op.name, name_in_block(op)) is not None
        for patterns, ops in ((rules.layers, layers), (rules.adapters, adapters))
        for op in ops
    )


def seen(columns: Columns, machine: Machine, tile: str, cluster: str) -> Columns:
    """Return the columns as a machine has them that has a kind of tiles and one of clusters alone.

    What a kind says itself is no column there: columns are of the usual kinds, and of those that
    follow them in it.
    """
    own = {"tile": machine.tiles.get(tile, {}), "cluster": machine.clusters.get(cluster, {})}
    return {
        path: column
        for path, column in columns.items()
        if not _says(own.get(path.partition(".")[0], {}), path.split(".")[1:])
    }


def _says(difference: Mapping[str, Any], path: list[str]) -> bool:
    """Return whether what differs from the usual kind tells a field."""
    if not path or path[0] not in difference:
        return False
    below = difference[path[0]]
    return _says(below, path[1:]) if isinstance(below, Mapping) else True


def of_kinds(whole: LayerPointsOf) -> dict[Kinds, LayerPointsOf]:
    """Return the layers on each kind of tiles and of clusters, as if there were no others.

    Raises:
        CapacityError: The strategy asks for more clusters than there are of a kind.
    """
    if not whole.mapping.machine.several:
        return {("", ""): whole}
    job, strategy = whole.job(), whole.strategy
    if isinstance(strategy, PipelinedStrategy):
        strategy.cluster_counts(job)
    views = {(own.sort, own.cluster_sort): job.seen_by(own)[0] for own in job.mapping.layers}
    found = {}
    for kinds, view in views.items():
        own = strategy
        if isinstance(strategy, PipelinedStrategy | LayerSerial):
            own = cast(Strategy, strategy.within(view))
        found[kinds] = LayerPointsOf(view.mapping, own, whole.tokens, len(views) > 1)
    return found


def yardstick_ps(whole: LayerPointsOf, columns: Columns, points: int) -> Ints:
    """Return the latency of points without any adapter, layer by layer [ps]."""
    machine, found = whole.mapping.machine, np.zeros(points, np.int64)
    for kinds, own in of_kinds(whole).items():
        found += own.yardstick_ps(seen(columns, machine, *kinds), points)
    return found


def evaluate(
    given: Sequence[LayerPointsOf], columns: Sequence[Columns], points: Sequence[int]
) -> list[Found]:
    """Return what :class:`.Together` does, on a machine with any number of kinds of parts.

    Raises:
        CapacityError, OverflowError: As that.
    """
    machine = given[0].mapping.machine
    if not machine.several:
        return Together(given, columns, points).evaluate()
    each: dict[Kinds, list[tuple[int, LayerPointsOf]]] = {}
    for place, whole in enumerate(given):
        for kinds, view in of_kinds(whole).items():
            each.setdefault(kinds, []).append((place, view))
    parts: list[list[Found]] = [[] for _ in given]
    for kinds, views in each.items():
        found = Together(
            [view for _, view in views],
            [seen(columns[place], machine, *kinds) for place, _ in views],
            [points[place] for place, _ in views],
        ).evaluate()
        for (place, _), own in zip(views, found, strict=True):
            parts[place].append(own)
    return [_all(own) for own in parts]


def _all(parts: Sequence[Found]) -> Found:
    """Return what points are of whose layers each part has those on two kinds.

    Batches are those of adapted layers where there are some: these alone have buffers.
    """

    def over(reduce: np.ufunc, name: str, some: Sequence[Found] = parts) -> Any:
        return reduce.reduce([getattr(found, name) for found in some], axis=0)

    adapted = [found for found in parts if found.adapted]
    return Found(
        over(np.add, "latency_ps"),
        over(np.add, "yardstick_ps"),
        over(np.maximum, "tcdm_bytes"),
        over(np.minimum, "batch", adapted) if adapted else over(np.maximum, "batch"),
        over(np.minimum, "buffers", adapted or parts),
        over(np.add, "tasks"),
        over(np.logical_or, "unfit"),
        over(np.logical_or, "ask"),
        np.concatenate([found.decided for found in parts]),
        bool(adapted),
    )
