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
from itertools import chain

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
class Mostly:
    """One duration for all iterations, but for a few at the beginning and at the end [ps]."""

    usual: int
    last: tuple[int, ...] = ()
    """Durations of the last iterations."""
    first: tuple[int, ...] = ()
    """Durations of the first iterations."""

    def each(self, count: int) -> Ints:
        """Return the durations of all of ``count`` iterations.

        Raises:
            PlanError: There are fewer iterations than durations of the first and the last ones.
        """
        if len(self.first) + len(self.last) > count:
            raise PlanError(
                f"{len(self.first)} first and {len(self.last)} last durations are more than the "
                f"{count} iterations of the loop"
            )
        durations = np.full(count, self.usual, np.int64)
        durations[: len(self.first)] = self.first
        durations[count - len(self.last) :] = self.last
        return durations

    def part(self, start: int, stop: int, step: int, count: int) -> "Mostly":
        """Return the durations of the iterations ``range(start, stop, step)`` of ``count``."""
        tail = count - len(self.last)
        begin = start + step * max(0, -((start - tail) // step))
        last = tuple(self.last[i - tail] for i in range(begin, stop, step))
        return Mostly(self.usual, last, self.first[start:stop:step])


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a template that :meth:`PlanBuilder.repeat` lays out once per iteration."""

    action: str
    """What is done, as in ``mvm`` or ``load x``."""
    uses: tuple[int, ...]
    """Resources held, as indices into :attr:`Plan.resources`."""
    duration_ps: int | Mostly | Ints
    """One duration for all iterations, one for most of them, or one each [ps]."""
    needs: tuple[Need | Within, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Steps that repeat, before they are laid out as tasks."""

    op: str
    loop: Loop
    steps: tuple[Step, ...]
    uses: tuple[tuple[int, ...], ...]
    """Resources that each step holds; in a copy they need not be those that the step names."""
    shift: int = 0
    """How far the sources of :class:`Need` lie behind those that the steps name."""
    batches: int = 1
    """Batches of an iteration."""
    first_item: int = 0
    """The number of the first batch."""


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
        if _repeats(holder, self.use):
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


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A plan before its iterations are laid out: as large as its templates, however long."""

    resources: tuple[Resource, ...]
    templates: tuple[Template, ...]
    links: tuple[tuple[Ints, Ints], ...] = ()
    """Users and sources of data needs beside those of the templates."""

    def __len__(self) -> int:
        """Return the number of tasks of the whole plan."""
        return sum(template.loop.size * template.loop.count for template in self.templates)

    def expand(self) -> Plan:
        """Return the plan with every iteration laid out.

        Raises:
            PlanError: As :class:`Plan`.
        """
        templates, ops, actions = self.templates, _Names(), _Names()
        laid = _laid_out(templates, actions)
        moved = [t.shift - one.shift for t, one in zip(templates, laid, strict=True)]
        op = np.array([ops.index(template.op) for template in templates], np.int64)
        needs = _joined([one.needs for one in laid])
        need, rooms = _joined([one.need for one in laid], moved), [one.room for one in laid]
        room = np.concatenate([*rooms, np.empty(0, np.bool_)])
        if self.links:
            needs, need, room = _linked(needs, need, room, self.links)
        return Plan(
            resources=self.resources,
            duration=_joined([one.duration for one in laid]),
            use_first=_offsets(_joined([one.uses for one in laid])),
            use=_used(templates, [one.slot for one in laid]),
            need_first=_offsets(needs),
            need=need,
            room=room,
            op=np.repeat(op, [len(one.duration) for one in laid]),
            action=_joined([one.action for one in laid]),
            item=_joined([one.item for one in laid]),
            ops=tuple(ops),
            actions=tuple(actions),
            loops=tuple(template.loop for template in templates),
        )


@dataclass
class PlanBuilder:
    """Collects the templates of a plan, in the order in which they are given."""

    resources: tuple[Resource, ...]
    _templates: list[Template] = field(default_factory=list)
    _links: list[tuple[Ints, Ints]] = field(default_factory=list)
    _size: int = 0

    def __len__(self) -> int:
        """Return the number of tasks so far, which is the index of the next one."""
        return self._size

    @property
    def templates(self) -> int:
        """How many templates there are so far, which is the index of the next one."""
        return len(self._templates)

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
        size = len(steps)
        for step in steps:
            for need in step.needs:
                if isinstance(need, Within) and not 0 <= need.step < size:
                    raise PlanError(
                        f"{step.action}: needs step {need.step} of a loop of {size} steps"
                    )
        uses = tuple(step.uses for step in steps)
        loop = Loop(self._size, size, count)
        return self._append(Template(op, loop, tuple(steps), uses, 0, batches, first_item))

    def link(self, users: Ints, sources: Ints) -> None:
        """Let each of ``users`` also wait for the data of the task beside it in ``sources``."""
        self._links.append((users, sources))

    def again(self, first: int, last: int, op: str, swaps: Mapping[int, int]) -> int:
        """Append a copy of templates ``first`` to ``last`` for ``op``; return its first task.

        Needs move along: what a task needs lies as far before its copy as before itself.
        ``swaps`` gives the resources that the copy uses in place of others. Links are not copied.
        """
        begin = self._size
        by = begin - self._templates[first].loop.first
        for template in self._templates[first : last + 1]:
            uses = template.uses
            if swaps:
                uses = tuple([tuple([swaps.get(use, use) for use in each]) for each in uses])
            self._append(_moved(template, op, by, uses))
        return begin

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

        Raises:
            PlanError: ``first`` lies inside a loop.
        """
        begin = sum(template.loop.first < first for template in self._templates)
        own, size = self._templates[begin:], self._size - first
        if size and (not own or own[0].loop.first != first):
            raise PlanError(f"task {first} is not the first one of a loop; only loops are copied")
        other = [
            [j for j, step in enumerate(each.steps) if (each.op, step.action) in uses]
            for each in own
        ]
        for copy in range(times):
            for template, places in zip(own, other, strict=True):
                held = [*template.uses]
                for j in places:
                    held[j] = uses[template.op, template.steps[j].action][copy]
                name = ops[template.op][copy]
                self._append(_moved(template, name, (copy + 1) * size, tuple(held)))
        shift = (1 + np.arange(times, dtype=np.int64))[:, None] * size
        for users, sources in list(self._links):
            inside = users >= first
            if inside.any():
                self.link(
                    (users[inside] + shift).reshape(-1), (sources[inside] + shift).reshape(-1)
                )

    def _append(self, template: Template) -> Loop:
        self._templates.append(template)
        self._size += template.loop.size * template.loop.count
        return template.loop

    def outline(self) -> Outline:
        """Return the templates so far, without laying them out."""
        return Outline(self.resources, tuple(self._templates), tuple(self._links))

    def build(self) -> Plan:
        """Return the plan laid out so far."""
        return self.outline().expand()


def _moved(template: Template, op: str, by: int, uses: tuple[tuple[int, ...], ...]) -> Template:
    """Return a copy ``by`` tasks later."""
    loop = template.loop
    return Template(
        op,
        Loop(loop.first + by, loop.size, loop.count),
        template.steps,
        uses,
        template.shift + by,
        template.batches,
        template.first_item,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """The tasks of a template as columns, and of all that only differ from it in place."""

    shift: int
    duration: Ints
    action: Ints
    item: Ints
    uses: Ints
    """How many resources each task uses."""
    slot: Ints
    """Which one of the resources of its template, counted over all steps, each use is."""
    needs: Ints
    """How many needs each task has."""
    need: Ints
    room: Bools


def _laid_out(templates: Sequence[Template], actions: _Names) -> list[_Laid]:
    """Return the columns of each template; copies share them."""
    known: dict[tuple[object, ...], _Laid] = {}
    laid = []
    for t in templates:
        lengths = tuple(map(len, t.uses))
        place = t.loop.first - t.shift
        key = (id(t.steps), place, t.loop.count, lengths, t.batches, t.first_item)
        if key not in known:
            known[key] = _lay_out(t, lengths, actions)
        laid.append(known[key])
    return laid


def _lay_out(template: Template, lengths: Sequence[int], actions: _Names) -> _Laid:
    """Return the tasks of a template as columns."""
    loop, steps, count = template.loop, template.steps, template.loop.count
    durations = np.empty((count, loop.size), np.int64)
    for j, step in enumerate(steps):
        each = step.duration_ps
        durations[:, j] = each.each(count) if isinstance(each, Mostly) else each
    numbers = [actions.index(step.action) for step in steps]
    tasks = durations.size
    needs, need, room = _needs(template)
    return _Laid(
        template.shift,
        durations.reshape(-1),
        np.array(numbers * count, np.int64),
        template.first_item + np.arange(tasks) // max(1, loop.size // template.batches),
        np.array(list(lengths) * count, np.int64),
        np.tile(np.arange(sum(lengths)), count),
        needs,
        need,
        room,
    )


def _needs(template: Template) -> tuple[Ints, Ints, Bools]:
    """Return how many needs each task has, their sources, and whether they are for room."""
    loop, pattern = template.loop, []
    for j, step in enumerate(template.steps):
        for need in step.needs:
            if isinstance(need, Within):
                source = loop.first + need.step - need.back * loop.size
                pattern.append((j, source, loop.size, need.back, need.room))
            else:
                pattern.append((j, need.base + template.shift, need.stride, 0, need.room))
    place, base, stride, least, room = np.array(pattern, np.int64).reshape(-1, 5).T
    iteration = np.arange(loop.count, dtype=np.int64)[:, None]
    kept = iteration >= least
    user = (iteration * loop.size + place)[kept]
    needs = np.bincount(user, minlength=loop.size * loop.count)
    rooms = np.broadcast_to(room.astype(np.bool_), kept.shape)
    return needs, (base + stride * iteration)[kept], rooms[kept]


def _used(templates: Sequence[Template], slots: Sequence[Ints]) -> Ints:
    """Return the resources of all tasks, from which of their template's each use is."""
    flat = [list(chain.from_iterable(template.uses)) for template in templates]
    before = np.cumsum([0, *map(len, flat)])[:-1]
    used = np.array(list(chain.from_iterable(flat)), np.int64)
    return used[_joined(slots, before.tolist())]


def _linked(
    needs: Ints, need: Ints, room: Bools, links: Sequence[tuple[Ints, Ints]]
) -> tuple[Ints, Ints, Bools]:
    """Return the needs of all tasks with those of links behind the others."""
    users, sources = (np.concatenate(column) for column in zip(*links, strict=True))
    user = np.concatenate((np.repeat(np.arange(len(needs)), needs), users))
    by_user = np.argsort(user, kind="stable")
    rooms = np.concatenate((room, np.zeros(len(users), np.bool_)))
    count = needs + np.bincount(users, minlength=len(needs))
    return count, np.concatenate((need, sources))[by_user], rooms[by_user]


def _joined(parts: Sequence[Ints], add: Sequence[int] = ()) -> Ints:
    """Return the parts one behind the other, with a number added to each."""
    joined: Ints = np.concatenate([*parts, np.empty(0, np.int64)])
    if any(add):
        joined += np.repeat(np.array(add, np.int64), [len(part) for part in parts])
    return joined


def _offsets(lengths: Ints) -> Ints:
    """Return where the list of each owner begins, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


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


_FEW = 4
"""How far apart the items of an owner are compared one by one; longer lists are sorted."""
