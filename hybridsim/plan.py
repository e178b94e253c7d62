"""What the engines execute and what they return: plain columns, no behaviour.

A plan says what is done, and knows no time: *tasks*, each of one *work*, the *resources* they hold
while they run, and the *needs* between them. A machine prices the works (:mod:`hybridsim.work`);
with the times of the works an engine turns a plan into a timeline.

The execution rule, which every engine obeys to the picosecond:

1.  A task becomes *ready* at the instant its last need has ended; one that needs nothing is
    ready at 0.
2.  At each instant all completions come first: every task that ends now gives back its units,
    and the tasks that waited for it become ready.
3.  Then the ready tasks that have not started are visited once, in plan order. A task starts now
    if each resource it uses has a free unit, and takes one unit of each; otherwise it takes
    nothing, and does not stand in the way of the tasks after it.
4.  A started task runs for the whole time of its work, at least 1 ps, and is never interrupted.

So a task that uses several resources (a transfer holds a DMA engine and a link) takes all of them
or none, and a task that uses none is a delay. A resource that is shared fairly is shared by
cutting long work into several tasks (bursts): the rule itself has no time slices.

A buffer is an edge, not a resource: with room for *d* batches between a producer and a consumer,
batch *b* of the producer needs batch *b - d* of the consumer. Such an edge is a *room* need, all
others are *data* needs. Engines treat them alike; metrics use the difference to tell a task that
is blocked (no room downstream) from one that is starved (no data yet). A strategy that reserves
resources ahead of time fixes who goes first by *order* needs: such a task waits for its turn.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import PlanError
from hybridsim.units import Ints
from hybridsim.work import MOST_PS, Work

Bools = NDArray[np.bool_]
T = TypeVar("T", bound=Hashable)


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
    """One work for all iterations, but for a few at the beginning and at the end."""

    usual: Work
    last: tuple[Work, ...] = ()
    """Works of the last iterations."""
    first: tuple[Work, ...] = ()
    """Works of the first iterations."""

    def each(self, count: int, number: Callable[[Work], int]) -> Ints:
        """Return the numbers of the works of all of ``count`` iterations.

        Raises:
            PlanError: There are fewer iterations than works of the first and the last ones.
        """
        if len(self.first) + len(self.last) > count:
            raise PlanError(
                f"{len(self.first)} first and {len(self.last)} last works are more than the "
                f"{count} iterations of the loop"
            )
        usual = number(self.usual) if len(self.first) + len(self.last) < count else 0
        works = np.full(count, usual, np.int64)
        works[: len(self.first)] = [number(work) for work in self.first]
        works[count - len(self.last) :] = [number(work) for work in self.last]
        return works

    def part(self, start: int, stop: int, step: int, count: int) -> "Mostly":
        """Return the works of the iterations ``range(start, stop, step)`` of ``count``."""
        tail = count - len(self.last)
        begin = start + step * max(0, -((start - tail) // step))
        last = tuple(self.last[i - tail] for i in range(begin, stop, step))
        return Mostly(self.usual, last, self.first[start:stop:step])


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a template that :meth:`PlanBuilder.repeat` lays out once per iteration."""

    work: Work | Mostly | tuple[Work, ...]
    """What is done: one work for all iterations, one for most of them, or one each."""
    uses: tuple[int, ...]
    """Resources held, as indices into :attr:`Plan.resources`."""
    needs: tuple[Need | Within, ...] = ()

    @property
    def label(self) -> str:
        """What people read, of the first iteration."""
        return self._usual.label

    @property
    def kind(self) -> str:
        """What the part knows it as."""
        return self._usual.kind

    @property
    def _usual(self) -> Work:
        if isinstance(self.work, Mostly):
            return self.work.usual
        return self.work if isinstance(self.work, Work) else self.work[0]


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


