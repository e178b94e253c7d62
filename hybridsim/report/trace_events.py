"""The events of a trace as columns and as text, slices, flows, counters, and its threads.

There is one thread per unit of a resource, in groups that are the processes of the trace.
"""

import heapq
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pandas as pd

from hybridsim.measure.critical_path import started_by
from hybridsim.measure.occupancy import tcdm_occupancy
from hybridsim.measure.stalls import stalls_by_task
from hybridsim.measure.usage import queue_depths
from hybridsim.measure.work import shapes, task_work
from hybridsim.plan import Plan, Resource, Timeline
from hybridsim.simulation import Run
from hybridsim.units import Ints
from hybridsim.work import NOTHING

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


PS_PER_NS = 1000


class Events(Protocol):
    """Some events of a trace."""

    time: Ints
    """When each of them is [ps]."""

    def texts(self, rows: Ints) -> list[str]:
        """Return the text of some of them."""


def stamps(times_ps: Ints) -> list[str]:
    """Return times as decimals in microseconds: exact, but for 0.1 ps where Perfetto needs it."""
    cut = (times_ps / 10**6 * 1000).astype(np.int64) < times_ps // PS_PER_NS
    texts = []
    for time, loses in zip(times_ps.tolist(), cut.tolist(), strict=True):
        whole, rest = divmod(time, 10**6)
        if loses:
            texts.append(f"{whole}.{rest:06d}1")
        else:
            texts.append(f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole))
    return texts


class Slices:
    """Complete events: a task on a thread."""

    def __init__(self, run: Run, lanes: Lanes) -> None:
        self._plan, self._timeline, self._lanes = run.schedule.plan, run.timeline, lanes
        plan = self._plan
        self.time = run.timeline.start[lanes.task]
        self._work = {name: c.to_numpy() for name, c in task_work(run).items()}
        stalls = stalls_by_task(plan, run.timeline)
        self._stalls = {name: column.to_numpy() for name, column in stalls.items()}
        started = started_by(plan, run.timeline)
        self._cause = started["cause"].to_numpy()
        self._why = started["why"].cat.codes.to_numpy()
        self._because = [_because(why) for why in started["why"].cat.categories]
        known = shapes(run)
        self._ops = [clean(name) for name in plan.ops]
        self._heads = [
            f'"op":{quoted(clean(name))},"shape":{quoted(known.get(name, ""))}'
            for name in plan.ops
        ]
        self._actions = [clean(action) for action in plan.labels]
        self._kinds = [quoted(resource.kind) for resource in plan.resources] + ['"delay"']

    def texts(self, rows: Ints) -> list[str]:
        """Return the text of some events."""
        plan, task = self._plan, self._lanes.task[rows]
        columns = (
            self._lanes.lane[rows], task, plan.op[task], plan.label[task], plan.item[task],
            self._cause[task], self._why[task],
        )  # fmt: skip
        begin = stamps(self._timeline.start[task])
        length = stamps(self._timeline.duration[task])
        args = self._args(task)
        texts = []
        for start, duration, more, lane, _, op, action, item, cause, why in zip(
            begin, length, args, *(column.tolist() for column in columns), strict=True
        ):
            started = self._because[why] + (self._name(cause) if cause >= 0 else "")
            texts.append(
                f'{{"ph":"X","name":{quoted(self._actions[action])},"cat":"task",'
                f'"ts":{start},"dur":{duration},{self._lanes.places[lane]},'
                f'"args":{{{self._heads[op]},"batch":{item},{more}"started":{quoted(started)}}}}}'
            )
        return texts

    def _args(self, task: Ints) -> list[str]:
        """Return tokens, bytes, cycles, waits and exact times of some tasks."""
        numbers = {
            "tokens": self._work["tokens"][task],
            "bytes": self._work["bytes"][task],
            "cycles": self._work["cycles"][task],
            "blocked_ps": _some(self._stalls["blocked_ps"][task]),
            "waited_ps": _some(self._stalls["waiting_ps"][task]),
            "start_ps": self._timeline.start[task],
            "dur_ps": self._timeline.duration[task],
        }
        names = [f'"{name}":' for name in numbers]
        rows = zip(*(column.tolist() for column in numbers.values()), strict=True)
        return [
            "".join(f"{n}{v}," for n, v in zip(names, row, strict=True) if v != NOTHING)
            for row in rows
        ]

    def _name(self, task: int) -> str:
        plan = self._plan
        op, action = self._ops[plan.op[task]], self._actions[plan.label[task]]
        return f"{op}: {action} [{plan.item[task]}]"


