"""Plans of single layers in outline that serve all layers which differ in sizes and lengths alone.

Such an outline is made of *slots*: numbered works, whose prices each layer gives for itself. It is
kept with its states (:mod:`hybridsim.engines.outlined`), whatever met it first.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Outline, Plan
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.works import BatchPrograms, BatchWorks, batch_works
from hybridsim.units import Ints, ceil_div

if TYPE_CHECKING:
    from hybridsim.engines.outlined import Outlined
    from hybridsim.engines.prefixes import Prefixes

ONCE = 3
"""Slots of what is done once per layer: A, B, and all MVMs where they come first."""
MOST_KNOWN = 4096
"""Outlines whose states, or plans, are remembered."""
MOST_TASKS = 2**22
"""Tasks of all plans that are remembered."""
_ROUNDS = 16
"""Rounds over all clusters of a layer from which on its first and last ones are apart."""
_MANY = -1
"""Stands for any number of rounds that is not among the few that are counted."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What layers agree in whose batches have the same steps: they share slots."""

    choice: LoraChoice
    slices: int
    early: bool
    overlap: bool
    clusters: int
    before: int
    """Batches before the full ones."""
    after: int
    """Batches after the full ones."""

    @property
    def sizes(self) -> int:
        """Different places of a batch: slots of a step."""
        return self.before + self.after + 1


def rounds_of(batches: Ints, clusters: Ints) -> tuple[Ints, Ints, Ints]:
    """Return how often layers go round all clusters, batches left over, and rounds if few."""
    rounds, rest = np.divmod(batches, clusters)
    # what begins before the first round is dropped, so the few rounds of a layer with a rest,
    # which looks back at them, are counted; a layer without a whole round has no loop
    few = np.where((rounds == 0) | ((rest > 0) & (rounds < _ROUNDS)), rounds, _MANY)
    return rounds, rest, few


@dataclass(frozen=True, slots=True)
class OutlineKey:
    """What layers agree in that share an outline, but for how often its loop repeats."""

    steps: Steps
    buffers: int
    rest: int
    """Batches that are left over after the last whole round over the clusters."""
    few: int

    def outline(self, job: Job) -> Outline:
        """Return the plan of a job with one layer, in outline.

        Its works are slots: ``shape[0]`` is the number of one. Of the job, it depends on
        :attr:`Job.structure` without the sizes of the layer.
        """
        own, rounds = self.steps, self.few
        ends = own.before + own.after
        if rounds == _MANY:
            rounds = max(_ROUNDS, ceil_div(ends, own.clusters))
        count = rounds * own.clusters + self.rest - ends
        order = BatchOrder(own.early, clusters=own.clusters, overlap=own.overlap)
        sizes = BatchSizes((1,) * own.before, 1, count, (1,) * own.after)
        batching, slots, _ = of_slots(own.choice, own.slices, self.buffers, order, sizes)
        layer = job.mapping.layers[0]
        works = {(batching, layer.copies, layer.cluster_sort): slots}
        layout = Layout(job, works=works)
        layout.adapted(layer, batching)
        return layout.builder.outline()


def of_slots(
    choice: LoraChoice, slices: int, buffers: int, order: BatchOrder, sizes: BatchSizes
) -> tuple[Batching, BatchWorks, int]:
    """Return a batching of any layer, its works as numbers of slots, and how many slots there are.

    The numbers of tokens are no matter, as what a batch does is the slots.
    """
    program = LoraProgram(1, slices, 1, 1, choice, None if slices == 1 else 1, shares=(0, 0))
    batching = Batching(program, buffers, order, sizes, (), 0)
    works, slots = batch_works(1, BatchPrograms.of(batching), sizes.tokens).numbered()
    return batching, works, len(slots)


_outlines: "dict[tuple[object, ...], Outlined]" = {}
_waiting: dict[tuple[object, ...], int] = {}
"""Tasks so far of outlines that were not asked for enough to be worth a table."""
_PAYS = 4000
"""Tasks of points that take as long in a plan as it takes to ask a table for them at all."""


def outline_that_pays(key: OutlineKey, job: Job, tasks: int) -> "Outlined | None":
    """Return the outline with a key if points of so many tasks may be served by its states.

    None if they take less time in a plan that many outlines share (:func:`prefixes_of`).
    """
    if tasks < _PAYS:
        return None
    known = (key, job.structure.machine)
    if known not in _outlines:
        from hybridsim.engines.outlined import LEAST  # takes a while to import

        before = _waiting.get(known, 0)
        if before + tasks <= LEAST:
            if len(_waiting) >= MOST_KNOWN:
                _waiting.clear()
            _waiting[known] = before + tasks
            return None
        outline_of(key, job).met(_waiting.pop(known, 0))
    return outline_of(key, job)


def outline_of(key: OutlineKey, job: Job) -> "Outlined":
    """Return the outline with a key with its states so far; ``job`` has one layer."""
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines.outlined import Outlined

    known = (key, job.structure.machine)
    if known not in _outlines:
        if len(_outlines) >= MOST_KNOWN:
            _outlines.clear()
        _outlines[known] = Outlined(key.outline(job))
    return _outlines[known]


@dataclass
class _Plans:
    """Plans that were laid out, as many as there is room for."""

    known: dict[tuple[object, ...], tuple[Plan, Ints]] = field(default_factory=dict)
    tasks: int = 0


_plans = _Plans()


def plan_of(key: OutlineKey, job: Job) -> tuple[Plan, Ints]:
    """Return the plan with a key whose rounds are few, and the slot of each of its tasks.

    ``job`` has one layer. Slots are those of a full batch; which batch is :attr:`Plan.item`.
    """
    known = (key, job.structure.machine)
    if known not in _plans.known:
        plan = key.outline(job).expand()
        if _plans.tasks + len(plan) > MOST_TASKS:
            _plans.known.clear()
            _plans.tasks = 0
        _plans.tasks += len(plan)
        slots = np.array([work.shape[0] for work in plan.works], np.int64)
        _plans.known[known] = plan, slots[plan.work]
    return _plans.known[known]


MOST_LAID_OUT = 4096
"""Batches of a layer beyond which it is no plan, but a table of states."""


def prefixes_of(steps: Steps, buffers: int, batches: int, job: Job) -> "Prefixes":
    """Return a plan of at least so many batches, to be executed as far as a layer goes.

    Its slots are those of batches that are all alike, whatever ``steps`` says of first and last
    ones; ``job`` has one layer.
    """
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines.prefixes import Prefixes

    rounds = max(_ROUNDS, 1 << (ceil_div(batches, steps.clusters) - 1).bit_length())
    key = OutlineKey(replace(steps, before=0, after=0), buffers, 0, rounds)
    known = (key, job.structure.machine)
    if known not in _prefixes:
        plan, slot = plan_of(key, job)
        if sum(len(own.plan) for own in _prefixes.values()) > MOST_TASKS:
            _prefixes.clear()
        _prefixes[known] = Prefixes(plan, slot, ONCE, rounds * steps.clusters)
    return _prefixes[known]


_prefixes: "dict[tuple[object, ...], Prefixes]" = {}


def job_of_one(job: Job, layer: PlacedLayer) -> Job:
    """Return the job of one of the layers alone."""
    return Job(replace(job.mapping, layers=(layer,)), job.tokens)
