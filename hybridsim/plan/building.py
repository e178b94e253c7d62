"""How plans are put together: templates in the order in which they are given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np

from hybridsim.errors import CapacityError, PlanError
from hybridsim.plan._expansion import Expansion
from hybridsim.plan.columns import Loop, Plan, Resource
from hybridsim.plan.templates import Copies, Mostly, Need, Step, Template, Within, moved
from hybridsim.records import record
from hybridsim.units import Ints
from hybridsim.work import Work

MOST_TASKS = 2**25
"""The most tasks of a plan that is laid out; each takes some hundred bytes until it has run."""


def _check_size(tasks: int) -> None:
    if tasks > MOST_TASKS:
        raise CapacityError(
            f"the plan has {tasks:,} tasks; at most {MOST_TASKS:,} are laid out: larger batches, "
            "fewer tokens or another strategy would do"
        )


@record(frozen=True, slots=True, eq=False)
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
            CapacityError: It has more than :data:`MOST_TASKS`.
        """
        _check_size(len(self))
        return Expansion(self.resources, self.links).plan([self.templates])


@dataclass
class PlanBuilder:
    """Collects the templates of a plan, in the order in which they are given."""

    resources: tuple[Resource, ...]
    _parts: "list[list[Template] | Copies]" = field(default_factory=lambda: [[]])
    """Templates, and copies of some of them that lie behind those."""
    _links: list[tuple[Ints, Ints]] = field(default_factory=list)
    _size: int = 0
    _works: dict[tuple[Work, str], Work] = field(default_factory=dict)
    """Works as several kinds of a part do them, each the very same object."""

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
            self._append(moved(template, op, by, uses))
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
            PlanError: ``first`` lies inside a loop, or ``uses`` names a step that is not copied.
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
        copied = {(each.op, step.kind) for each in own for step in each.steps}
        for op, kind in uses.keys() - copied:
            raise PlanError(f"{op}: no step of it that is copied does {kind!r}")
        if times and own:
            names = [ops[each.op] for each in own]
            self._parts += [Copies(own, names, other, times, size), []]
            self._size += times * size
        shift = (1 + np.arange(times, dtype=np.int64))[:, None] * size
        for users, sources in list(self._links):
            inside = users >= first
            if inside.any():
                self.link(
                    (users[inside] + shift).reshape(-1), (sources[inside] + shift).reshape(-1)
                )

    @cached_property
    def _has_kinds(self) -> bool:
        """Whether any part is of one of several kinds; asked once, as there are many parts."""
        return any(resource.sort for resource in self.resources)

    def _append(self, template: Template) -> Loop:
        if self._has_kinds:
            template = replace(template, steps=self._sorted(template))
        last = self._parts[-1]
        assert isinstance(last, list)  # copies are always followed by a list
        last.append(template)
        self._size += template.loop.size * template.loop.count
        return template.loop

    def _sorted(self, template: Template) -> tuple[Step, ...]:
        """Return the steps of a template, each done by the kind of part that it holds."""
        found = []
        for step, uses in zip(template.steps, template.uses, strict=True):
            sort = next((s for use in uses if (s := self.resources[use].sort)), "")
            found.append(step.sorted(sort, self._works))
        return tuple(found)

    def outline(self) -> Outline:
        """Return the templates so far, without laying them out."""
        return Outline(self.resources, tuple(self._templates), tuple(self._links))

    def build(self) -> Plan:
        """Return the plan laid out so far; copies as columns beside each other.

        Raises:
            CapacityError: It has more than :data:`MOST_TASKS`.
        """
        _check_size(self._size)
        return Expansion(self.resources, tuple(self._links)).plan(self._parts)
