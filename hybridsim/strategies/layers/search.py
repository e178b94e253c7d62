"""Finding the best way to run one layer: candidates, a bound that prunes them, and an engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from hybridsim.alike import groups
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import CHOICES, on_machine
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching
from hybridsim.strategies.layers.bounds import PARTS, BatchTimes, bounds_of
from hybridsim.strategies.layers.candidates import EVERYTHING, Candidates, Space, candidates
from hybridsim.strategies.layers.choose import Wanted, choose_batchings
from hybridsim.strategies.layers.outlines import Steps, job_of_one, pipelined_ps
from hybridsim.units import Ints

MOST_SECONDS = 20
"""How many candidates are run to find the next best way: it is told, not used."""
_BLOCK = 8
"""Candidates that are run side by side at first; then twice as many, and so on."""
_UNKNOWN = -1


@record(frozen=True, slots=True)
class Found:
    """The best way to run a layer, and how sure that is."""

    batching: Batching
    latency_ps: int
    bound: str
    """The part whose work alone takes as long as nothing can beat with these choices."""
    bound_ps: int
    """That time [ps]."""
    second: Batching | None
    """The next best with another unit, order or way to add, as far as that was searched."""
    second_ps: int
    tried: int
    """Candidates that were run; the others were shown not to be better."""
    candidates: int


def best_of_layer(job: Job, layer: PlacedLayer, space: Space = EVERYTHING) -> Found:
    """Return the best batching of one layer, by running candidates on the engine of the job.

    Candidates are visited by a lower bound of their latency, and no more are run once the bound
    is as large as the best. Of equally fast ones that were run it is the one with the least
    scratchpad, then the first.

    Raises:
        CapacityError: Not a single token fits the scratchpad.
    """
    machine, adapter = job.machine, layer.adapter
    assert adapter is not None
    op = layer.op
    shape = (op.in_features, op.out_features, adapter.rank, job.tokens_of(layer), layer.copies)
    parts = (machine.tile, machine.cluster, machine.link)
    return _answer(_Question((*shape, *parts, space), job, layer, space))


@record(frozen=True, slots=True)
class _Question:
    """A layer to be searched; equal to any other that has the same answer."""

    key: tuple[object, ...]
    job: Job = field(compare=False)
    layer: PlacedLayer = field(compare=False)
    space: Space = field(compare=False)


@lru_cache(maxsize=128)
def _answer(question: _Question) -> Found:
    """Search once for all layers alike, in whatever network they are."""
    job, layer, space = question.job, question.layer, question.space
    machine, tokens = job.machine, job.tokens_of(layer)
    every = candidates(machine, layer, tokens, space)
    if not len(every):
        # says what is missing
        choose_batchings(job, [layer], None, Wanted(on_machine(CHOICES, machine), 1))
        raise CapacityError(f"{layer.name}: none of the batches that were to be tried fits")
    times = BatchTimes(every)
    bounds, parts = bounds_of(times)
    latencies = Latencies(job_of_one(job, layer), times)
    ranked = np.argsort(bounds, kind="stable")
    first, tried = least(every, bounds, latencies.of, ranked)
    choice = np.array([program.choice != every.programs[every.way[first]].choice
                       for program in every.programs])  # fmt: skip
    others = ranked[choice[every.way[ranked]]]
    second, more = None, 0
    if len(others):
        second, more = least(every, bounds, latencies.of, others[:MOST_SECONDS])
    return Found(
        every.batching(first),
        int(latencies.found[first]),
        PARTS[parts[first]],
        int(bounds[first]),
        None if second is None else every.batching(second),
        0 if second is None else int(latencies.found[second]),
        tried + more,
        len(every),
    )


def least(
    every: Candidates, bounds: Ints, latency_ps: Callable[[Ints], Ints], ranked: Ints
) -> tuple[int, int]:
    """Return the fastest of some candidates, and how many of them had to be run.

    ``ranked`` has their numbers by their bounds. They are run in growing blocks, and counted as if
    one by one; what a block runs beyond the last that counts is ignored.
    """
    best: tuple[int, int, int] | None = None
    tried, block = 0, _BLOCK
    while tried < len(ranked):
        own = ranked[tried : tried + block]
        if best is not None:
            own = own[bounds[own] < best[0]]
        for number, taken in zip(own.tolist(), latency_ps(own).tolist(), strict=True):
            if best is not None and bounds[number] >= best[0]:
                return best[2], tried
            run = (taken, int(every.tcdm_bytes[number]), number)
            best = run if best is None else min(best, run)
            tried += 1
        if len(own) < block:
            break
        block *= 2
    assert best is not None
    return best[2], tried


@dataclass
class Latencies:
    """How long candidates take for a layer on its own, as between others; each is run once."""

    job: Job
    """Of the layer alone."""
    times: BatchTimes
    found: Ints = field(init=False)
    """Those that are known [ps]."""

    def __post_init__(self) -> None:
        self.found = np.full(len(self.times.candidates), _UNKNOWN, np.int64)

    def of(self, numbers: Ints) -> Ints:
        """Return how long some candidates take [ps]."""
        own = self.times.candidates
        new = numbers[self.found[numbers] == _UNKNOWN]
        early = own.early[new].astype(np.int64)
        for at in groups((own.way[new], early, own.clusters[new], own.buffers[new])):
            self._run(new[at])
        return self.found[numbers]

    def _run(self, members: Ints) -> None:
        """Execute candidates with the same steps, on as many clusters."""
        own, one = self.times.candidates, int(members[0])
        each, nothing = np.arange(len(members)), np.zeros(len(members), np.int64)
        points = each, nothing, own.sizes.where(members).batches
        steps, buffers = self._steps(one), int(own.buffers[one])
        times = self.times.of_steps(members)
        self.found[members] = pipelined_ps(steps, buffers, self.job, times, points)

    def _steps(self, number: int) -> Steps:
        """Return the steps of the batches of a candidate."""
        own = self.times.candidates
        program, clusters = own.programs[own.way[number]], int(own.clusters[number])
        early, slices = bool(own.early[number]), len(program.slices)
        return Steps(program.choice, slices, early, True, clusters)


def describe(batching: Batching) -> str:
    """Return a batching in words."""
    order = batching.order
    words = [f"batch {batching.batch}", str(batching.program.choice)]
    if len(batching.program.slices) > 1:
        words.append(f"{len(batching.program.slices)} slices")
    if order.early:
        words.append("early X A")
    if order.first_batch:
        words.append(f"first batch {order.first_batch}")
    if order.last_batch:
        words.append(f"last batch {order.last_batch}")
    words.append(f"{batching.buffers} buffer" + "s" * (batching.buffers > 1))
    if order.clusters > 1:
        words.append(f"{order.clusters} clusters")
    return ", ".join(words)