@dataclass(frozen=True, eq=False)
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
    loops: tuple[Loop, ...] = ()
    """Where the plan repeats itself; together they cover all tasks, in order."""
    order: Bools | None = None
    """Whether each need only fixes whose turn it is, in the order of :attr:`need`; None: none."""

    def __post_init__(self) -> None:
        tasks = np.arange(len(self.work))
        if ((self.work < 0) | (self.work >= len(self.works))).any():
            raise PlanError("a task does a work that the plan does not have")
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
            PlanError: All tasks together last 2^62 ps or more.
        """
        found: Ints = time_ps[self.work]
        check_total(found.sum(dtype=np.float64))
        return found

    def needs_of(self, task: int) -> Ints:
        """Return the tasks that must have ended before ``task`` is ready."""
        return self.need[self.need_first[task] : self.need_first[task + 1]]

    def uses_of(self, task: int) -> Ints:
        """Return the resources that ``task`` holds while it runs."""
        return self.use[self.use_first[task] : self.use_first[task + 1]]


def check_total(total_ps: float) -> None:
    """Refuse tasks that together last so long that their ends might not fit 64 bits.

    Raises:
        PlanError: They last 2^62 ps or more.
    """
    if total_ps >= MOST_PS:
        raise PlanError("the tasks last 2^62 ps (53 days) or more; ends might not fit 64 bits")


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

    @property
    def duration(self) -> Ints:
        """How long each task ran [ps]."""
        return self.end - self.start


class _Numbers(Generic[T]):
    """Things in the order of their first use, each with its number."""

    def __init__(self) -> None:
        self._number: dict[T, int] = {}

    def of(self, thing: T) -> int:
        return self._number.setdefault(thing, len(self._number))

    def __iter__(self) -> Iterator[T]:
        return iter(self._number)


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

    @property
    def works(self) -> tuple[Work, ...]:
        """What is done, each once."""
        steps = {id(template.steps): template.steps for template in self.templates}.values()
        found: dict[Work, None] = {}
        for step in chain.from_iterable(steps):
            work = step.work
            if isinstance(work, Mostly):
                found |= dict.fromkeys((work.usual, *work.last, *work.first))
            else:
                found |= dict.fromkeys((work,) if isinstance(work, Work) else work)
        return tuple(found)

    def expand(self) -> Plan:
        """Return the plan with every iteration laid out.

        Raises:
            PlanError: As :class:`Plan`.
        """
        templates, ops, works = self.templates, _Numbers[str](), _Numbers[Work]()
        laid = _laid_out(templates, works)
        moved = [t.shift - one.shift for t, one in zip(templates, laid, strict=True)]
        op = np.array([ops.of(template.op) for template in templates], np.int64)
        needs = _joined([one.needs for one in laid])
        need, rooms = _joined([one.need for one in laid], moved), [one.room for one in laid]
        room = np.concatenate([*rooms, np.empty(0, np.bool_)])
        if self.links:
            needs, need, room = _linked(needs, need, room, self.links)
        return Plan(
            resources=self.resources,
            works=tuple(works),
            work=_joined([one.work for one in laid]),
            use_first=_offsets(_joined([one.uses for one in laid])),
            use=_used(templates, [one.slot for one in laid]),
            need_first=_offsets(needs),
            need=need,
            room=room,
            op=np.repeat(op, [len(one.work) for one in laid]),
            item=_joined([one.item for one in laid]),
            ops=tuple(ops),
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
        work: Work,
        uses: Sequence[int],
        needs: Sequence[int] = (),
        rooms: Sequence[int] = (),
    ) -> int:
        """Append one task and return its index; ``needs`` and ``rooms`` are earlier tasks."""
        after = [Need(n) for n in needs] + [Need(n, room=True) for n in rooms]
        return self.repeat(op, [Step(work, tuple(uses), tuple(after))], 1).first

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
                        f"{step.label}: needs step {need.step} of a loop of {size} steps"
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
        gives each op its names in the copies; ``uses`` gives (op, kind of work) the resources of
        each copy, where they are not those of the template.

        Raises:
            PlanError: ``first`` lies inside a loop.
        """
        begin = sum(template.loop.first < first for template in self._templates)
        own, size = self._templates[begin:], self._size - first
        if size and (not own or own[0].loop.first != first):
            raise PlanError(f"task {first} is not the first one of a loop; only loops are copied")
        other = [
            [j for j, step in enumerate(each.steps) if (each.op, step.kind) in uses]
            for each in own
        ]
        for copy in range(times):
            for template, places in zip(own, other, strict=True):
                held = [*template.uses]
                for j in places:
                    held[j] = uses[template.op, template.steps[j].kind][copy]
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
    work: Ints
    item: Ints
    uses: Ints
    """How many resources each task uses."""
    slot: Ints
    """Which one of the resources of its template, counted over all steps, each use is."""
    needs: Ints
    """How many needs each task has."""
    need: Ints
    room: Bools


def _laid_out(templates: Sequence[Template], works: _Numbers[Work]) -> list[_Laid]:
    """Return the columns of each template; copies share them."""
    known: dict[tuple[object, ...], _Laid] = {}
    laid = []
    for t in templates:
        lengths = tuple(map(len, t.uses))
        place = t.loop.first - t.shift
        key = (id(t.steps), place, t.loop.count, lengths, t.batches, t.first_item)
        if key not in known:
            known[key] = _lay_out(t, lengths, works)
        laid.append(known[key])
    return laid


def _lay_out(template: Template, lengths: Sequence[int], works: _Numbers[Work]) -> _Laid:
    """Return the tasks of a template as columns."""
    loop, steps, count = template.loop, template.steps, template.loop.count
    numbers = np.empty((count, loop.size), np.int64)
    for j, step in enumerate(steps):
        numbers[:, j] = _numbered(step.work, count, works)
    tasks = numbers.size
    needs, need, room = _needs(template)
    return _Laid(
        template.shift,
        numbers.reshape(-1),
        template.first_item + np.arange(tasks) // max(1, loop.size // template.batches),
        np.array(list(lengths) * count, np.int64),
        np.tile(np.arange(sum(lengths)), count),
        needs,
        need,
        room,
    )


def _numbered(
    work: Work | Mostly | tuple[Work, ...], count: int, works: _Numbers[Work]
) -> int | Ints | list[int]:
    """Return the numbers of the works of all iterations of a step."""
    if isinstance(work, Work):
        return works.of(work)
    if isinstance(work, Mostly):
        return work.each(count, works.of)
    # iterations share few works, mostly the very same objects
    known = {id(each): works.of(each) for each in {id(one): one for one in work}.values()}
    return [known[id(each)] for each in work]


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
