"""A plan as the engines read it, and the timeline they return: columns, one entry per task."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import starmap

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import PlanError, TooLongError
from hybridsim.records import record
from hybridsim.units import Ints
from hybridsim.work import MOST_PS, Work

Bools = NDArray[np.bool_]

_FEW = 4
"""How far apart the items of an owner are compared one by one; longer lists are sorted."""
_BLOCK = 1 << 16
"""Tasks that are checked at a time."""


@record(frozen=True, slots=True)
class Resource:
    """Something that tasks hold while they run."""

    name: str
    kind: str
    """What it is, one of the machine's parts: ``tile``, ``cores``, ``matrix_engine``, ..."""
    units: int = 1
    """How many tasks can hold it at the same time."""
    parts: int = 1
    """How many parts of the machine it stands for, when several always work in lockstep."""
    sort: str = ""
    """Which of several kinds of that part it is; "" for the usual one."""

    @property
    def told(self) -> str:
        """What it is for people: its kind, and behind a colon which one of several."""
        return f"{self.kind}:{self.sort}" if self.sort else self.kind


@dataclass(slots=True, unsafe_hash=True)  # frozen ones take three times as long to make
class Loop:
    """Tasks that repeat: task ``first + i * size + j`` is step ``j`` of iteration ``i``."""

    first: int
    size: int
    count: int

    def task(self, step: int, iteration: int) -> int:
        """Return the index in the plan of one step of one iteration; -1 is the last iteration."""
        return self.first + iteration % self.count * self.size + step


class Loops:
    """Loops as rows of first task, size and count, shape (loops, 3); each is made when it is asked
    for, and most plans are never asked."""

    def __init__(self, rows: Ints) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Loop]:
        return starmap(Loop, self._rows.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._rows.tobytes())