def _some(times: Ints) -> Ints:
    """Return times, with nothing where they are 0."""
    return np.where(times > 0, times, NOTHING)


def _because(why: str) -> str:
    """Return the beginning of the sentence that says why a task started."""
    if why.startswith("resource "):
        return f"{clean(why.removeprefix('resource '))} was given back by "
    return {
        "start": "could run at 0",
        "data": "has the data of ",
        "room": "has the room left by ",
        "turn": "several parts were free at once",
    }[why]


class FlowEnds:
    """Flow events: the start of each flow, then the end of each."""

    def __init__(self, start: Ints, lanes: Lanes, source: Ints, target: Ints) -> None:
        self._count = len(source)
        self._lane = lanes.first[np.append(source, target)]
        self._places = lanes.places
        self.time = start[np.append(source, target)]

    def texts(self, rows: Ints) -> list[str]:
        """Return the text of some events."""
        texts = []
        for time, lane, row in zip(
            stamps(self.time[rows]), self._lane[rows].tolist(), rows.tolist(), strict=True
        ):
            ends = row >= self._count
            phase = '"ph":"f","bp":"e"' if ends else '"ph":"s"'
            number = row - self._count * ends
            texts.append(
                f'{{{phase},"name":"data","cat":"data","id":{number},"ts":{time},'
                f"{self._places[lane]}}}"
            )
        return texts


class Counters:
    """Counter events: bytes in scratchpads, and queues."""

    def __init__(self, time: Ints, head: Ints, value: Ints, heads: Sequence[str]) -> None:
        self.time, self._head, self._value, self._heads = time, head, value, heads

    @classmethod
    def of(cls, run: Run, lanes: Lanes) -> "Counters":
        """Return the counters of a run; queues that are always empty are left out."""
        plan = run.schedule.plan
        held = tcdm_occupancy(run)
        queue = queue_depths(plan, run.timeline)
        busy = queue.groupby("resource", sort=False)["waiting"].transform("max") > 0
        queue = queue[busy]
        heads: list[str] = []
        codes = []
        for name, table, label, unit in (
            ("cluster", held, "TCDM", "bytes"), ("resource", queue, "queue", "waiting"),
        ):  # fmt: skip
            code, found = pd.factorize(table[name])
            codes.append(code + len(heads))
            for who in found:
                process = cls._process(plan, lanes, str(who)) + 1
                text = quoted(f"{label} {clean(str(who))}")
                heads.append(f'"name":{text},"pid":{process},"args":{{"{unit}":')
        return cls(
            np.concatenate((held["time_ps"], queue["time_ps"])).astype(np.int64),
            np.concatenate(codes).astype(np.int64),
            np.concatenate((held["bytes"], queue["waiting"])).astype(np.int64),
            heads,
        )

    @staticmethod
    def _process(plan: Plan, lanes: Lanes, name: str) -> int:
        """Return the process of a resource, or of a cluster."""
        if name in lanes.processes:
            return lanes.processes.index(name)
        names = [resource.name for resource in plan.resources]
        return int(lanes.process_of_resource[names.index(name)])

    def texts(self, rows: Ints) -> list[str]:
        """Return the text of some events."""
        return [
            f'{{"ph":"C","ts":{time},{self._heads[head]}{value}}}}}'
            for time, head, value in zip(
                stamps(self.time[rows]),
                self._head[rows].tolist(),
                self._value[rows].tolist(),
                strict=True,
            )
        ]
