"""Templates: steps that repeat, before they are laid out as tasks, and copies of them.

Most of them are not frozen, as those take three times as long to make; none is changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from hybridsim.errors import PlanError
from hybridsim.plan.columns import Loop
from hybridsim.records import record
from hybridsim.units import Ints
from hybridsim.work import Work


@dataclass(slots=True, unsafe_hash=True)
class Need:
    """What a step waits for: ``base + stride * iteration`` is the index of a task in the plan."""

    base: int
    stride: int = 0
    room: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Within:
    """What a step waits for in its own loop: a step of the iteration ``back`` before this one."""

    step: int
    back: int = 0
    room: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Mostly:
    """One work for all iterations, but for a few at the beginning and at the end."""

    usual: Work
    last: tuple[Work, ...] = ()
    """Works of the last iterations."""
    first: tuple[Work, ...] = ()
    """Works of the first iterations."""

    def fill(self, column: Ints, number: Callable[[Work], int]) -> None:
        """Write the numbers of the works of all iterations, as many as the column is long.

        Raises:
            PlanError: There are fewer iterations than works of the first and the last ones.
        """
        if self.is_usual(len(column)):
            column[:] = number(self.usual)
        for iteration, work in self.others(len(column)):
            column[iteration] = number(work)

    def is_usual(self, count: int) -> bool:
        """Return whether any of so many iterations does the usual work.

        Raises:
            PlanError: As :meth:`fill`.
        """
        few = len(self.first) + len(self.last)
        if few > count:
            raise PlanError(
                f"{len(self.first)} first and {len(self.last)} last works are more than the "
                f"{count} iterations of the loop"
            )
        return few < count

    def others(self, count: int) -> Iterator[tuple[int, Work]]:
        """Return which of so many iterations do something else, and what."""
        return chain(enumerate(self.first), enumerate(self.last, count - len(self.last)))

    def part(self, start: int, stop: int, step: int, count: int) -> "Mostly":
        """Return the works of the iterations ``range(start, stop, step)`` of ``count``."""
        tail = count - len(self.last)
        begin = start + step * max(0, -((start - tail) // step))
        last = tuple(self.last[i - tail] for i in range(begin, stop, step))
        return Mostly(self.usual, last, self.first[start:stop:step])


@dataclass(slots=True, unsafe_hash=True)
class Step:
    """One task of a template that :meth:`PlanBuilder.repeat` lays out once per iteration."""

    work: Work | Mostly | tuple[Work, ...]
    """What is done: one work for all iterations, one for most of them, or one each."""
    uses: tuple[int, ...]
    """Resources held, as indices into :attr:`Plan.resources`."""
    needs: tuple[Need | Within, ...] = ()

    def sorted(self, sort: str, known: dict[tuple[Work, str], Work]) -> "Step":
        """Return the step as one of several kinds of its part does it; ``known`` is remembered."""

        def own(work: Work) -> Work:
            if work.sort == sort:
                return work
            return known.setdefault((work, sort), replace(work, sort=sort))

        work = self.work
        if isinstance(work, Work):
            return replace(self, work=own(work))
        if isinstance(work, Mostly):
            first, last = (tuple(map(own, some)) for some in (work.first, work.last))
            return replace(self, work=Mostly(own(work.usual), last, first))
        return replace(self, work=tuple(map(own, work)))

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


@dataclass(slots=True, eq=False)
class Template:
    """Steps that repeat, before they are laid out as tasks."""

    op: str
    loop: Loop
    steps: tuple[Step, ...]
    uses: tuple[tuple[int, ...], ...]
    """Resources that each step holds; in a copy they need not be those that the step names."""
    shift: int
    """How far the sources of :class:`Need` lie behind those that the steps name."""
    batches: int
    """Batches of an iteration."""
    first_item: int
    """The number of the first batch."""


def moved(template: Template, op: str, by: int, uses: tuple[tuple[int, ...], ...]) -> Template:
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


@record(frozen=True, slots=True, eq=False)
class Copies:
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
                yield moved(template, self.ops[number][copy], by, tuple(held))

    @property
    def regular(self) -> bool:
        """Whether each copy of a step uses as many resources as the step."""
        return all(
            len(each) == len(self.own[number].uses[j])
            for (number, j), all_uses in self.uses.items()
            for each in all_uses
        )
