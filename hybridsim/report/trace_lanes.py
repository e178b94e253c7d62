"""The threads of a trace: one per unit of a resource, in groups that are its processes."""

import heapq
import json
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybridsim.plan import Plan, Resource, Timeline
from hybridsim.units import Ints

_TILES, _CLUSTERS, _DELAYS, _REST = "tiles", "clusters", "delays", "link and memory"
_SHARED = {
    "tile": _TILES,
    "periphery": _TILES,
    "cluster": _CLUSTERS,
    "engine_cluster": _CLUSTERS,
    "delay": _DELAYS,
}


@dataclass(frozen=True)
class Lanes:
    """The threads of a trace, and what is shown on them."""

    names: tuple[str, ...]
    """Name of each thread; a resource of several units has a thread for each."""
    processes: tuple[str, ...]
    process: Ints
    """The process of each thread, as an index into :attr:`processes`."""
    process_of_resource: Ints
    task: Ints
    """The task of each slice: one per resource that a task holds; one for a delay."""
    lane: Ints
    """The thread of each slice, as an index into :attr:`names`."""
    first: Ints
    """The first thread of each task, where its flows begin and end."""

    @classmethod
    def of(cls, plan: Plan, timeline: Timeline) -> "Lanes":
        """Return the lanes of a run; in each, no two tasks overlap."""
        uses = np.diff(plan.use_first)
        delays = np.flatnonzero(uses == 0)
        task = np.append(np.repeat(np.arange(len(plan)), uses), delays)
        resources = [*plan.resources, Resource("delay", "delay", max(1, len(delays)))]
        held = np.append(plan.use, np.full(len(delays), len(plan.resources), np.int64))
        unit = np.zeros(len(task), np.int64)
        counts = []
        by_resource = np.argsort(held, kind="stable")
        first = np.searchsorted(held[by_resource], np.arange(len(resources) + 1))
        for index, resource in enumerate(resources):
            own = by_resource[first[index] : first[index + 1]]
            if resource.units > 1 and len(own):
                unit[own] = _units(timeline.start[task[own]], timeline.end[task[own]])
            most = int(unit[own].max(initial=0)) + 1
            counts.append(most if resource.kind == "delay" else resource.units)
        if not len(delays):
            counts[-1] = 0
        base = np.concatenate(([0], np.cumsum(counts)))[:-1]
        lane = base[held] + unit
        processes = [_process_of(resource) for resource in resources]
        names = [
            f"{clean(r.name)} [{k}]" if count > 1 else clean(r.name)
            for r, count in zip(resources, counts, strict=True)
            for k in range(count)
        ]
        known = tuple(dict.fromkeys(p for p, n in zip(processes, counts, strict=True) if n))
        code = np.array([known.index(p) if p in known else 0 for p in processes], np.int64)
        first_lane = np.zeros(len(plan), np.int64)
        first_lane[task[::-1]] = lane[::-1]
        return cls(tuple(names), known, np.repeat(code, counts), code[:-1], task, lane, first_lane)

    def metadata(self) -> list[str]:
        """Return the events that name and sort processes and threads."""
        texts = []
        for index, process in enumerate(self.processes):
            where = f'"pid":{index + 1}'
            texts += [
                _metadata("process_name", where, f'"name":{quoted(process)}'),
                _metadata("process_sort_index", where, f'"sort_index":{index}'),
            ]
        for index, name in enumerate(self.names):
            where = self.places[index]
            texts += [
                _metadata("thread_name", where, f'"name":{quoted(name)}'),
                _metadata("thread_sort_index", where, f'"sort_index":{index}'),
            ]
        return texts

    @cached_property
    def places(self) -> list[str]:
        """Process and thread of each lane, as an event names them; no number is used twice."""
        above = len(self.processes) + 1
        return [
            f'"pid":{process + 1},"tid":{above + lane}'
            for lane, process in enumerate(self.process.tolist())
        ]


def _units(start: Ints, end: Ints) -> Ints:
    """Return a unit for each task such that none runs two at once: the lowest that is free."""
    unit = np.zeros(len(start), np.int64)
    running: list[tuple[int, int]] = []
    free: list[int] = []
    used = 0
    order = np.lexsort((np.arange(len(start)), start))
    for place, begin, until in zip(
        order.tolist(), start[order].tolist(), end[order].tolist(), strict=True
    ):
        while running and running[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(running)[1])
        if free:
            own = heapq.heappop(free)
        else:
            own, used = used, used + 1
        unit[place] = own
        heapq.heappush(running, (until, own))
    return unit


def _process_of(resource: Resource) -> str:
    if resource.kind in _SHARED:
        return _SHARED[resource.kind]
    cluster, dot, _ = resource.name.rpartition(".")
    return clean(cluster) if dot else _REST


def _metadata(name: str, where: str, args: str) -> str:
    return f'{{"ph":"M","name":"{name}","ts":0,{where},"args":{{{args}}}}}'


def clean(name: str) -> str:
    """Return a name that every reader of JSON takes: no control characters, no half characters."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", name).encode("utf-8", "replace").decode()


def quoted(text: str) -> str:
    """Return a text as JSON."""
    return json.dumps(text, ensure_ascii=False)
