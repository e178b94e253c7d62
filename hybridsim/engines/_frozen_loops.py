"""Outlines as the tables of :mod:`._frozen_records`, cut where pieces run one after the other."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise

import numpy as np

from hybridsim.engines._frozen_records import (
    BESIDE,
    COMMON,
    EXIT,
    FROM_END,
    FROM_START,
    GAP,
    LOOP,
    MOST_SLOTS,
    NEED,
    STEP,
    WITHIN,
    Records,
)
from hybridsim.errors import PlanError
from hybridsim.plan import Mostly, Need, Outline, Resource, Step, Template, Within
from hybridsim.units import Ints

_FAR_BEHIND = 1000
"""Iterations that a loop may be behind one it reads; a state has room for a few times as many."""

Works = tuple[int, tuple[int, ...], tuple[int, ...]]
"""The usual work of a step, and those of its first and of its last iterations."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A piece of an outline as tables, and how often it occurs."""

    loops: Records
    steps: Records
    odds: Ints
    uses: Ints
    needs: Records
    gaps: Records
    exits: Records
    sets: int
    """Sets of exits; of each one task is to end last."""
    units: Ints
    slots: int
    """Tasks that can run at the same time."""
    length: int
    """Numbers of a state."""
    counts: Ints
    """The count of each loop in the outline."""
    times: int = 1

    @property
    def key(self) -> tuple[bytes, ...]:
        """What two pieces agree in that take equally long."""
        columns = (self.loops, self.steps, self.odds, self.uses, self.needs, self.gaps,
                   self.exits, self.units, self.counts)  # fmt: skip
        return tuple([column.tobytes() for column in columns])


def draw(
    outline: Outline, works: Callable[[Step], Works], window: int, cut: bool = True
) -> list[Drawn] | str:
    """Return the tables of the different pieces of an outline, or why it has none.

    A need of a single task in the later half of a loop counts from the end of that loop.

    Raises:
        PlanError: No plan could be laid out from the outline.
    """
    templates = [t for t in outline.templates if t.loop.size and t.loop.count]
    for template in templates:
        _check(outline, template)
    if outline.links:
        return "it has links between single tasks"
    if any(isinstance(s.work, tuple) and t.loop.count > 1 for t in templates for s in t.steps):
        return "works differ from iteration to iteration"
    if not templates:
        return []
    bounds = _cuts(templates) if cut else [0, len(templates)]
    found: dict[tuple[object, ...], list[int]] = {}
    for k, (first, last) in enumerate(pairwise(bounds)):
        found.setdefault(_key(outline, templates, bounds, k), [first, last, k, 0])[3] += 1
    alike: dict[tuple[bytes, ...], Drawn] = {}
    for first, last, k, times in found.values():
        sets = _exits(templates, bounds, k)
        one = _Drawing(outline.resources, templates[first:last], works, window).draw(sets, times)
        if isinstance(one, str):
            return one
        before = alike.get(one.key)
        alike[one.key] = replace(one, times=times + before.times) if before else one
    return [*alike.values()]


def _check(outline: Outline, template: Template) -> None:
    """Check that a loop names resources that are there, and waits for earlier tasks only.

    Raises:
        PlanError: It does not.
    """
    loop = template.loop
    for place, (step, uses) in enumerate(zip(template.steps, template.uses, strict=True)):
        if len(set(uses)) < len(uses) or not all(0 <= r < len(outline.resources) for r in uses):
            raise PlanError(f"{template.op}: a resource is used twice, or is not there")
        odd = isinstance(step.work, Mostly) and len(step.work.first) + len(step.work.last)
        if odd > loop.count:
            raise PlanError(f"{template.op}: {odd} works for {loop.count} iterations")
        for need in step.needs:
            if isinstance(need, Within):
                early = need.back > 0 or (need.back == 0 and need.step < place)
            else:
                least = min(0, need.stride * (loop.count - 1)) + need.base + template.shift
                ahead = max(0, (need.stride - loop.size) * (loop.count - 1))
                early = least >= 0 and need.base + template.shift + ahead < loop.task(place, 0)
            if not early:
                raise PlanError(f"{template.op}: a task needs one that is not before it")


def _free(template: Template) -> list[tuple[int, ...]]:
    """Return, for each step that waits for nothing in its own iteration, its single tasks."""
    return [
        tuple(n.base + template.shift for n in step.needs if isinstance(n, Need) and not n.stride)
        for step in template.steps
        if not any(isinstance(n, Within) and not n.back for n in step.needs)
    ]


def _cuts(templates: Sequence[Template]) -> list[int]:
    """Return the templates before which the outline may be cut, and their number; 0 is first.

    It may be cut where each step behind the cut waits for something behind it, or in the piece
    right before it.
    """
    known: dict[tuple[int, int], int] = {}
    least = []
    for template in templates:
        key = (id(template.steps), template.shift)
        if key not in known:
            known[key] = min((max(tasks, default=-1) for tasks in _free(template)), default=2**62)
        least.append(known[key])
    behind = [*accumulate(reversed(least), min)][::-1]
    cuts = [0]
    for number in range(1, len(templates)):
        if behind[number] >= templates[cuts[-1]].loop.first:
            cuts.append(number)
    return [*cuts, len(templates)]


