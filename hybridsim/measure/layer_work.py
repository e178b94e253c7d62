"""What the tasks of adapted layers do in all: events per op, step and unit.

It follows from what was decided for a layer: the program of a batch of each size, and how many
batches there are of it. Layers that are alike are counted together.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.measure.layer_tasks import LayerTasks, layer_tasks
from hybridsim.programs import Kernel
from hybridsim.programs.lora_activity import Activity, kernel_activity, moved
from hybridsim.strategies import Batching, Job, Schedule, StepOfBatch, steps_of
from hybridsim.units import Ints

UNITS = ("matrix_engine", "cores", "dma")
"""Kinds of resources that are single units of a cluster."""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that do the same on the same kind of unit, and what they do in all."""

    tasks: Ints
    unit: str
    activity: Activity


def groups_of(job: Job, schedule: Schedule) -> Iterator[Group]:
    """Yield the tasks on units of clusters with what they do, each task once.

    Tasks of strategies that take clusters as a whole are left out.
    """
    cluster = job.machine.cluster
    if cluster is None:
        return
    alike: dict[Hashable, list[LayerTasks]] = defaultdict(list)
    for own in layer_tasks(schedule):
        batching, ahead = own.batching, own.fetches_ahead
        key = (batching.program, batching.sizes, batching.order.overlap, ahead)
        alike[key, 0 if ahead else len(own.weights)].append(own)
    for layers in alike.values():
        yield from _batches(cluster, layers)
        if layers[0].fetches_ahead:
            for own in layers:
                yield from _weights(cluster, [own])
        else:
            yield from _weights(cluster, layers)


def _batches(cluster: Cluster, layers: list[LayerTasks]) -> Iterator[Group]:
    """Yield the tasks of all batches of layers alike, those that do the same together."""
    batching = layers[0].batching
    together: dict[Hashable, list[StepOfBatch]] = defaultdict(list)
    for step in steps_of(batching):
        if step.action != "mvm":
            together[_kind(batching, step)].append(step)
    counts = batching.sizes.counts
    for steps in together.values():
        total = Activity()
        for size, count in counts.items():
            for step in steps:
                total += _activity(cluster, batching, step, size) * count
        tasks = []
        for own in layers:
            places = [own.place[step] for step in steps]
            tasks.append(own.batches[:, places].reshape(-1))
        unit = batching.program.kernels[steps[0].number].unit if steps[0].kernel else "dma"
        yield Group(np.concatenate(tasks), unit, total * len(layers))


def _kind(batching: Batching, step: StepOfBatch) -> Hashable:
    """Return what tells steps apart whose energy is counted: operands, and the unit."""
    if not step.kernel:
        return step.action
    kernel: Kernel = batching.program.kernels[step.number]
    return (kernel.unit, kernel.work.kind, kernel.reads, kernel.slice_work)


def _activity(cluster: Cluster, batching: Batching, step: StepOfBatch, tokens: int) -> Activity:
    """Return what a step of a batch of so many tokens does."""
    program = batching.program_of(tokens)
    if step.kernel:
        return kernel_activity(program.kernels[step.number], program, cluster) or Activity()
    width = program.in_features if step.action == "load x" else program.slices[step.number]
    return moved(tokens * width * cluster.element_bytes)


def _weights(cluster: Cluster, layers: list[LayerTasks]) -> Iterator[Group]:
    """Yield the transfers of A and of B of layers alike."""
    program = layers[0].batching.program
    for number, features in enumerate((program.in_features, program.out_features)):
        tasks = np.concatenate([own.weights[:, number] for own in layers])
        each = moved(features * program.rank * cluster.element_bytes)
        yield Group(tasks, "dma", each * len(tasks))
