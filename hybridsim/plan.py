"""What the engines execute and what they return: plain columns, no behaviour.

A plan is work before times are known: *tasks*, each of a known duration, the *resources*
they hold while they run, and the *needs* between them. An engine turns it into a timeline.

The execution rule, which every engine obeys to the picosecond:

1.  A task becomes *ready* at the instant its last need has ended; one that needs nothing is
    ready at 0.
2.  At each instant all completions come first: every task that ends now gives back its units,
    and the tasks that waited for it become ready.
3.  Then the ready tasks that have not started are visited once, in plan order. A task starts now
    if each resource it uses has a free unit, and takes one unit of each; otherwise it takes
    nothing, and does not stand in the way of the tasks after it.
4.  A started task runs for its whole duration, at least 1 ps, and is never interrupted.

So a task that uses several resources (a transfer holds a DMA engine and a link) takes all of them
or none, and a task that uses none is a delay. A resource that is shared fairly is shared by
cutting long work into several tasks (bursts): the rule itself has no time slices.

A buffer is an edge, not a resource: with room for *d* batches between a producer and a consumer,
batch *b* of the producer needs batch *b - d* of the consumer. Such an edge is a *room* need, all
others are *data* needs. Engines treat them alike; metrics use the difference to tell a task that
is blocked (no room downstream) from one that is starved (no data yet). A strategy that reserves
resources ahead of time fixes who goes first by *order* needs: such a task waits for its turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import PlanError
from hybridsim.units import Ints

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that tasks hold while they run."""

    name: str
    kind: str
    """What it is, one of the machine's parts: ``tile``, ``cores``, ``matrix_engine``, ..."""
    units: int = 1
    """How many tasks can hold it at the same time."""
    parts: int = 1
    """How many parts of the machine it stands for, when several always work in lockstep."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Tasks that repeat: task ``first + i * size + j`` is step ``j`` of iteration ``i``."""

    first: int
    size: int
    count: int

    def task(self, step: int, iteration: int) -> int:
        """Return the index in the plan of one step of one iteration; -1 is the last iteration."""
        return self.first + iteration % self.count * self.size + step


@dataclass(frozen=True, slots=True)
class Need:
    """What a step waits for: ``base + stride * iteration`` is the index of a task in the plan."""

    base: int
    stride: int = 0
    room: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """What a step waits for in its own loop: a step of the iteration ``back`` before this one."""

    step: int
    back: int = 0
    room: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a template that :meth:`PlanBuilder.repeat` lays out once per iteration."""

    action: str
    """What is done, as in ``mvm`` or ``load x``."""
    uses: tuple[int, ...]
    """Resources held, as indices into :attr:`Plan.resources`."""
    duration_ps: int | Ints
    """One duration for all iterations, or one each [ps]."""
    needs: tuple[Need | Within, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Tasks in topological order, as columns, and the resources they use.

    Lists per task are stored one behind the other: those of task ``i`` are
    ``use[use_first[i]:use_first[i + 1]]``, and likewise for needs.

    Raises:
        PlanError: A task lasts less than 1 ps, needs a task that is not before it, or uses a
            resource that is not there, or uses one twice; a resource has no units; or all tasks
            together last 2^62 ps or more.
    """

    resources: tuple[Resource, ...]
    duration: Ints
    """How long each task runs [ps], shape (tasks,)."""
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
    action: Ints
    """What each task does, as an index into :attr:`actions`."""
    item: Ints
    """Which batch of tokens each task works on."""
    ops: tuple[str, ...]
    actions: tuple[str, ...]
    loops: tuple[Loop, ...] = ()
    """Where the plan repeats itself; together they cover all tasks, in order."""
    order: Bools | None = None
    """Whether each need only fixes whose turn it is, in the order of :attr:`need`; None: none."""

    def __post_init__(self) -> None:
        tasks = np.arange(len(self.duration))
        if (self.duration < 1).any():
            worst = int(np.argmin(self.duration))
            raise PlanError(
                f"{self.name(worst)}: lasts {self.duration[worst]} ps; a task lasts 1 ps or more"
            )
        if self.duration.sum(dtype=np.float64) >= 2**62:
            raise PlanError("the tasks last 2^62 ps (53 days) or more; ends might not fit 64 bits")
        for resource in self.resources:
            if resource.units < 1:
                raise PlanError(
                    f"resource {resource.name}: has {resource.units} units; it needs 1 or more"
                )
        user = np.repeat(tasks, np.diff(self.need_first))
        wrong = (self.need >= user) | (self.need < 0)
        if wrong.any():
            raise PlanError(
                f"{self.name(int(user[wrong][0]))}: needs task {int(self.need[wrong][0])}, "
                "which is not before it in the plan"
            )
        holder = np.repeat(tasks, np.diff(self.use_first))
        if ((self.use < 0) | (self.use >= len(self.resources))).any():
            raise PlanError("a task uses a resource that the plan does not have")
        if len(np.unique(holder * (len(self.resources) + 1) + self.use)) != len(self.use):
            raise PlanError("a task uses the same resource twice")

    def __len__(self) -> int:
        return len(self.duration)

    def name(self, task: int) -> str:
        """Return a name for people: ``block3.query: mvm [5]``."""
        op, action = self.ops[self.op[task]], self.actions[self.action[task]]
        return f"{op}: {action} [{self.item[task]}]"

    def needs_of(self, task: int) -> Ints:
        """Return the tasks that must have ended before ``task`` is ready."""
        return self.need[self.need_first[task] : self.need_first[task + 1]]

    def uses_of(self, task: int) -> Ints:
        """Return the resources that ``task`` holds while it runs."""
        return self.use[self.use_first[task] : self.use_first[task + 1]]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When each task became ready, started and ended [ps]; the index is that of the plan."""

    ready: Ints
    start: Ints
    end: Ints

    @property
    def makespan(self) -> int:
        """The last end [ps]; 0 for a plan without tasks."""
        return int(self.end.max(initial=0))


class _Names:
    """Names in the order of their first use, each with its index."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    def index(self, name: str) -> int:
        return self._index.setdefault(name, len(self._index))

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)