def _exits(
    templates: Sequence[Template], bounds: Sequence[int], k: int
) -> list[list[tuple[int, int, int]]]:
    """Return what the piece behind piece ``k`` waits for in it, as (loop, step, from the end)."""
    if k + 2 >= len(bounds):
        return []
    begin, end = bounds[k], bounds[k + 1]
    firsts = [template.loop.first for template in templates[begin:end]]
    stop = templates[end].loop.first
    sets: dict[tuple[tuple[int, int, int], ...], None] = {}
    for template in templates[end : bounds[k + 2]]:
        for tasks in _free(template):
            if any(task >= stop for task in tasks):
                continue
            own = []
            for task in tasks:
                if task >= firsts[0]:
                    loop = bisect_right(firsts, task) - 1
                    source = templates[begin + loop].loop
                    iteration, step = divmod(task - source.first, source.size)
                    own.append((loop, step, source.count - iteration))
            sets[tuple(sorted(own))] = None
    return [list(one) for one in sets]


def _key(
    outline: Outline, templates: Sequence[Template], bounds: Sequence[int], k: int
) -> tuple[object, ...]:
    """Return what two pieces agree in if they are alike; their steps are the same objects."""
    own = templates[bounds[k] : bounds[k + 1]]
    first = own[0].loop.first
    names: dict[int, int] = {}
    rows = []
    for t in own:
        uses = tuple(tuple(names.setdefault(u, len(names)) for u in each) for each in t.uses)
        rows.append((id(t.steps), t.shift - first, t.loop.first - first, t.loop.count, uses))
    units = tuple(outline.resources[name].units for name in names)
    return (tuple(rows), units, tuple(map(tuple, _exits(templates, bounds, k))))


