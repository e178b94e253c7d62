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
from itertools import chain, groupby
from typing import Any, Generic, TypeVar

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
        self._same: dict[int, tuple[T, int]] = {}

    def of(self, thing: T) -> int:
        # the very same thing comes often, and a work within works takes long to hash; what is
        # remembered by its identity is kept, so that no other one can get that
        known = self._same.get(id(thing))
        if known is None:
            known = self._same[id(thing)] = (
                thing,
                self._number.setdefault(thing, len(self._number)),
            )
        return known[1]

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
        return _Expansion(self.resources, self.links).plan([self.templates])


@dataclass(frozen=True, slots=True, eq=False)
class _Copies:
    """Templates that lie behind each other, once more and once more, each time ``size`` later."""

    own: Sequence[Template]
    ops: Sequence[Sequence[str]]
    """For each template the op of each copy."""
    uses: Mapping[tuple[int, int], Sequence[tuple[int, ...]]]
    """(template, step) -> what each copy of the step uses, where that is something else."""
    times: int
    size: int

    def __len__(self) -> int:
        """Return how many templates the copies have."""
        return self.times * len(self.own)

    def __iter__(self) -> Iterator[Template]:
        """Yield the templates of all copies, copy by copy."""
        for copy in range(self.times):
            for number, template in enumerate(self.own):
                held = [*template.uses]
                for j in range(len(held)):
                    if (number, j) in self.uses:
                        held[j] = self.uses[number, j][copy]
                by = (copy + 1) * self.size
                yield _moved(template, self.ops[number][copy], by, tuple(held))

    @property
    def regular(self) -> bool:
        """Whether each copy of a step uses as many resources as the step."""
        return all(
            len(each) == len(self.own[number].uses[j])
            for (number, j), all_uses in self.uses.items()
            for each in all_uses
        )


@dataclass
class PlanBuilder:
    """Collects the templates of a plan, in the order in which they are given."""

    resources: tuple[Resource, ...]
    _parts: "list[list[Template] | _Copies]" = field(default_factory=lambda: [[]])
    """Templates, and copies of some of them that lie behind those."""
    _links: list[tuple[Ints, Ints]] = field(default_factory=list)
    _size: int = 0

    def __len__(self) -> int:
        """Return the number of tasks so far, which is the index of the next one."""
        return self._size

    @property
    def templates(self) -> int:
        """How many templates there are so far, which is the index of the next one."""
        return sum(map(len, self._parts))

    @property
    def _templates(self) -> list[Template]:
        """All templates, those of copies as well."""
        return list(chain.from_iterable(self._parts))

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
        templates = self._templates
        by = begin - templates[first].loop.first
        for template in templates[first : last + 1]:
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
        templates = self._templates
        begin = sum(template.loop.first < first for template in templates)
        own, size = templates[begin:], self._size - first
        if size and (not own or own[0].loop.first != first):
            raise PlanError(f"task {first} is not the first one of a loop; only loops are copied")
        other = {
            (number, j): uses[each.op, step.kind]
            for number, each in enumerate(own)
            for j, step in enumerate(each.steps)
            if (each.op, step.kind) in uses
        }
        if times and own:
            names = [ops[each.op] for each in own]
            self._parts += [_Copies(own, names, other, times, size), []]
            self._size += times * size
        shift = (1 + np.arange(times, dtype=np.int64))[:, None] * size
        for users, sources in list(self._links):
            inside = users >= first
            if inside.any():
                self.link(
                    (users[inside] + shift).reshape(-1), (sources[inside] + shift).reshape(-1)
                )

    def _append(self, template: Template) -> Loop:
        last = self._parts[-1]
        assert isinstance(last, list)  # copies are always followed by a list
        last.append(template)
        self._size += template.loop.size * template.loop.count
        return template.loop

    def outline(self) -> Outline:
        """Return the templates so far, without laying them out."""
        return Outline(self.resources, tuple(self._templates), tuple(self._links))

    def build(self) -> Plan:
        """Return the plan laid out so far; copies as columns beside each other."""
        return _Expansion(self.resources, tuple(self._links)).plan(self._parts)


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
class _Columns:
    """The tasks of some templates, one behind the other; the columns of a plan."""

    work: Ints
    item: Ints
    uses: Ints
    use: Ints
    needs: Ints
    need: Ints
    room: Bools
    op: Ints
    loops: Sequence[Loop]


