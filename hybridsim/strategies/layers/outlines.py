"""Plans of single layers that serve all layers which differ in sizes and lengths alone.

Such a plan is made of *slots*: numbered works, whose prices each layer gives for itself. What its
batches do is kept (:mod:`hybridsim.engines.pipelines`), whatever met it first.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hybridsim.engines.lines import StepTimes
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Outline
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.works import BatchPrograms, BatchWorks, batch_works
from hybridsim.units import Ints, ceil_div

if TYPE_CHECKING:
    from hybridsim.engines.pipelines import Pipeline

ONCE = 3
"""Slots of what is done once per layer: A, B, and all MVMs where they come first."""
MOST_KNOWN = 4096
"""Pipelines that are remembered."""
MOST_TASKS = 2**22
"""Tasks of all plans that are remembered."""


@record(frozen=True, slots=True)
class Steps:
    """What layers agree in whose batches have the same steps: they share slots."""

    choice: LoraChoice
    slices: int
    early: bool
    overlap: bool
    clusters: int

    def outline(self, buffers: int, rounds: int, job: Job) -> Outline:
        """Return the plan of a job with one layer that goes so often round all clusters.

        Its works are slots: ``shape[0]`` is the number of one. Of the job, it depends on
        :attr:`Job.structure` without the sizes of the layer.
        """
        order = BatchOrder(self.early, clusters=self.clusters, overlap=self.overlap)
        sizes = BatchSizes((), 1, rounds * self.clusters, ())
        batching, slots, _ = of_slots(self.choice, self.slices, buffers, order, sizes)
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


_pipelines: "dict[tuple[object, ...], Pipeline]" = {}


def pipeline_of(steps: Steps, buffers: int, job: Job, wide: int = 1) -> "Pipeline":
    """Return what batches do, of which ``wide`` times as many as mostly may be under way.

    ``job`` has one layer.
    """
    # only here, as Numba takes a quarter of a second to import
    from hybridsim.engines.pipelines import Pipeline

    known = steps, buffers, wide, job.structure.machine
    if known not in _pipelines:
        layer = job.mapping.layers[0]
        tiles = job.structure.machine.on_tiles(layer.sort).output_buffers
        ahead = ceil_div(3 * max(buffers * steps.clusters, tiles) + 2, steps.clusters) * wide
        plan = steps.outline(buffers, ahead + 1, job).expand()
        if len(_pipelines) >= MOST_KNOWN:
            _pipelines.clear()
        slots = np.array([work.shape[0] for work in plan.works], np.int64)[plan.work]
        window = ahead * steps.clusters
        _pipelines[known] = Pipeline.of(plan, slots, ONCE, steps.clusters, window)
    return _pipelines[known]


def pipelined_ps(
    steps: Steps, buffers: int, job: Job, times: StepTimes, points: tuple[Ints, Ints, Ints]
) -> Ints:
    """Return how long points take whose batches overlap [ps].

    ``points`` are their kinds, what a token takes on the tiles [ps], and their batches.
    """
    kind, vector, batches = points
    some, of_some = np.unique(kind, return_inverse=True)
    if 2 * len(some) <= len(kind):  # else hardly two are on one line
        number = np.empty(len(some), np.int64)
        number[of_some] = batches
        kind = some[times.alike(some, number)][of_some]
        by_line = np.lexsort((vector, kind))
    else:
        by_line = np.arange(len(kind))
    columns = kind[by_line], vector[by_line], batches[by_line]
    found, latency = np.full(len(kind), -1, np.int64), np.empty(len(kind), np.int64)
    wide, left = 1, np.arange(len(kind))
    while len(left):
        own = pipeline_of(steps, buffers, job, wide)
        found[left] = own.makespans(times, *(column[left] for column in columns))
        wide, left = 2 * wide, left[found[left] < 0]
    latency[by_line] = found
    return latency


def job_of_one(job: Job, layer: PlacedLayer) -> Job:
    """Return the job of one of the layers alone."""
    return Job(replace(job.mapping, layers=(layer,)), job.tokens)
