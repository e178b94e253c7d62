"""Templates become the columns of a plan: long ones one by one, others side by side."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybridsim.errors import PlanError
from hybridsim.plan.columns import Bools, Loops, Plan, Resource
from hybridsim.plan.templates import Copies, Mostly, Need, Step, Template, Within
from hybridsim.records import record
from hybridsim.units import Ints
from hybridsim.work import Work

T = TypeVar("T", bound=Hashable)

_LONG = 1 << 12
"""Tasks of a template from which on it is laid out on its own."""


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

    def of_all(self, things: Sequence[T]) -> Ints:
        """Return the numbers of many things, with little to do where all of them are new."""
        first, number = len(self._number), self._number
        fresh = dict.fromkeys(things)
        if len(fresh) == len(things) and fresh.keys().isdisjoint(number):
            number.update(zip(things, range(first, first + len(things)), strict=True))
            return np.arange(first, len(number))
        return np.array([number.setdefault(thing, len(number)) for thing in things], np.int64)

    def __iter__(self) -> Iterator[T]:
        return iter(self._number)


@record(frozen=True, slots=True, eq=False)
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
    loop_rows: Ints

    def last(self, tasks: int, loops: int) -> "_Columns | None":
        """Return the last tasks, which are so many loops; None if there are not so many."""
        first = len(self.work) - tasks
        if first < 0:
            return None
        uses, needs = self.uses[first:], self.needs[first:]
        need = len(self.need) - int(needs.sum())
        return _Columns(
            work=self.work[first:],
            item=self.item[first:],
            uses=uses,
            use=self.use[len(self.use) - int(uses.sum()) :],
            needs=needs,
            need=self.need[need:],
            room=self.room[need:],
            op=self.op[first:],
            loop_rows=self.loop_rows[len(self.loop_rows) - loops :],
        )


_LISTS = ("work", "item", "uses", "use", "needs", "need", "room", "op", "loop_rows")
"""The columns of templates that are joined."""


_NO_LOOPS = np.empty((0, 3), np.int64)
_NO_WORK = Work("", "", "")
"""The usual work where there is none."""


class _Each(Mostly):
    """One work for each iteration."""

    __slots__ = ()

    @classmethod
    def of(cls, works: tuple[Work, ...]) -> "_Each":
        """Return what does these works in turn."""
        return cls(_NO_WORK, works)

    def is_usual(self, count: int) -> bool:
        """Return that no iteration does the usual work.

        Raises:
            PlanError: There are not as many works as iterations.
        """
        if len(self.last) != count:
            raise PlanError(f"{len(self.last)} works are given for {count} iterations of a loop")
        return False


class Expansion:
    """A plan in the making: templates become columns, and copies of them copied columns."""

    def __init__(
        self, resources: tuple[Resource, ...], links: Sequence[tuple[Ints, Ints]]
    ) -> None:
        self._resources, self._links = resources, links
        self._ops, self._works = _Numbers[str](), _Numbers[Work]()
        self._known: dict[int, tuple[tuple[Step, ...], _Pattern]] = {}

    def plan(self, parts: Sequence[Sequence[Template] | Copies]) -> Plan:
        """Return the plan of all parts, in order."""
        columns: list[_Columns] = []
        for part in parts:
            if isinstance(part, Copies) and part.regular:
                columns.append(self._copies(part, columns[-1]))
            elif len(part):
                columns += self._columns(part)
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
            loops=Loops(np.concatenate([_NO_LOOPS, *held.pop("loop_rows")])),
        )

    def _columns(self, part: Sequence[Template] | Copies) -> Iterator[_Columns]:
        """Yield the columns of a part: long templates one by one, others side by side."""
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
        work = np.tile(np.array(pattern.work, np.int64), count)
        for j, own in pattern.others:
            own.fill(work[j::size], self._works.of)
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
            loop_rows=np.array([(loop.first, loop.size, loop.count)], np.int64),
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
        work = self._work(templates, patterns, begin.tolist(), step)
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
            loop_rows=loops,
        )

    def _work(
        self,
        templates: Sequence[Template],
        patterns: "Sequence[_Pattern]",
        begin: Sequence[int],
        step: Ints,
    ) -> Ints:
        """Return what the tasks of templates do, which begin where it says: the usual works of
        their steps, and in one go all others."""
        usual = [*chain.from_iterable([pattern.work for pattern in patterns])]
        tasks, numbers, at, number = list[int](), list[int](), 0, self._works.of
        for template, pattern, first in zip(templates, patterns, begin, strict=True):
            size, count = template.loop.size, template.loop.count
            for j, own in pattern.others:
                if own.is_usual(count):
                    usual[at + j] = number(own.usual)
                for iteration, work in own.others(count):
                    tasks.append(first + j + iteration * size)
                    numbers.append(number(work))
            at += size
        found = np.array(usual, np.int64)[step]
        found[tasks] = numbers
        return found

    def _pattern(self, steps: tuple[Step, ...]) -> "_Pattern":
        """Return what some steps do and need; copies of a template have the very same steps."""
        known = self._known.get(id(steps))
        if known is None:
            known = self._known[id(steps)] = steps, _Pattern.of(steps, self._works)
        return known[1]

    def _copies(self, copies: Copies, before: _Columns) -> _Columns:
        """Return the columns of all copies: those of their templates, which lie before, tiled."""
        own, times = before.last(copies.size, len(copies.own)), copies.times
        own = own or self._templates(copies.own)
        shift = (1 + np.arange(times, dtype=np.int64)) * copies.size
        sizes = [template.loop.size * template.loop.count for template in copies.own]
        op = self._ops_of(copies)
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
            loop_rows=(own.loop_rows + shift[:, None, None] * (1, 0, 0)).reshape(-1, 3),
        )

    def _ops_of(self, copies: Copies) -> Ints:
        """Return the op of each template of each copy; templates of one op share their names."""
        column, first = dict[int, int](), list[Sequence[str]]()
        for names in copies.ops:
            if column.setdefault(id(names), len(first)) == len(first):
                first.append(names)
        by_copy = zip(*(names[: copies.times] for names in first), strict=True)
        numbers = self._ops.of_all([*chain.from_iterable(by_copy)])
        return numbers.reshape(copies.times, -1)[:, [column[id(names)] for names in copies.ops]]


def _places_of(template: Template, step: int, columns: _Columns, first: int) -> Ints:
    """Return where the uses of one step of a template are, whose tasks begin at ``first``."""
    begin = np.cumsum(columns.uses) - columns.uses
    tasks = first + step + template.loop.size * np.arange(template.loop.count)
    return (begin[tasks][:, None] + np.arange(len(template.uses[step]))).reshape(-1)


_Row = tuple[int, int, int, int, bool]
"""A need of a step: source, stride, whether it is in the same loop, iterations back, room."""


@dataclass(slots=True, eq=False)
class _Pattern:
    """What the steps of a template do and need in each iteration, wherever that lies.

    Lists, as those of many templates become one column: to make an array takes longer than to
    fill one that is as short.
    """

    work: list[int]
    """The number of the usual work of each step."""
    others: Sequence[tuple[int, Mostly]]
    """Steps whose works are not the same in all iterations."""
    count: list[int]
    """How many needs each step has."""
    rows: list[_Row]
    """What each of them is."""

    @classmethod
    def of(cls, steps: tuple[Step, ...], works: _Numbers[Work]) -> "_Pattern":
        """Return the pattern of some steps."""
        size = len(steps)
        usual, others = [0] * size, list[tuple[int, Mostly]]()
        rows, known = list[_Row](), dict[int, _Row]()
        for j, step in enumerate(steps):
            if isinstance(step.work, Work):
                usual[j] = works.of(step.work)
            else:
                own = _Each.of(step.work) if isinstance(step.work, tuple) else step.work
                others.append((j, own))
            for need in step.needs:
                row = known.get(id(need))  # pieces of a batch need the very same
                if row is None:
                    row = known[id(need)] = _row_of(need, size)
                rows.append(row)
        return cls(usual, others, [len(step.needs) for step in steps], rows)


def _numbers(parts: Sequence[Sequence[int]]) -> Ints:
    """Return lists one behind the other as a column."""
    return np.fromiter(chain.from_iterable(parts), np.int64, sum(map(len, parts)))


def _table(rows: Sequence[_Row]) -> Ints:
    """Return needs as a table, shape (needs, 5)."""
    return np.fromiter(chain.from_iterable(rows), np.int64, 5 * len(rows)).reshape(-1, 5)


def _row_of(need: Need | Within, size: int) -> _Row:
    """Return a need of a step of a loop of so many steps."""
    if isinstance(need, Within):
        return need.step - need.back * size, size, 1, need.back, need.room
    return need.base, need.stride, 0, 0, need.room


def _needs_of_one(template: Template, pattern: "_Pattern") -> tuple[Ints, Ints, Bools]:
    """Return how many needs each task of a template has, their sources, whether for room.

    Only the first iterations need less than the others, as nothing lies before them.
    """
    first, size, count = template.loop.first, template.loop.size, template.loop.count
    base, stride, within, back, room = _table(pattern.rows).T
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
    usual = np.array(pattern.count, np.int32)
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
    rows = _table([*chain.from_iterable([pattern.rows for pattern in patterns])])
    base, stride, within, back, room = rows.T
    of_step = _numbers([pattern.count for pattern in patterns])
    lengths = np.array([len(pattern.rows) for pattern in patterns], np.int64)
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