_LISTS = ("work", "item", "uses", "use", "needs", "need", "room", "op")
"""The columns of templates that are joined."""


class _Each:
    """One work for each iteration."""

    def __init__(self, works: tuple[Work, ...]) -> None:
        self._works = works

    def each(self, count: int, number: Callable[[Work], int]) -> Ints:
        """Return the numbers of the works of all iterations."""
        return np.array([number(work) for work in self._works], np.int64)


class _Expansion:
    """A plan in the making: templates become columns, and copies of them copied columns."""

    def __init__(
        self, resources: tuple[Resource, ...], links: Sequence[tuple[Ints, Ints]]
    ) -> None:
        self._resources, self._links = resources, links
        self._ops, self._works = _Numbers[str](), _Numbers[Work]()
        self._known: dict[int, tuple[tuple[Step, ...], _Pattern]] = {}

    def plan(self, parts: Sequence[Sequence[Template] | _Copies]) -> Plan:
        """Return the plan of all parts, in order."""
        columns = [each for part in parts if len(part) for each in self._columns(part)]
        loops = tuple(chain.from_iterable(each.loops for each in columns))
        # column by column, and its parts given up, so that no other one is there twice
        held = {name: [getattr(each, name) for each in columns] for name in _LISTS}
        del columns
        needs, need, room = (
            _joined(held.pop("needs")),
            _joined(held.pop("need")),
            _joined(held.pop("room"), np.bool_),
        )
        if self._links:
            needs, need, room = _linked(needs, need, room, self._links)
        return Plan(
            resources=self._resources,
            works=tuple(self._works),
            need_first=_offsets(needs),
            need=need,
            room=room,
            use_first=_offsets(_joined(held.pop("uses"))),
            use=_joined(held.pop("use")),
            work=_joined(held.pop("work")),
            op=_joined(held.pop("op")),
            item=_joined(held.pop("item")),
            ops=tuple(self._ops),
            loops=loops,
        )

    def _columns(self, part: Sequence[Template] | _Copies) -> Iterator[_Columns]:
        """Yield the columns of a part: long templates one by one, others side by side."""
        if isinstance(part, _Copies) and part.regular:
            yield self._copies(part)
            return
        for long, templates in groupby(part, lambda t: t.loop.size * t.loop.count >= _LONG):
            if long:
                yield from map(self._template, templates)
            else:
                yield self._templates([*templates])

    def _template(self, template: Template) -> _Columns:
        """Return the columns of one template: mostly the same again and again.

        Nothing but the columns is as long as the plan: to touch memory takes most of the time.
        """
        pattern, loop = self._pattern(template.steps), template.loop
        count, size = loop.count, loop.size
        work = np.tile(pattern.work, count)
        for j, own in pattern.others:
            work[j::size] = own.each(count, self._works.of)
        per_batch = max(1, size // template.batches)
        batches = template.first_item + np.arange(-(-size * count // per_batch))
        needs, need, room = _needs_of_one(template, pattern)
        lengths = np.array([len(held) for held in template.uses], np.int32)
        return _Columns(
            work=work,
            item=np.repeat(batches, per_batch)[: size * count],
            uses=np.tile(lengths, count),
            use=np.tile(np.array([*chain.from_iterable(template.uses)], np.int64), count),
            needs=needs,
            need=need,
            room=room,
            op=np.full(size * count, self._ops.of(template.op), np.int64),
            loops=[loop],
        )

    def _templates(self, templates: Sequence[Template]) -> _Columns:
        """Return the columns of templates, all of them side by side.

        ``at`` is a template, ``it`` one of its iterations, ``step`` a step of any template.
        """
        patterns = [self._pattern(template.steps) for template in templates]
        loops = np.array([(t.loop.first, t.loop.size, t.loop.count) for t in templates], np.int64)
        first, size, count = loops.T
        tasks = size * count
        begin = np.cumsum(tasks) - tasks
        at = np.repeat(np.arange(len(templates)), tasks)
        place = np.arange(len(at)) - begin[at]
        step = (np.cumsum(size) - size)[at] + place % size[at]
        work = np.concatenate([pattern.work for pattern in patterns])[step]
        for number, pattern in enumerate(patterns):
            for j, own in pattern.others:
                end = begin[number] + tasks[number]
                work[begin[number] + j : end : size[number]] = own.each(
                    templates[number].loop.count, self._works.of
                )
        used = [held for template in templates for held in template.uses]
        uses, use = _gathered(used, step)
        needs, need, room = _needs(templates, patterns, first, size, count, step)
        per_batch = np.array([max(1, t.loop.size // t.batches) for t in templates], np.int64)
        items = np.array([t.first_item for t in templates], np.int64)
        op = np.array([self._ops.of(template.op) for template in templates], np.int64)
        return _Columns(
            work=work,
            item=items[at] + place // per_batch[at],
            uses=uses,
            use=use,
            needs=needs,
            need=need,
            room=room,
            op=op[at],
            loops=[template.loop for template in templates],
        )

    def _pattern(self, steps: tuple[Step, ...]) -> "_Pattern":
        """Return what some steps do and need; copies of a template have the very same steps."""
        known = self._known.get(id(steps))
        if known is None:
            known = self._known[id(steps)] = steps, _Pattern.of(steps, self._works)
        return known[1]

    def _copies(self, copies: _Copies) -> _Columns:
        """Return the columns of all copies: those of their templates, tiled."""
        own, times = self._templates(copies.own), copies.times
        shift = (1 + np.arange(times, dtype=np.int64)) * copies.size
        sizes = [template.loop.size * template.loop.count for template in copies.own]
        op = np.array(
            [[self._ops.of(names[copy]) for names in copies.ops] for copy in range(times)]
        )
        use = np.tile(own.use, (times, 1))
        for (number, j), others in copies.uses.items():
            places = _places_of(copies.own[number], j, own, sum(sizes[:number]))
            use[:, places] = np.tile(np.array(others, np.int64), copies.own[number].loop.count)
        return _Columns(
            work=np.tile(own.work, times),
            item=np.tile(own.item, times),
            uses=np.tile(own.uses, times),
            use=use.reshape(-1),
            needs=np.tile(own.needs, times),
            need=(own.need + shift[:, None]).reshape(-1),
            room=np.tile(own.room, times),
            op=np.repeat(op, sizes, axis=1).reshape(-1),
            loops=[
                Loop(loop.first + by, loop.size, loop.count)
                for by in shift.tolist()
                for loop in own.loops
            ],
        )


def _places_of(template: Template, step: int, columns: _Columns, first: int) -> Ints:
    """Return where the uses of one step of a template are, whose tasks begin at ``first``."""
    begin = np.cumsum(columns.uses) - columns.uses
    tasks = first + step + template.loop.size * np.arange(template.loop.count)
    return (begin[tasks][:, None] + np.arange(len(template.uses[step]))).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class _Pattern:
    """What the steps of a template do and need in each iteration, wherever that lies."""

    work: Ints
    """The number of the usual work of each step."""
    others: "Sequence[tuple[int, Mostly | _Each]]"
    """Steps whose works are not the same in all iterations."""
    count: Ints
    """How many needs each step has."""
    need: Ints
    """Rows of source, stride, whether it is in the same loop, iterations back, room."""

    @classmethod
    def of(cls, steps: tuple[Step, ...], works: _Numbers[Work]) -> "_Pattern":
        """Return the pattern of some steps."""
        size = len(steps)
        usual, others = [0] * size, list[tuple[int, Mostly | _Each]]()
        for j, step in enumerate(steps):
            if isinstance(step.work, Work):
                usual[j] = works.of(step.work)
            else:
                own = _Each(step.work) if isinstance(step.work, tuple) else step.work
                others.append((j, own))
        rows = [
            (need.step - need.back * size, size, 1, need.back, need.room)
            if isinstance(need, Within)
            else (need.base, need.stride, 0, 0, need.room)
            for step in steps
            for need in step.needs
        ]
        return cls(
            np.array(usual, np.int64),
            others,
            np.array([len(step.needs) for step in steps], np.int64),
            np.array(rows, np.int64).reshape(-1, 5),
        )


def _needs_of_one(template: Template, pattern: "_Pattern") -> tuple[Ints, Ints, Bools]:
    """Return how many needs each task of a template has, their sources, whether for room.

    Only the first iterations need less than the others, as nothing lies before them.
    """
    first, size, count = template.loop.first, template.loop.size, template.loop.count
    base, stride, within, back, room = pattern.need.T
    base, rooms = base + np.where(within == 1, first, template.shift), room.astype(np.bool_)
    early = min(count, int(back.max(initial=0)))
    it = np.arange(early)[:, None]
    kept = it >= back
    user = it * size + np.repeat(np.arange(size), pattern.count)
    few = np.bincount(user[kept], minlength=early * size)
    begin, length = int(kept.sum()), (count - early) * len(base)
    need = np.empty(begin + length, np.int64)
    need[:begin] = (base + stride * it)[kept]
    later = need[begin:].reshape(count - early, len(base))
    np.multiply(np.arange(early, count)[:, None], stride, out=later)
    later += base
    head = np.broadcast_to(rooms, kept.shape)[kept]
    usual = pattern.count.astype(np.int32)
    return (
        np.concatenate((few.astype(np.int32), np.tile(usual, count - early))),
        need,
        np.concatenate((head, np.tile(rooms, count - early))),
    )


def _needs(
    templates: Sequence[Template],
    patterns: Sequence[_Pattern],
    first: Ints,
    size: Ints,
    count: Ints,
    step: Ints,
) -> tuple[Ints, Ints, Bools]:
    """Return how many needs each task has, their sources, and whether they are for room.

    Each row of a pattern is one need of each iteration; those that reach back before the first
    iteration are dropped at the end.
    """
    rows = np.concatenate([pattern.need for pattern in patterns])
    base, stride, within, back, room = rows.T
    of_step = np.concatenate([pattern.count for pattern in patterns])
    lengths = np.array([len(pattern.need) for pattern in patterns], np.int64)
    at = np.repeat(np.arange(len(patterns)), lengths)  # the template of each row
    shift = np.array([template.shift for template in templates], np.int64)
    base = base + np.where(within == 1, first[at], shift[at])
    index = np.arange(len(rows)) - (np.cumsum(lengths) - lengths)[at]
    row = np.repeat(np.arange(len(rows)), count[at])
    it = np.arange(len(row)) - np.repeat(np.cumsum(count[at]) - count[at], count[at])
    begin = np.cumsum(lengths * count) - lengths * count
    # needs lie task by task, so iteration by iteration
    place = begin[at[row]] + it * lengths[at[row]] + index[row]
    need, rooms = np.empty(len(row), np.int64), np.empty(len(row), np.bool_)
    need[place], rooms[place] = base[row] + stride[row] * it, room[row]
    needs = of_step[step]
    dropped = place[it < back[row]]
    if len(dropped):
        kept = np.ones(len(need), np.bool_)
        kept[dropped] = False
        user = np.repeat(np.arange(len(needs)), needs)
        needs = needs - np.bincount(user[dropped], minlength=len(needs))
        need, rooms = need[kept], rooms[kept]
    return needs, need, rooms


def _gathered(lists: Sequence[tuple[int, ...]], which: Ints) -> tuple[Ints, Ints]:
    """Return the length of each chosen list, and the items of all of them."""
    length = np.array([len(each) for each in lists], np.int64)
    items = np.array(list(chain.from_iterable(lists)), np.int64)
    begin = np.cumsum(length) - length
    chosen = length[which]
    ends = np.cumsum(chosen)
    return chosen, items[
        np.repeat(begin[which] - (ends - chosen), chosen)
        + np.arange(int(ends[-1]) if len(ends) else 0)
    ]


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


def _joined(parts: Sequence[NDArray[Any]], of: type[np.generic] = np.int64) -> NDArray[Any]:
    """Return the parts one behind the other; a single one itself, as it may be long."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, of)


def _offsets(lengths: Ints) -> Ints:
    """Return where the list of each owner begins, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
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

_BLOCK = 1 << 16
"""Tasks that are checked at a time."""
_LONG = 1 << 12
"""Tasks of a template from which on it is laid out on its own."""
