"""Choosing how many tokens go together by running it, for many layers at once or for one.

Candidates are visited by a time that they cannot beat (:mod:`.trials`), each is executed, and no
more are once that time is as long as the best one takes. So no batch, unit, order or number of
clusters that could have been named is faster than what is chosen; of equally fast ones it is that
on the fewest clusters, then the smallest batch, then the first way. All is done in columns, one
entry per point, so that a sweep decides a block of points in few calls; a single layer is a block
of one point, and gets the same answer.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Cluster, Machine
from hybridsim.compiling import over_columns, using
from hybridsim.components.core_kernels import larger
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import PLAIN, Batching, BatchOrder
from hybridsim.strategies.layers.bounded import NEVER
from hybridsim.strategies.layers.estimate import PricedParts
from hybridsim.strategies.layers.outlines import job_of_one
from hybridsim.strategies.layers.points import Chosen, LayerPoints
from hybridsim.strategies.layers.times import LayerTimes, times_of_kinds, vector_ps
from hybridsim.strategies.layers.trials import ROWS, Trials, bound_ps
from hybridsim.units import Ints, format_bytes

_AT_ONCE = 64
"""Candidates that are executed side by side at most, of a point or of few of them."""
_MOST_TRIALS = 1 << 18
"""Candidates that are priced together: as many as keep their columns in some 100 MB."""


def choose(
    machine: Machine,
    points: LayerPoints,
    choices: Sequence[LoraChoice],
    order: BatchOrder,
    job: Job,
    clusters: Sequence[int] = (),
) -> Chosen:
    """Return for each point the fastest way of those that are left open and fit.

    An open batch is any number of tokens. A layer wider than a tile may go slice by slice, each as
    wide as a tile. A batch that does not fit with the buffers that are wanted in flight is run
    with fewer. ``clusters`` are the numbers of clusters that are tried, those of ``order`` if none
    is given; of several only those that all get a batch. Fields of ``machine`` may be columns as
    well; points that agree in all but their tiles share candidates. ``job`` has one layer.
    """
    cluster, link = machine.cluster, machine.link
    assert cluster is not None
    which = alike((*points.columns, *cluster.arrays(), *link.arrays()), len(points)).which
    one = alike((which, vector_ps(machine, points)), len(points))
    asked = _Asked(
        machine.taken(one.first), points.taken(one.first), choices, order, job,
        tuple(clusters) or (order.clusters,),
    )  # fmt: skip
    places = asked.parts(which[one.first])
    found = [asked.taken(at).chosen() for at in places]
    return _joined(found, places, len(one.first)).taken(one.which)


def _joined(found: Sequence[Chosen], places: Sequence[Ints], points: int) -> Chosen:
    """Return what was chosen part by part, with candidates that are told apart."""
    if len(found) == 1:
        return found[0]
    columns = {name: np.zeros(points, np.int64) for name in Chosen.__slots__}
    begin = 0
    for own, at in zip(found, places, strict=True):
        for name, column in columns.items():
            column[at] = getattr(own, name)
        columns["candidate"][at] += np.where(own.fits, begin, 0)
        begin += int(own.candidate.max(initial=-1)) + 1
    sliced = columns.pop("sliced") > 0
    return Chosen(sliced=sliced, **columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Points to be decided, no two of them alike."""

    machine: Machine
    points: LayerPoints
    choices: Sequence[LoraChoice]
    order: BatchOrder
    job: Job
    clusters: tuple[int, ...]

    def parts(self, setting: Ints) -> list[Ints]:
        """Return the points part by part, as many together as have not too many candidates."""
        some, cluster = self.points, self.machine.cluster
        assert cluster is not None
        room = np.asarray(cluster.tcdm.size) // (cluster.element_bytes * some.in_features)
        most = np.where(some.batch > 0, 1, np.minimum(some.tokens, room + 1)) * len(self.choices)
        first = np.unique(setting, return_index=True)[1]
        part = np.cumsum(most[first]) // _MOST_TRIALS
        return members(part[setting], int(part[-1]) + 1 if len(part) else 0)

    def taken(self, at: Ints) -> "_Asked":
        """Return some of the points."""
        if len(at) == len(self.points):
            return self
        return replace(self, machine=self.machine.taken(at), points=self.points.taken(at))

    def chosen(self) -> Chosen:
        """Return what is fastest for each point."""
        machine, points = self.machine, self.points
        cluster = machine.cluster
        assert cluster is not None
        columns = (*points.columns, *cluster.arrays(), *machine.link.arrays())
        first, which = alike(columns, len(points))
        some = machine.taken(first), points.taken(first)
        trials = Trials.of(*some, self.choices, self.order, self.clusters)
        options = np.diff(trials.begin)[which] * len(self.clusters)
        best = np.where(options == 1, trials.begin[which], -1)
        latency, tasks = np.full((2, len(best)), -1, np.int64)
        left = np.flatnonzero(options > 1)
        if len(left):
            vector = vector_ps(machine.taken(left), points.taken(left))
            found = self._run(trials, left, which[left], vector)
            best[left], latency[left], tasks[left] = found
        return replace(trials.chosen(best, self.clusters), latency_ps=latency, tasks=tasks)

    def _run(
        self, trials: Trials, points: Ints, setting: Ints, vector: Ints
    ) -> tuple[Ints, Ints, Ints]:
        """Return the codes of the fastest candidates of some points, running all that may be.

        And how long they take [ps], in how many tasks.
        """
        count = len(points)
        best, code, tasks = np.full(count, NEVER), *np.full((2, count), -1, np.int64)
        last_bound, last = np.full((2, count), -1, np.int64)
        left, few = np.arange(count), max(1, _AT_ONCE // count)
        # rounded down: no share of the tokens of copies takes less
        share = vector // self.points.copies[points]
        while len(left):
            figures = (
                trials.begin, trials.bounds, trials.start, trials.step, len(self.clusters), few + 1
            )  # fmt: skip
            columns = (setting, share, best, code, last_bound, last)
            found = over_columns(
                fill_next, figures, *(own[left] for own in columns), rows=2 * (few + 1)
            )  # fmt: skip
            number, bound = found[: few + 1], found[few + 1 :]
            row, own = np.nonzero(number[:few] >= 0)
            at, trial = left[own], number[row, own]
            taken = self._times(trials, points[at], trial, vector[at])
            took, in_tasks = taken.latency_ps, taken.tasks
            if few > 1:  # else no two are of one point
                first = np.lexsort((trial, took, at))
                first = first[np.diff(at[first], prepend=-1) > 0]
                at, trial, took, in_tasks = at[first], trial[first], took[first], in_tasks[first]
            better = (took < best[at]) | ((took == best[at]) & (trial < code[at]))
            at = at[better]
            best[at], code[at], tasks[at] = took[better], trial[better], in_tasks[better]
            last_bound[left], last[left] = bound[few - 1], number[few - 1]
            # the one behind them tells where it goes on
            least, other, soon = bound[few], number[few], best[left]
            more = (least < soon) | ((least == soon) & (other < code[left]))
            left = left[(other >= 0) & more]
            few = min(4 * few, _AT_ONCE)
        return code, best, tasks

    def _times(self, trials: Trials, points: Ints, code: Ints, vector: Ints) -> LayerTimes:
        """Return what candidates take for points, where an MVM takes so long [ps]."""
        kinds = alike([code], len(code))
        one = points[kinds.first]
        return times_of_kinds(
            self.machine.taken(one), self.points.taken(one),
            trials.chosen(code[kinds.first], self.clusters), self.choices, self.order, self.job,
            kinds.which, vector, trials.prices,
        )  # fmt: skip


@using(larger, bound_ps)
def fill_next(
    begin: Ints, bounds: Ints, start: Ints, step: Ints, counts: int, few: int, setting: Ints,
    vector: Ints, best: Ints, code: Ints, last_bound: Ints, last: Ints, found: Ints,
) -> None:  # fmt: skip
    """Fill in the next few codes of points by their bounds, and below these the bounds.

    They come after the last one that was visited and before the best one, both told by a bound or
    a time and then a code; -1 stands for none. Setting ``s`` has the candidates from ``begin[s]``
    to ``begin[s + 1]``, on each number of clusters.
    """
    every = begin[-1]
    for i in range(len(setting)):
        for k in range(few):
            found[k, i] = -1
        count = 0
        for on in range(counts):
            for at in range(begin[setting[i]], begin[setting[i] + 1]):
                by = step[at]
                one = start[at] + on * ROWS * by
                # mostly two of its times tell that it comes too late
                most = found[2 * few - 1, i] if count == few else best[i]
                if larger(bounds[one], bounds[one + by] * vector[i] + bounds[one + 2 * by]) > most:
                    continue
                own, number = bound_ps(bounds, one, by, vector[i]), on * every + at
                if own > best[i] or (own == best[i] and number >= code[i]):
                    continue
                if own < last_bound[i] or (own == last_bound[i] and number <= last[i]):
                    continue
                place = min(count, few - 1)
                if count == few and own >= found[few + place, i]:
                    continue
                while place > 0 and found[few + place - 1, i] > own:
                    found[place, i] = found[place - 1, i]
                    found[few + place, i] = found[few + place - 1, i]
                    place -= 1
                found[place, i] = number
                found[few + place, i] = own
                count = min(count + 1, few)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of the batching of layers, and what is left open."""

    choices: tuple[LoraChoice, ...]
    buffers: int
    order: BatchOrder = PLAIN
    clusters: tuple[int, ...] = ()
    """Numbers of clusters that are tried; that of the order if there are none."""

    def batching(self, machine: Machine, points: LayerPoints, found: Chosen, at: int) -> Batching:
        """Return what was chosen for a point, where anything fits, as a decision."""
        assert machine.cluster is not None
        width = machine.tile.columns if found.sliced[at] else None
        columns = (points.in_features, points.out_features, points.rank, found.batch)
        inner, outer, rank, batch = (int(column[at]) for column in columns)
        program = LoraProgram(inner, outer, rank, batch, self.choices[found.choice[at]], width)
        order = replace(self.order, clusters=int(found.clusters[at]))
        tokens, buffers = int(points.tokens[at]), int(found.buffers[at])
        return Batching.of(machine.cluster, program, buffers, order, tokens)


_Key = tuple[PricedParts, tuple[int, int, int, int, int], int, Wanted]
_MOST_KNOWN = 8192
_known: OrderedDict[_Key, Batching | None] = OrderedDict()
"""Batchings that were chosen, those asked for last at the end; None where nothing fits."""


def choose_batchings(
    job: Job, layers: Sequence[PlacedLayer], batch: int | None, wanted: Wanted
) -> list[Batching]:
    """Return the batching of each layer: see :func:`choose`; ``batch`` None leaves that open.

    Raises:
        CapacityError: ``batch``, or with None a single token, does not fit the scratchpad.
        UnsupportedError: None of the choices can run on the cluster.
    """
    parts = PricedParts.of(job.machine)
    shapes = [_sizes_of(job, layer) for layer in layers]
    keys: list[_Key] = [(parts, shape, batch or 0, wanted) for shape in shapes]
    new = dict.fromkeys(key for key in keys if key not in _known)
    if new:
        columns = [(*shape, batch, wanted.buffers) for _, shape, batch, _ in new]
        points = LayerPoints(*np.array(columns, np.int64).T)
        _known.update(zip(new, batchings(job_of_one(job, layers[0]), points, wanted), strict=True))
    found = [_known[key] for key in keys]
    for key in keys:
        _known.move_to_end(key)
    while len(_known) > _MOST_KNOWN:
        _known.popitem(last=False)
    for layer, shape, own in zip(layers, shapes, found, strict=True):
        if own is None:
            raise _why_none_fits(job.machine, layer, shape, batch, wanted.choices)
    return [own for own in found if own is not None]


def _sizes_of(job: Job, layer: PlacedLayer) -> tuple[int, int, int, int, int]:
    assert layer.adapter is not None
    op, rank = layer.op, layer.adapter.rank
    return (op.in_features, op.out_features, rank, job.tokens_of(layer), layer.copies)


def batchings(job: Job, points: LayerPoints, wanted: Wanted) -> list[Batching | None]:
    """Return what :func:`choose` finds as decisions, one for each point; None where nothing fits.

    ``job`` has one layer, on the machine.
    """
    machine = job.machine
    found = choose(machine, points, wanted.choices, wanted.order, job, wanted.clusters)
    each: list[Batching | None] = [None] * len(points)
    for at in np.flatnonzero(found.fits).tolist():
        each[at] = wanted.batching(machine, points, found, at)
    return each


def slice_widths(machine: Machine, layer: PlacedLayer) -> list[int]:
    """Return how wide the slices of a layer's outputs may be: all of it, or one tile."""
    return sorted({layer.op.out_features, min(machine.tile.columns, layer.op.out_features)})[::-1]


def _why_none_fits(
    machine: Machine,
    layer: PlacedLayer,
    shape: tuple[int, int, int, int, int],
    batch: int | None,
    choices: Sequence[LoraChoice],
) -> CapacityError | UnsupportedError:
    """Return why a layer cannot be adapted: there is no room, or no unit."""
    cluster, tokens = machine.cluster, shape[3]
    assert cluster is not None
    sizes = (*(2**i for i in range((tokens - 1).bit_length())), tokens)
    tried = [
        LoraProgram(*shape[:3], size, choice, columns)
        for choice in choices
        for columns in slice_widths(machine, layer)
        for size in ([min(batch, tokens)] if batch else sizes)
    ]
    reason, needs = UnsupportedError("no way to compute an adapter is left open"), []
    for program in [own for own in tried if fits(own, cluster)] or tried:
        try:
            program.on(cluster).cycles(cluster)
        except UnsupportedError as error:
            reason = error
        else:
            needs.append(program)
    if not needs:
        return reason
    least = min(needs, key=lambda program: program.tcdm_bytes(cluster, 1))
    return CapacityError(_does_not_fit(machine, layer, least))


def fits(program: LoraProgram, cluster: Cluster) -> bool:
    """Return whether a cluster has the room for one batch of a program, and the unit."""
    try:
        return program.tcdm_bytes(cluster, 1) <= cluster.tcdm.size
    except UnsupportedError:
        return False


def _does_not_fit(machine: Machine, layer: PlacedLayer, program: LoraProgram) -> str:
    cluster = machine.cluster
    assert cluster is not None
    need, size = program.tcdm_bytes(cluster, 1), cluster.tcdm.size
    fitting = [
        tokens
        for tokens in range(1, program.tokens)
        if program.of_tokens(tokens).tcdm_bytes(cluster, 1) <= size
    ]
    advice = (
        f"a batch of {fitting[-1]} fits"
        if fitting
        else f"not even one token fits; lower the rank (now {program.rank}), choose a strategy "
        "for whole networks such as xl_pipe, which adapts in slices"
    )
    return (
        f"{layer.name}: an adapter of {program.in_features} x {program.out_features} at rank "
        f"{program.rank} needs {format_bytes(need)} of TCDM for a batch of "
        f"{program.tokens}; a cluster of {machine.name} has {format_bytes(size)}; "
        f"{advice}, or raise cluster.tcdm.size"
    )