class _Drawing:
    """Tables of one piece under construction."""

    def __init__(
        self,
        resources: Sequence[Resource],
        templates: Sequence[Template],
        works: Callable[[Step], Works],
        window: int,
    ) -> None:
        self.templates, self.works, self.window = templates, works, window
        self.firsts = [template.loop.first for template in templates]
        self.step_first = np.cumsum([0, *(len(t.steps) for t in templates)]).tolist()
        units = {u: resources[u].units for t in templates for each in t.uses for u in each}
        uses = [each for t in templates for each in t.uses]
        kept = _scarce(uses, units)
        self.uses = [tuple(kept[u] for u in each if u in kept) for each in uses]
        self.units = [units[u] for u in kept]
        self.needs: list[list[tuple[int, int, int, int, int]]] = []
        self.gaps: dict[tuple[int, int, int, int], int] = {}

    def draw(self, sets: Sequence[Sequence[tuple[int, int, int]]], times: int) -> Drawn | str:
        """Return the tables, or why there are none."""
        for number, template in enumerate(self.templates):
            for step in template.steps:
                problem = self._add_needs(number, template, step)
                if problem:
                    return problem
        self._serve_in_order()
        loops, length = self._loops(sets)
        steps, odds = self._steps()
        single = sum(n == 1 for n in self.units)
        common = COMMON if (steps["slot"] < 0).any() else 0
        if single + common > MOST_SLOTS:
            return f"it uses more than {MOST_SLOTS - COMMON} resources at the same time"
        gaps = np.zeros(len(self.gaps), GAP)
        for (source, user, ratio, ahead), k in self.gaps.items():
            gaps[k] = (source, user, ratio, ahead, length + k)
        flat = [(k, *one) for k, each in enumerate(sets) for one in each]
        return Drawn(
            loops, steps, odds,
            np.array([u for each in self.uses for u in each], np.int64),
            np.array([n for each in self.needs for n in each], NEED),
            gaps, np.array(flat, EXIT), len(sets), np.array(self.units, np.int64),
            single + common, length + len(gaps),
            np.array([t.loop.count for t in self.templates], np.int64), times,
        )  # fmt: skip

    def _add_needs(self, number: int, template: Template, step: Step) -> str:
        """Append what a step waits for in the piece; return why that cannot be, or nothing."""
        found: dict[tuple[int, int, int, int, int], None] = {}
        for need in step.needs:
            if isinstance(need, Within):
                found[(WITHIN, number, need.step, need.back, 0)] = None
                continue
            task = need.base + template.shift
            if task < self.firsts[0]:
                continue
            source = bisect_right(self.firsts, task) - 1
            other = self.templates[source].loop
            iteration, place = divmod(task - other.first, other.size)
            if need.stride and template.loop.count > 1:
                ratio, odd = divmod(need.stride, other.size)
                last = iteration + ratio * (template.loop.count - 1)
                inside = source != number and last < other.count
                if odd or ratio < 1 or not inside or iteration > _FAR_BEHIND:
                    return "a loop runs beside another one out of step with it"
                gap = self.gaps.setdefault((source, number, ratio, iteration), len(self.gaps))
                found[(BESIDE, source, place, 0, gap)] = None
            elif other.count > 1 and 2 * iteration >= other.count:
                found[(FROM_END, source, place, other.count - iteration, 0)] = None
            else:
                found[(FROM_START, source, place, iteration, 0)] = None
        self.needs.append([*found])
        return ""

    def _serve_in_order(self) -> None:
        """Let iterations of a step wait for each other where they end in their order anyway.

        That is where they share a resource of one unit, and all that they wait for ends in order
        as well: then each is ready no later than the next, and stands before it in the plan. It
        changes no start, and what waits behind the first needs no place in a state.
        """
        loop_of = [n for n, t in enumerate(self.templates) for _ in t.steps]
        long = [self.templates[n].loop.count > 1 for n in loop_of]
        served = [
            not many or any(self.units[u] == 1 for u in uses)
            for many, uses in zip(long, self.uses, strict=True)
        ]
        changed = True
        while changed:
            changed = False
            for s, needs in enumerate(self.needs):
                moving = [n for n in needs if n[0] in (WITHIN, BESIDE)]
                fine = all(served[self.step_first[n[1]] + n[2]] for n in moving)
                if served[s] and long[s] and not fine:
                    served[s], changed = False, True
        for s, needs in enumerate(self.needs):
            own = (WITHIN, loop_of[s], s - self.step_first[loop_of[s]], 1, 0)
            if served[s] and long[s] and own not in needs:
                needs.append(own)

    def _loops(self, sets: Sequence[Sequence[tuple[int, int, int]]]) -> tuple[Records, int]:
        """Return the loops, and how long a state is without gaps."""
        loops = np.zeros(len(self.templates), LOOP)
        place = 0
        # of each loop the tasks that are waited for, counted from its end and from its start
        ends: list[list[int]] = [[] for _ in self.templates]
        starts: list[list[int]] = [[] for _ in self.templates]
        for kind, loop, _, back, _ in chain.from_iterable(self.needs):
            if kind == FROM_END:
                ends[loop].append(back)
            elif kind == FROM_START:
                starts[loop].append(back + 1)
        for loop, _, from_end in chain.from_iterable(sets):
            ends[loop].append(from_end)
        for g, template in enumerate(self.templates):
            window = 1 if template.loop.count == 1 else self.window
            works = [self.works(step) for step in template.steps]
            own = self.needs[self.step_first[g] : self.step_first[g + 1]]
            backs = [min((n[3] for n in each if n[0] == WITHIN), default=window) for each in own]
            row = loops[g]
            row["step_first"], row["size"], row["window"] = self.step_first[g], len(works), window
            row["marks"] = place
            row["most_begun"] = max([1, *starts[g], *(len(first) for _, first, _ in works)])
            row["late"] = max([0, *ends[g], *(len(last) for _, _, last in works)])
            row["ahead"] = max([1, *backs])
            place += window * len(works)
        loops["begun"] = place + np.arange(len(loops))
        loops["left"] = place + len(loops) + np.arange(len(loops))
        return loops, place + 2 * len(loops)

    def _steps(self) -> tuple[Records, Ints]:
        """Return the steps, and their works in the first and last iterations."""
        alone = [u for u, units in enumerate(self.units) if units == 1]
        slot_of = {u: slot for slot, u in enumerate(alone)}
        steps, odds = np.zeros(self.step_first[-1], STEP), list[int]()
        use = need = 0
        for s, step in enumerate(step for t in self.templates for step in t.steps):
            usual, first, last = self.works(step)
            slot = next((slot_of[u] for u in self.uses[s] if u in slot_of), -1)
            steps[s] = (usual, len(odds), len(first), len(last), use, use + len(self.uses[s]),
                        need, need + len(self.needs[s]), slot)  # fmt: skip
            odds += [*first, *last]
            use += len(self.uses[s])
            need += len(self.needs[s])
        return steps, np.array(odds, np.int64)


def _scarce(uses: Sequence[tuple[int, ...]], units: Mapping[int, int]) -> dict[int, int]:
    """Return the resources that can decide anything, numbered.

    One cannot if all that use it also use another one that has no more units.
    """
    users: dict[int, list[int]] = {u: [] for u in units}
    for i, each in enumerate(uses):
        for u in {*each}:
            users[u].append(i)
    kept: dict[int, int] = {}
    for u, steps in users.items():
        companions = set.intersection(*(set(uses[i]) for i in steps)) - {u}
        scarcer = [
            v for v in companions
            if units[v] <= units[u] and (users[v] != steps or units[v] < units[u] or v < u)
        ]  # fmt: skip
        if not scarcer:
            kept[u] = len(kept)
    return kept
