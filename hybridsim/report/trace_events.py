"""The events of a trace as columns, and as text: slices, flows and counters."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from hybridsim.measure.critical_path import started_by
from hybridsim.measure.occupancy import tcdm_occupancy
from hybridsim.measure.stalls import stalls_by_task
from hybridsim.measure.usage import queue_depths
from hybridsim.measure.work import NOTHING, shapes, task_work
from hybridsim.plan import Plan
from hybridsim.report.trace_lanes import Lanes, clean, quoted
from hybridsim.simulation import Run
from hybridsim.units import Ints

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
