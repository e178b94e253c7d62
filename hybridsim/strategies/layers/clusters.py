"""How many clusters take the batches of a layer in turn, where that is left open: by running.

Every number of clusters is tried, from one to all. A layer that runs on its own takes the number
with which it is fastest by itself; layers that share the machine are run together with each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching
from hybridsim.strategies.layers.decisions import LayerDecisions, Shape, one_by_one, shape_of
from hybridsim.strategies.layers.outlines import job_of_one


def best_by_shape(job: Job, ways: Sequence[Mapping[Shape, Batching]]) -> dict[Shape, Batching]:
    """Return, of several ways to run each different layer, the one that is fastest by itself.

    Of equally fast ones it is the first. Clusters without a batch are left out of a way.
    """
    found: dict[Shape, Batching] = {}
    machine = job.machine
    for layer in job.mapping.layers:
        shape = shape_of(job, layer)
        if layer.adapter is None or shape in found:
            continue
        own = tuple(dict.fromkeys(_without_idle(way[shape]) for way in ways))
        key = (shape, machine.tile, machine.cluster, machine.link)
        found[shape] = own[0] if len(own) == 1 else _fastest(_Question(key, own, job, layer))
    return found


def fastest(job: Job, tried: Sequence[LayerDecisions]) -> LayerDecisions:
    """Return the decisions whose run of the whole network is shortest, the first of several."""
    different = list(dict.fromkeys(tried))
    if len(different) == 1:
        return different[0]
    return min(different, key=lambda own: job.run_ps(own.draft(job).outline.expand()))


@dataclass(frozen=True, slots=True)
class _Question:
    """Ways to run a layer; equal to any other question that has the same answer."""

    key: tuple[object, ...]
    ways: tuple[Batching, ...]
    job: Job = field(compare=False)
    layer: PlacedLayer = field(compare=False)


@lru_cache(maxsize=1024)
def _fastest(question: _Question) -> Batching:
    one = replace(job_of_one(question.job, question.layer), engine=question.job.engine)
    shape = shape_of(one, question.layer)

    def latency_ps(way: Batching) -> int:
        return one.run_ps(one_by_one(one, {shape: way}).draft(one).outline.expand())

    return min(question.ways, key=latency_ps)


def _without_idle(batching: Batching) -> Batching:
    """Return the same without the clusters to which no batch comes."""
    order, batches = batching.order, batching.sizes.batches
    if order.clusters <= batches:
        return batching
    return replace(batching, order=replace(order, clusters=batches))