@record(frozen=True, eq=False)
class Plan:
    """Tasks in topological order, as columns, and the resources they use.

    Lists per task are stored one behind the other: those of task ``i`` are
    ``use[use_first[i]:use_first[i + 1]]``, and likewise for needs.

    Raises:
        PlanError: A task needs a task that is not before it, does a work that is not there, or
            uses a resource that is not there, or uses one twice; or a resource has no units.
    """

    resources: tuple[Resource, ...]
    works: tuple[Work, ...]
    """What is done, each once."""
    work: Ints
    """What each task does, as an index into :attr:`works`, shape (tasks,)."""
    use_first: Ints
    use: Ints
    """Resources used, as indices into :attr:`resources`."""
    need_first: Ints
    need: Ints
    """Tasks that must have ended, as indices into the plan."""
    room: Bools
    """Whether each need is a room need (True) or a data need, in the order of :attr:`need`."""
    op: Ints
    """The op each task works for, as an index into :attr:`ops`."""
    item: Ints
    """Which batch of tokens each task works on."""
    ops: tuple[str, ...]
    loops: Iterable[Loop] = ()
    """Where the plan repeats itself; together they cover all tasks, in order."""
    order: Bools | None = None
    """Whether each need only fixes whose turn it is, in the order of :attr:`need`; None: none."""

    def __post_init__(self) -> None:
        if self.work.min(initial=0) < 0 or self.work.max(initial=-1) >= len(self.works):
            raise PlanError("a task does a work that the plan does not have")
        for resource in self.resources:
            if resource.units < 1:
                raise PlanError(
                    f"resource {resource.name}: has {resource.units} units; it needs 1 or more"
                )
        if self.use.min(initial=0) < 0 or self.use.max(initial=-1) >= len(self.resources):
            raise PlanError("a task uses a resource that the plan does not have")
        for first in range(0, len(self), _BLOCK):
            self._check(first, min(first + _BLOCK, len(self)))

    def _check(self, first: int, last: int) -> None:
        """Check needs and uses of some tasks; what that takes in between fits in the cache."""
        tasks = np.arange(first, last)
        starts = self.need_first[first : last + 1]
        need, user = self.need[starts[0] : starts[-1]], np.repeat(tasks, np.diff(starts))
        wrong = (need >= user) | (need < 0)
        if wrong.any():
            raise PlanError(
                f"{self.name(int(user[wrong][0]))}: needs task {int(need[wrong][0])}, "
                "which is not before it in the plan"
            )
        starts = self.use_first[first : last + 1]
        holder = np.repeat(tasks, np.diff(starts))
        if _repeats(holder, self.use[starts[0] : starts[-1]]):
            raise PlanError("a task uses the same resource twice")

    def __len__(self) -> int:
        return len(self.work)

    def name(self, task: int) -> str:
        """Return a name for people: ``block3.query: mvm [5]``."""
        label = self.works[self.work[task]].label
        return f"{self.ops[self.op[task]]}: {label} [{self.item[task]}]"

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of all works, each once, in the order of the works."""
        return tuple(dict.fromkeys(work.label for work in self.works))

    @cached_property
    def label(self) -> Ints:
        """The label of each task, as an index into :attr:`labels`."""
        place = {label: number for number, label in enumerate(self.labels)}
        of_work = np.array([place[work.label] for work in self.works], np.int64)
        return of_work[self.work]

    @cached_property
    def tokens(self) -> Ints:
        """The tokens that each task works on, shape (tasks,); :data:`~.work.NOTHING` for none."""
        return np.array([work.tokens for work in self.works], np.int64)[self.work]

    def which(self, chosen: Callable[[Work], bool]) -> Bools:
        """Return for each task whether its work is ``chosen``, shape (tasks,)."""
        return np.array([chosen(work) for work in self.works], np.bool_)[self.work]

    def times(self, time_ps: Ints) -> Ints:
        """Return how long each task runs [ps], from the time of each work.

        Raises:
            TooLongError: All tasks together last 2^62 ps or more.
        """
        found: Ints = time_ps[self.work]
        check_total(found.sum(dtype=np.float64))
        return found

    def waiting(self, users: Ints, sources: Ints) -> "Plan":
        """Return the plan in which each of ``users`` also needs the data of the task beside it in
        ``sources``, behind what it needs already.

        Raises:
            PlanError: A source does not come before its user.
        """
        by_user = np.argsort(users, kind="stable")
        users, sources = users[by_user], sources[by_user]
        at, more = self.need_first[users + 1], np.bincount(users, minlength=len(self))
        return replace(
            self,
            need=np.insert(self.need, at, sources),
            room=np.insert(self.room, at, False),
            order=None if self.order is None else np.insert(self.order, at, False),
            need_first=self.need_first + np.concatenate(([0], np.cumsum(more))),
        )

    @property
    def holder(self) -> Ints:
        """The task of each use of a resource, in the order of :attr:`use`."""
        return np.repeat(np.arange(len(self)), np.diff(self.use_first))

    @property
    def user(self) -> Ints:
        """The task of each need, in the order of :attr:`need`."""
        return np.repeat(np.arange(len(self)), np.diff(self.need_first))

    @property
    def turn(self) -> Bools:
        """Whether each need only fixes whose turn it is, in the order of :attr:`need`."""
        return np.zeros(len(self.need), np.bool_) if self.order is None else self.order

    def needs_of(self, task: int) -> Ints:
        """Return the tasks that must have ended before ``task`` is ready."""
        return self.need[self.need_first[task] : self.need_first[task + 1]]

    def uses_of(self, task: int) -> Ints:
        """Return the resources that ``task`` holds while it runs."""
        return self.use[self.use_first[task] : self.use_first[task + 1]]


def check_total(total_ps: float) -> None:
    """Refuse tasks that together last so long that their ends might not fit 64 bits.

    Raises:
        TooLongError: They last 2^62 ps or more.
    """
    if total_ps >= MOST_PS:
        raise TooLongError(
            "the tasks last 2^62 ps (53 days) or more, and ends might not fit 64 bits; "
            "faster parts or fewer tokens would do"
        )


@record(frozen=True, slots=True, eq=False)
class Timeline:
    """When each task became ready, started and ended [ps]; the index is that of the plan."""

    ready: Ints
    start: Ints
    end: Ints

    @property
    def makespan(self) -> int:
        """The last end [ps]; 0 for a plan without tasks."""
        return int(self.end.max(initial=0))

    @property
    def duration(self) -> Ints:
        """How long each task ran [ps]."""
        return self.end - self.start


def _repeats(owner: Ints, items: Ints) -> bool:
    """Return whether an owner, whose items lie one behind the other, has one of them twice."""
    for apart in range(1, len(items)):
        near = owner[apart:] == owner[:-apart]
        if not near.any():
            return False
        if (near & (items[apart:] == items[:-apart])).any():
            return True
        if apart == _FEW:
            break
    pairs = np.sort(owner * (int(items.max(initial=0)) + 1) + items)
    return bool((pairs[1:] == pairs[:-1]).any())
