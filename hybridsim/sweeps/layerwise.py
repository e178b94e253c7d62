"""Layers that run one after the other are executed once per different layer, and added up.

A strategy without streams and prefetching lets a layer begin when all of the one before has
ended. The execution rule knows no absolute time, so the run of a network is the sum of the runs
of its layers, and layers that are alike take equally long. A network of 24 equal blocks then
costs what one block costs.
"""

from collections.abc import Callable
from dataclasses import replace

from hybridsim.mapping import PlacedLayer
from hybridsim.strategies import (
    AllAnalog,
    Job,
    LayerDecision,
    LayerSerial,
    PipelinedStrategy,
    Strategy,
)
from hybridsim.sweeps.executed import Executed, most_tcdm

Execute = Callable[[Strategy, Job], Executed]
"""Schedules a job and runs it."""


def one_by_one(scheduler: Strategy) -> bool:
    """Return whether a strategy runs a network layer by layer, each on its own."""
    if isinstance(scheduler, PipelinedStrategy):
        return not scheduler.stream and not scheduler.prefetch_weights
    return isinstance(scheduler, AllAnalog | LayerSerial)


def run_layers(scheduler: Strategy, job: Job, execute: Execute) -> Executed | None:
    """Return the run of a network from those of its different layers.

    None where the sum would not be exact: a cluster that fetches its A and B, but gets no batch,
    may still be fetching when the next layer begins.

    Raises:
        InputError: As the strategy itself does.
    """
    known: dict[tuple[object, ...], Executed] = {}
    latency = tasks = 0
    layers: list[LayerDecision] = []
    for layer in job.mapping.layers:
        key = _alike(job, layer)
        if key not in known:
            alone = replace(job, mapping=replace(job.mapping, layers=(layer,)))
            known[key] = execute(scheduler, alone)
            if not _all_clusters_work(scheduler, alone, known[key]):
                return None
        ran = known[key]
        latency += ran.latency_ps
        tasks += ran.tasks
        layers.append(replace(ran.layers[0], layer=layer))
    return Executed(latency, tasks, tuple(layers), most_tcdm(tuple(layers)))


def _alike(job: Job, layer: PlacedLayer) -> tuple[object, ...]:
    """Return what decides how long a layer takes on its own.

    Clusters are alike, and so are tiles, as all tiles of a layer work together.
    """
    rank = layer.adapter.rank if layer.adapter else 0
    return (layer.op.in_features, layer.op.out_features, rank, job.tokens_of(layer))


def _all_clusters_work(scheduler: Strategy, job: Job, ran: Executed) -> bool:
    """Return whether every cluster that fetches A and B of the layer gets a batch of it."""
    if not isinstance(scheduler, PipelinedStrategy) or ran.layers[0].choice is None:
        return True
    tokens, clusters = job.tokens_of(job.mapping.layers[0]), scheduler.batch_order(job).clusters
    # a ramp only makes more batches
    return -(-tokens // ran.layers[0].batch) >= clusters
