"""A run as a trace that Perfetto and chrome://tracing open: Chrome's trace event format, in JSON.

Processes are the tiles, each cluster, and the link with the memory; threads are resources, one
lane per unit, so that slices of a thread never overlap. A task is one slice on every resource
that it holds. Flows lead from a task to those that need its data; counters tell the bytes in the
scratchpads and how many tasks are ready but have not started.

Format: Google, "Trace Event Format" (complete events X, flows s and f, counters C, metadata M).
Times are decimals in microseconds, exact to the picosecond. Perfetto keeps whole nanoseconds and
cuts the product of a double and 1000; where that would lose one, a stamp has 0.1 ps more, which
rounds away.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from hybridsim.boundary.writing import check_file, write_file
from hybridsim.errors import SpecError
from hybridsim.plan import Plan, Timeline
from hybridsim.report.trace_events import (
    PS_PER_NS,
    Counters,
    Events,
    FlowEnds,
    Lanes,
    Slices,
    clean,
)
from hybridsim.simulation import Run
from hybridsim.units import Ints

ENDINGS = (".json", ".json.gz")
"""What the name of a trace ends in; the second is compressed."""
MOST_FLOWS = 200_000
"""Data dependencies up to which all of them are flows; beyond, only what each task waited for."""
CHUNK = 8192
"""Events whose text is in memory at a time."""
Flows = Literal["auto", "all", "last", "none"]
FLOWS: tuple[Flows, ...] = ("auto", "all", "last", "none")


def check_trace_path(path: Path) -> None:
    """Refuse a place where no trace could be written, before any work is done.

    Raises:
        SpecError: The name ends in something else, or lies in no folder.
    """
    if not path.name.endswith(ENDINGS):
        raise SpecError("--trace", str(path), f"write a name that ends in {' or '.join(ENDINGS)}")
    check_file(path, "--trace")


def write_trace(run: Run, path: Path, flows: Flows = "auto") -> int:
    """Write the trace of a run and return how many events it has.

    ``flows``: ``all`` data dependencies, only the ``last`` one that each task waited for,
    ``none``, or ``auto``: all up to :data:`MOST_FLOWS`, else the last ones. Needs for room, and
    those that only fix whose turn it is, are no flows. Equal runs give equal bytes. The file is
    there as a whole or not at all; text is made piece by piece, so memory holds the columns of
    the run and a few thousand events.

    Raises:
        SpecError: The disk refuses, or the name ends in none of :data:`ENDINGS`.
    """
    check_trace_path(path)
    with write_file(path, "--trace") as file:
        if path.suffix == ".gz":
            # no name and no date inside, so that equal runs give equal bytes
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                return _write(run, packed, flows)
        return _write(run, file, flows)


def _write(run: Run, file: "BinaryIO | gzip.GzipFile", flows: Flows) -> int:
    file.write(b'{"traceEvents":[')
    count, before = 0, "\n"
    for texts in Trace(run, flows).texts():
        file.write((before + ",\n".join(texts)).encode())
        count, before = count + len(texts), ",\n"
    file.write(f'\n],"otherData":{json.dumps(_other_data(run), ensure_ascii=False)}}}\n'.encode())
    return count


def _other_data(run: Run) -> dict[str, str]:
    result = run.result
    return {
        "hybridsim": result.hybridsim_version,
        "network": clean(result.network),
        "machine": clean(result.machine),
        "strategy": result.strategy,
        "tokens": str(result.tokens),
        "latency_ps": str(result.latency_ps),
    }


@dataclass(frozen=True)
class Trace:
    """The events of one run, made when they are asked for."""

    run: Run
    flows: Flows = "auto"

    def texts(self) -> Iterator[list[str]]:
        """Yield the text of all events, some at a time: metadata, then all in order of time."""
        yield self.lanes.metadata()
        plan, timeline = self.run.schedule.plan, self.run.timeline
        dependencies = _dependencies(plan, timeline, self.flows)
        sources: tuple[Events, ...] = (
            Counters.of(self.run, self.lanes),
            Slices(self.run, self.lanes),
            FlowEnds(timeline.start, self.lanes, *dependencies),
        )
        time = np.concatenate([source.time for source in sources])
        kind = np.repeat(np.arange(3), [len(source.time) for source in sources])
        row = np.concatenate([np.arange(len(source.time)) for source in sources])
        order = np.lexsort((row, kind, time))
        for begin in range(0, len(order), CHUNK):
            part = order[begin : begin + CHUNK]
            texts = np.empty(len(part), object)
            for which, source in enumerate(sources):
                own = kind[part] == which
                texts[own] = source.texts(row[part[own]])
            yield texts.tolist()

    @cached_property
    def lanes(self) -> Lanes:
        """Which thread each task is shown on."""
        return Lanes.of(self.run.schedule.plan, self.run.timeline)


def _dependencies(plan: Plan, timeline: Timeline, flows: Flows) -> tuple[Ints, Ints]:
    """Return (source, target) of the data dependencies that are shown.

    A flow binds to a slice; those of tasks under a nanosecond would vanish in Perfetto, and are
    left out.
    """
    user = plan.user
    data = ~plan.room & ~plan.turn
    long = timeline.duration >= PS_PER_NS
    shown = data & long[user] & long[plan.need]
    source, target = plan.need[shown], user[shown]
    if flows == "none":
        return source[:0], target[:0]
    if flows == "last" or (flows == "auto" and len(source) > MOST_FLOWS):
        order = np.lexsort((-np.arange(len(source)), timeline.end[source], target))
        source, target = source[order], target[order]
        last = np.append(target[1:] != target[:-1], np.ones(min(1, len(target)), np.bool_))
        return source[last], target[last]
    return source, target