@dataclass
class PlanBuilder:
    """Lays templates out into the columns of a plan, in the order in which they are given."""

    resources: tuple[Resource, ...]
    _ops: _Names = field(default_factory=_Names)
    _actions: _Names = field(default_factory=_Names)
    _loops: list[Loop] = field(default_factory=list)
    _columns: list[tuple[Ints, ...]] = field(default_factory=list)
    _uses: list[tuple[Ints, Ints]] = field(default_factory=list)
    _needs: list[tuple[Ints, Ints, Bools]] = field(default_factory=list)
    _size: int = 0

    def __len__(self) -> int:
        """Return the number of tasks so far, which is the index of the next one."""
        return self._size

    def add(
        self,
        op: str,
        action: str,
        uses: Sequence[int],
        duration_ps: int,
        needs: Sequence[int] = (),
        rooms: Sequence[int] = (),
    ) -> int:
        """Append one task and return its index; ``needs`` and ``rooms`` are earlier tasks."""
        after = [Need(n) for n in needs] + [Need(n, room=True) for n in rooms]
        return self.repeat(op, [Step(action, tuple(uses), duration_ps, tuple(after))], 1).first

    def repeat(
        self, op: str, steps: Sequence[Step], count: int, batches: int = 1, first_item: int = 0
    ) -> Loop:
        """Append ``steps`` ``count`` times, iteration by iteration, and return where they are.

        A :class:`Within` need that reaches back before the first iteration is dropped. An
        iteration may hold several ``batches``, each as many steps, which count as items from
        ``first_item`` on.

        Raises:
            PlanError: A :class:`Within` need names a step that the template does not have.
        """
        loop = Loop(self._size, len(steps), count)
        iteration = np.arange(count, dtype=np.int64)[:, None]
        durations = np.empty((count, loop.size), np.int64)
        for j, step in enumerate(steps):
            durations[:, j] = step.duration_ps
        actions = [self._actions.index(step.action) for step in steps]
        self._columns.append(
            (
                durations.reshape(-1),
                np.full(durations.size, self._ops.index(op), np.int64),
                np.array(actions * count, np.int64),
                first_item + np.arange(durations.size) // max(1, loop.size // batches),
            )
        )
        users = [(j, use) for j, step in enumerate(steps) for use in step.uses]
        place, use = np.array(users, np.int64).reshape(-1, 2).T
        holder = loop.first + iteration * loop.size + place
        self._uses.append((holder.reshape(-1), np.tile(use, count)))
        self._append_needs(loop, steps, iteration)
        self._size += durations.size
        self._loops.append(loop)
        return loop

    def _append_needs(self, loop: Loop, steps: Sequence[Step], iteration: Ints) -> None:
        """Append the needs of a loop: step, first source, stride, first iteration, room each."""
        pattern = []
        for j, step in enumerate(steps):
            for need in step.needs:
                if isinstance(need, Within):
                    if not 0 <= need.step < loop.size:
                        raise PlanError(
                            f"{step.action}: needs step {need.step} of a loop of {loop.size} steps"
                        )
                    source = loop.first + need.step - need.back * loop.size
                    pattern.append((j, source, loop.size, need.back, need.room))
                else:
                    pattern.append((j, need.base, need.stride, 0, need.room))
        place, base, stride, least, room = np.array(pattern, np.int64).reshape(-1, 5).T
        kept = iteration >= least
        user = loop.first + iteration * loop.size + place
        rooms = np.broadcast_to(room.astype(np.bool_), kept.shape)
        self._needs.append((user[kept], (base + stride * iteration)[kept], rooms[kept]))

    def link(self, users: Ints, sources: Ints) -> None:
        """Let each of ``users`` also wait for the data of the task beside it in ``sources``."""
        self._needs.append((users, sources, np.zeros(len(users), np.bool_)))

    def stamp(
        self,
        first: int,
        ops: Mapping[str, Sequence[str]],
        uses: Mapping[tuple[str, str], Sequence[tuple[int, ...]]],
        times: int,
    ) -> None:
        """Append all tasks from ``first`` on once more, ``times`` times.

        Needs move along: what a task needs lies as far before its copy as before itself. ``ops``
        gives each op its names in the copies; ``uses`` gives (op, action) the resources of each
        copy, where they are not those of the template.
        """
        size = self._size - first
        shift = (1 + np.arange(times, dtype=np.int64))[:, None] * size
        duration, op, action, item = (
            np.concatenate(column)[first:] for column in zip(*self._columns, strict=True)
        )
        renamed = self._renamed(op, ops, times)
        copies = [np.tile(column, times) for column in (duration, action, item)]
        self._columns.append((copies[0], renamed, copies[1], copies[2]))
        user, need, room = (np.concatenate(column) for column in zip(*self._needs, strict=True))
        own = user >= first
        self._needs.append(
            (
                (user[own] + shift).reshape(-1),
                (need[own] + shift).reshape(-1),
                np.tile(room[own], times),
            )
        )
        self._stamp_uses(first, op, action, uses, shift)
        loops = [loop for loop in self._loops if loop.first >= first]
        self._loops += [
            Loop(loop.first + int(by), loop.size, loop.count)
            for by in shift[:, 0]
            for loop in loops
        ]
        self._size += size * times

    def _renamed(self, op: Ints, ops: Mapping[str, Sequence[str]], times: int) -> Ints:
        """Return the ops of all copies, one copy behind the other."""
        names = list(self._ops)
        table = np.empty((times, len(names)), np.int64)
        present = np.unique(op)
        for copy in range(times):
            for index in present:
                table[copy, index] = self._ops.index(ops[names[index]][copy])
        return table[:, op].reshape(-1)

    def _stamp_uses(
        self,
        first: int,
        op: Ints,
        action: Ints,
        uses: Mapping[tuple[str, str], Sequence[tuple[int, ...]]],
        shift: Ints,
    ) -> None:
        """Append what the copies use: their own resources, or those of the template."""
        names, actions = list(self._ops), list(self._actions)
        own = np.zeros(len(op), np.bool_)
        holders, used = [], []
        for (name, what), each in uses.items():
            tasks = np.flatnonzero((op == names.index(name)) & (action == actions.index(what)))
            own[tasks] = True
            lengths = [len(resources) for resources in each]
            of_copy = np.array([r for resources in each for r in resources], np.int64)
            copy = np.repeat(shift[:, 0], lengths)
            holders.append((first + tasks[:, None] + copy).reshape(-1))
            used.append(np.tile(of_copy, len(tasks)))
        if holders:
            self._uses.append((np.concatenate(holders), np.concatenate(used)))
        holder, use = (np.concatenate(column) for column in zip(*self._uses, strict=True))
        of_template = (holder >= first) & (holder < first + len(op))
        of_template[of_template] = ~own[holder[of_template] - first]
        moved = (holder[of_template] + shift).reshape(-1)
        self._uses.append((moved, np.tile(use[of_template], len(shift))))

    def build(self) -> Plan:
        """Return the plan laid out so far."""
        nothing = (np.empty(0, np.int64),) * 4
        columns = [np.concatenate(c) for c in zip(*self._columns, nothing, strict=True)]
        holder, use = (np.concatenate(c) for c in zip(*self._uses, nothing[:2], strict=True))
        no_need = (*nothing[:2], np.empty(0, np.bool_))
        user, need, room = (np.concatenate(c) for c in zip(*self._needs, no_need, strict=True))
        user, need, room = _grouped(user, need, room)
        holder, use = _grouped(holder, use)
        return Plan(
            resources=self.resources,
            duration=columns[0],
            use_first=_offsets(holder, self._size),
            use=use,
            need_first=_offsets(user, self._size),
            need=need,
            room=room,
            op=columns[1],
            action=columns[2],
            item=columns[3],
            ops=tuple(self._ops),
            actions=tuple(self._actions),
            loops=tuple(self._loops),
        )


def _grouped(owner: Ints, *columns: NDArray[Any]) -> list[NDArray[Any]]:
    """Return columns sorted by owner; as they come, if they are."""
    if (np.diff(owner) >= 0).all():
        return [owner, *columns]
    by_owner = np.argsort(owner, kind="stable")
    return [owner[by_owner], *(column[by_owner] for column in columns)]


def _offsets(owner: Ints, size: int) -> Ints:
    """Return where the list of each of ``size`` owners begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=size)))).astype(np.int64)
