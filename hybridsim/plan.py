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
is blocked (no room downstream) from one that is starved (no data yet).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

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
    """One duration for all iterations but the last one [ps]."""

    usual: int
    last: int

    def each(self, count: int) -> Ints:
        """Return the duration of each of ``count`` iterations, the last one included."""
        durations = np.full(count, self.usual, np.int64)
        durations[count - 1 :] = self.last
        return durations


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a template that :meth:`PlanBuilder.repeat` lays out once per iteration."""

    action: str
    """What is done, as in ``mvm`` or ``load x``."""
    uses: tuple[int, ...]
    """Resources held, as indices into :attr:`Plan.resources`."""
    duration_ps: int | Ints | Mostly
    """One duration for all iterations, one for all but the last, or one each [ps]."""
    needs: tuple[Need | Within, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Steps that repeat, before they are laid out as tasks."""

    op: str
    loop: Loop
    steps: tuple[Step, ...]
    shift: int = 0
    """How far the sources of :class:`Need` lie behind those that the steps name."""
    swaps: Mapping[int, int] = field(default_factory=dict)
    """Resources to use in place of those that the steps name."""


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
        pairs = np.sort(holder * (len(self.resources) + 1) + self.use)
        if (pairs[1:] == pairs[:-1]).any():
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


@dataclass(frozen=True, slots=True)
class Outline:
    """A plan before its iterations are laid out: as large as its templates, however long."""

    resources: tuple[Resource, ...]
    templates: tuple[Template, ...]

    def __len__(self) -> int:
        """Return the number of tasks of the whole plan."""
        return sum(template.loop.size * template.loop.count for template in self.templates)

    def expand(self) -> Plan:
        """Return the plan with every iteration laid out; equal steps are laid out once."""
        ops, actions = _Names(), _Names()
        distinct: dict[tuple[int, int], _Laid] = {}
        laid = []
        for template in self.templates:
            key = (id(template.steps), template.loop.count)
            if key not in distinct:
                distinct[key] = _lay_out(template, actions)
            laid.append(distinct[key])
        moved = [t.shift - like.shift for t, like in zip(self.templates, laid, strict=True)]
        op = np.array([ops.index(template.op) for template in self.templates], np.int64)
        return Plan(
            resources=self.resources,
            duration=_joined([one.duration for one in laid]),
            use_first=_offsets(_joined([one.holder for one in laid], moved), len(self)),
            use=_joined([one.used(t) for t, one in zip(self.templates, laid, strict=True)]),
            need_first=_offsets(_joined([one.user for one in laid], moved), len(self)),
            need=_joined([one.need for one in laid], moved),
            room=np.concatenate([*(one.room for one in laid), np.empty(0, np.bool_)]),
            op=np.repeat(op, [len(one.duration) for one in laid]),
            action=_joined([one.action for one in laid]),
            item=_joined([one.item for one in laid]),
            ops=tuple(ops),
            actions=tuple(actions),
            loops=tuple(template.loop for template in self.templates),
        )


@dataclass
class PlanBuilder:
    """Lays templates out into the columns of a plan, in the order in which they are given."""

    resources: tuple[Resource, ...]
    _templates: list[Template] = field(default_factory=list)
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

    def repeat(self, op: str, steps: Sequence[Step], count: int) -> Loop:
        """Append ``steps`` ``count`` times, iteration by iteration, and return where they are.

        A :class:`Within` need that reaches back before the first iteration is dropped.

        Raises:
            PlanError: A :class:`Within` need names a step that the template does not have.
        """
        for step in steps:
            for need in step.needs:
                if isinstance(need, Within) and not 0 <= need.step < len(steps):
                    raise PlanError(
                        f"{step.action}: needs step {need.step} of a loop of {len(steps)} steps"
                    )
        return self._append(Template(op, Loop(self._size, len(steps), count), tuple(steps)))

    def stamp(self, first: int, last: int, op: str, swaps: Mapping[int, int]) -> Loop:
        """Append a copy of templates ``first`` to ``last``, and return where the last one is.

        The copy belongs to ``op``. It needs what lies as far before it as what the original
        needs lies before that, and uses the resources of ``swaps`` in place of their keys.
        """
        distance = self._size - self._templates[first].loop.first
        for template in self._templates[first : last + 1]:
            old = template.loop
            self._append(
                Template(
                    op,
                    Loop(old.first + distance, old.size, old.count),
                    template.steps,
                    template.shift + distance,
                    {**swaps, **{old: swaps.get(new, new) for old, new in template.swaps.items()}},
                )
            )
        return self._templates[-1].loop

    def _append(self, template: Template) -> Loop:
        self._templates.append(template)
        self._size += template.loop.size * template.loop.count
        return template.loop

    def outline(self) -> Outline:
        """Return the templates so far, without laying them out."""
        return Outline(self.resources, tuple(self._templates))

    def build(self) -> Plan:
        """Return the plan laid out so far."""
        return self.outline().expand()


def _joined(parts: Sequence[Ints], add: Sequence[int] | None = None) -> Ints:
    """Return the parts one behind the other, with a number added to each."""
    joined: Ints = np.concatenate([*parts, np.empty(0, np.int64)])
    if add is not None:
        joined += np.repeat(np.array(add, np.int64), [len(part) for part in parts])
    return joined


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """The tasks of a template as columns, without its swaps."""

    shift: int
    duration: Ints
    action: Ints
    item: Ints
    holder: Ints
    use: Ints
    user: Ints
    need: Ints
    room: Bools

    def used(self, template: Template) -> Ints:
        """Return the resources that a template with the same steps uses."""
        if not template.swaps:
            return self.use
        use = self.use.copy()
        for old, new in template.swaps.items():
            use[self.use == old] = new
        return use


def _lay_out(template: Template, actions: _Names) -> _Laid:
    """Return the tasks of a template, without its swaps."""
    loop, steps, count = template.loop, template.steps, template.loop.count
    iteration = np.arange(count, dtype=np.int64)[:, None]
    durations = np.empty((count, loop.size), np.int64)
    for j, step in enumerate(steps):
        each = step.duration_ps
        durations[:, j] = each.each(count) if isinstance(each, Mostly) else each
    numbers = [actions.index(step.action) for step in steps]
    users = [(j, use) for j, step in enumerate(steps) for use in step.uses]
    place, use = np.array(users, np.int64).reshape(-1, 2).T
    holder = loop.first + iteration * loop.size + place
    return _Laid(
        template.shift,
        durations.reshape(-1),
        np.array(numbers * count, np.int64),
        np.repeat(iteration, loop.size),
        holder.reshape(-1),
        np.tile(use, count),
        *_needs(template, iteration),
    )


def _needs(template: Template, iteration: Ints) -> tuple[Ints, Ints, Bools]:
    """Return the needs of a template: user, source and whether it is for room."""
    loop, pattern = template.loop, []
    for j, step in enumerate(template.steps):
        for need in step.needs:
            if isinstance(need, Within):
                source = loop.first + need.step - need.back * loop.size
                pattern.append((j, source, loop.size, need.back, need.room))
            else:
                pattern.append((j, need.base + template.shift, need.stride, 0, need.room))
    place, base, stride, least, room = np.array(pattern, np.int64).reshape(-1, 5).T
    kept = iteration >= least
    user = loop.first + iteration * loop.size + place
    rooms = np.broadcast_to(room.astype(np.bool_), kept.shape)
    return user[kept], (base + stride * iteration)[kept], rooms[kept]


def _offsets(owner: Ints, size: int) -> Ints:
    """Return where the list of each of ``size`` owners begins, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=size)))).astype(np.int64)
