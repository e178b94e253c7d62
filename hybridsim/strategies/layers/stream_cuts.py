"""Choosing how layers are streamed: all batches, buffers and ways at once, and the fastest by
running it.

The groups of a stretch run one after the other, so its time is the sum of theirs. What no group
beats is found for all cuts as columns; cuts are visited by that bound, and no more are once it
exceeds the best time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.choosers import BatchChooser
from hybridsim.strategies.layers.decisions import Group, room
from hybridsim.strategies.layers.stream_loads import BUSY, DMA, LayerLoads, StreamLoads
from hybridsim.strategies.layers.stream_runs import GroupRuns
from hybridsim.strategies.layers.streams import Cut, Reads, Stretch, cut_to_fit, layer_inputs
from hybridsim.units import Ints, ceil_div

_NEVER = np.iinfo(np.int64).max
"""Stands for the time of what does not fit."""


class Named(NamedTuple):
    """What a user may name for all stretches alike; None leaves it open."""

    batch: int | None = None
    way: int | None = None
    """The number of a chooser."""


OPEN = Named()


@dataclass
class StreamCuts:
    """The cuts of the stretches of a job, with each of some choosers."""

    job: Job
    choosers: Sequence[BatchChooser]
    sizes: Sequence[int]
    """Tokens of a batch, as far as a layer has as many."""
    buffers: int
    """The most batches in flight of a layer."""
    _known: dict[tuple[str, ...], tuple[list[int], Ints]] = field(default_factory=dict)
    """Batches and bounds of stretches, by their layers; likewise:"""
    _chosen: dict[tuple[tuple[str, ...], Named], tuple[int, Cut | None]] = field(
        default_factory=dict
    )
    _leasts: dict[tuple[str, ...], Ints] = field(default_factory=dict)
    _times: dict[tuple[tuple[str, ...], Cut | None], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Decide all layers for all batches and buffers."""
        tokens = {self.job.tokens_of(layer): None for layer in self.job.mapping.layers}
        batches = dict.fromkeys(own for most in tokens for own in self._batches(most))
        for chooser in self.choosers:
            chooser.prepare([*batches], self._buffers)

    def fastest(self, layers: Sequence[PlacedLayer], named: Named = OPEN) -> Cut | None:
        """Return the fastest cut of a stretch; None if no batch fits, or it is a single layer.

        Of equally fast ones it is the small batch, then the most buffers, then the first chooser.
        """
        return self._fastest(layers, named)[1]

    def named(self, stretches: Sequence[Stretch]) -> list[tuple[int, Named]]:
        """Return what could be named for all stretches, by a time that they then do not beat [ps].

        A batch, a way, or both, as far as they fit; fetches ahead are not counted.
        """
        ways, sizes = len(self.choosers), len(self.sizes)
        by_way, by_size = np.zeros(ways, np.int64), np.zeros(sizes, np.int64)
        both = np.zeros((ways, sizes), np.int64)
        for first, times in Counter(own.first for own in stretches).items():
            layers = stretches[first].layers
            if len(layers) > 1:
                each = self._least(layers)
                by_way += times * _known_only(each.min(axis=1))
                by_size += times * _known_only(each.min(axis=0))
                both += times * _known_only(each)
        found = [(int(by_way[way]), Named(None, way)) for way in range(ways)]
        for number, size in enumerate(self.sizes):
            found.append((int(by_size[number]), Named(size)))
            found += [(int(both[way, number]), Named(size, way)) for way in range(ways)]
        return sorted(found, key=lambda own: own[0])

    def takes_ps(self, stretches: Sequence[Stretch], named: Named, bound: int, most: int) -> int:
        """Return how long stretches take where something is named, without fetches ahead [ps].

        Or a time from ``bound`` on, as :meth:`named` gives it, that they do not beat, and that is
        no less than ``most``.
        """
        for first, times in Counter(own.first for own in stretches).items():
            if bound >= most:
                break
            layers, least = stretches[first].layers, 0
            if len(layers) > 1:
                each = self._least(layers)
                if named.way is not None:
                    each = each[[named.way]]
                if named.batch is not None:
                    each = each[:, [self.sizes.index(named.batch)]]
                least = int(_known_only(each.min()))
            bound += times * (self._fastest(layers, named)[0] - least)
        return bound

    def fetches_ps(self, groups: Sequence[Group]) -> int:
        """Return how long fetching A and B of all layers takes [ps]: what fetches ahead save."""
        return sum(
            own.order.clusters * self._loads.weights_ps(self.job.layers[name], own.program)
            for group in groups
            for name, own in group.members
            if own is not None
        )

    def _least(self, layers: Sequence[PlacedLayer]) -> Ints:
        """Return what a stretch does not beat with each chooser and size [ps].

        Shape (choosers, sizes).
        """
        key = tuple(layer.name for layer in layers)
        if key not in self._leasts:
            batches, bounds = self._bounds(layers)
            shape = len(self.choosers), len(batches), self.buffers
            each = np.where(bounds < 0, _NEVER, bounds).reshape(shape).min(axis=2)
            place = {batch: number for number, batch in enumerate(batches)}
            tokens = self.job.tokens_of(layers[0])
            at = [place[min(size, tokens)] for size in self.sizes]
            self._leasts[key] = each[:, at]
        return self._leasts[key]

    def _fastest(self, layers: Sequence[PlacedLayer], named: Named) -> tuple[int, Cut | None]:
        """Return how long the fastest cut takes [ps], and that cut."""
        key = tuple(layer.name for layer in layers), named
        if key not in self._chosen:
            found = self._run(layers, named) if len(layers) > 1 else None
            self._chosen[key] = found or (self._time_ps(layers, None), None)
        return self._chosen[key]

    def _run(self, layers: Sequence[PlacedLayer], named: Named) -> tuple[int, Cut] | None:
        batches, bounds = self._bounds(layers)
        some = np.array(batches, np.int64)
        kept = bounds >= 0
        if named.way is not None:
            kept[np.arange(len(kept)) != named.way] = False
        if named.batch is not None:
            own = some == min(named.batch, self.job.tokens_of(layers[0]))
            kept &= np.repeat(own, self.buffers)
        way, at = np.nonzero(kept)
        batch, less, bound = some[at // self.buffers], at % self.buffers, bounds[way, at]
        best: tuple[int, int, int, int] | None = None
        for place in np.lexsort((way, less, batch, bound)).tolist():
            if best is not None and bound[place] > best[0]:
                break
            number = int(batch[place]), int(less[place]), int(way[place])
            time = self._time_ps(layers, (number[0], self.buffers - number[1], number[2]))
            best = (time, *number) if best is None else min(best, (time, *number))
        if best is None:
            return None
        return best[0], (best[1], self.buffers - best[2], best[3])

    def _bounds(self, layers: Sequence[PlacedLayer]) -> tuple[list[int], Ints]:
        """Return the batches of a stretch, and times that its cuts do not beat [ps].

        Shape (choosers, batches x buffers); -1 where a layer does not fit.
        """
        key = tuple(layer.name for layer in layers)
        if key not in self._known:
            batches = self._batches(self.job.tokens_of(layers[0]))
            each = [self._bounds_ps(layers, batches, own) for own in self.choosers]
            self._known[key] = batches, np.stack(each)
        return self._known[key]

    def _batches(self, tokens: int) -> list[int]:
        return [*dict.fromkeys(min(size, tokens) for size in self.sizes)]

    @property
    def _buffers(self) -> list[int]:
        return [*range(self.buffers, 0, -1)]

    @cached_property
    def _inputs(self) -> dict[str, Reads]:
        return layer_inputs(self.job.mapping.network)

    @cached_property
    def _loads(self) -> StreamLoads:
        return StreamLoads(self.job)

    @cached_property
    def _runs(self) -> GroupRuns:
        return GroupRuns(self.job)

    def _time_ps(self, layers: Sequence[PlacedLayer], cut: Cut | None) -> int:
        """Return how long a stretch takes with a cut, or with each layer on its own [ps]."""
        key = tuple(layer.name for layer in layers), cut
        if key not in self._times:
            decide = self.choosers[cut[2] if cut else 0].batching
            groups = cut_to_fit(self.job, layers, self._inputs, decide, cut, "")
            self._times[key] = sum(self._runs.of(group) for group in groups)
        return self._times[key]

    def _bounds_ps(
        self, layers: Sequence[PlacedLayer], batches: Sequence[int], chooser: BatchChooser
    ) -> Ints:
        """Return times that a stretch does not beat [ps], shape (batches x buffers,).

        -1 where a layer does not fit.
        """
        groups = _Groups.of(self.job, len(batches) * self.buffers)
        for layer in layers:
            try:
                alone = Group(((layer.name, chooser.batching(layer)),))
            except (CapacityError, UnsupportedError):
                return np.full_like(groups.total, -1)
            least, time = self._mvm_ps(layer) + 0 * groups.total, self._runs.of(alone)
            if layer.adapter is None:
                groups.add(time, least)
                continue
            offered = chooser.offered(layer, batches)
            loads = self._loads.of(layer, offered)
            clusters = self.job.resources.in_turn(layer, offered.order.clusters)
            groups.fits &= offered.found.fits
            groups.add(time, least, clusters, offered.found.tcdm_bytes, loads)
        return np.where(groups.fits, groups.total + groups.last_ps(), -1)

    def _mvm_ps(self, layer: PlacedLayer) -> int:
        tokens = ceil_div(self.job.tokens_of(layer), layer.copies)
        return int(self.job.machine.tile_of(layer.sort).mvm_ps(*layer.op.matrices[1:], tokens))


@dataclass
class _Groups:
    """The groups that layers come in with each of some cuts, and times that they do not beat.

    Layers are added in order; one that does not fit beside those before it begins a group.
    """

    room: Ints
    """Scratchpad of each cluster [bytes]."""
    total: Ints
    """Of all groups but the last one [ps], shape (cuts,)."""
    fits: Bools
    alone: int = 0
    """What the layer that was added last takes in a group of its own [ps]."""
    members: Ints = field(init=False)
    """Layers of the last group."""
    least: Ints = field(init=False)
    """What no layer of it beats by itself [ps]."""
    held: Ints = field(init=False)
    """Scratchpad that it takes on each cluster, shape (clusters, cuts) [bytes]."""
    busy: Ints = field(init=False)
    """What its layers on a single cluster take of that, shape (units, clusters, cuts) [ps]."""
    together: Ints = field(init=False)
    """What all of them take of all clusters, shape (units, cuts) [ps]."""
    start: Ints = field(init=False)
    """At least before the first kernel [ps]."""
    end: Ints = field(init=False)
    """At least behind the last one [ps]."""
    used: Bools = field(init=False)
    """Whether it uses a cluster, shape (clusters, cuts)."""

    def __post_init__(self) -> None:
        clusters, cuts = len(self.room), len(self.total)
        self.members, self.least, self.start, self.end = np.zeros((4, cuts), np.int64)
        self.held = np.zeros((clusters, cuts), np.int64)
        self.busy = np.zeros((BUSY, clusters, cuts), np.int64)
        self.together = np.zeros((BUSY, cuts), np.int64)
        self.used = np.zeros((clusters, cuts), np.bool_)

    @classmethod
    def of(cls, job: Job, cuts: int) -> "_Groups":
        """Return no groups yet."""
        rooms = [room(job, number) for number in range(len(job.resources.clusters))]
        return cls(np.array(rooms, np.int64), np.zeros(cuts, np.int64), np.ones(cuts, np.bool_))

    def add(
        self,
        alone: int,
        least: Ints,
        clusters: Sequence[int] = (),
        tcdm_bytes: Ints | int = 0,
        loads: LayerLoads | None = None,
    ) -> None:
        """Add a layer: its time alone, one that it does not beat in any group, and what its
        adapter takes of its clusters together."""
        own = np.array(clusters, np.int64)
        over = (self.held[own] + tcdm_bytes > self.room[own, None]).any(axis=0)
        self._begin(np.flatnonzero(over & (self.members > 0)))
        self.members += 1
        self.least = np.maximum(self.least, least)
        self.alone = alone
        if loads is None:
            return
        self.least = np.maximum(self.least, loads.least)
        self.held[own] += tcdm_bytes
        self.together += loads.busy
        first = ~self.used.any(axis=0)
        self.start = np.where(first, loads.start, np.minimum(self.start, loads.start))
        self.end = np.where(first, loads.end, np.minimum(self.end, loads.end))
        self.used[own] = True
        if len(own) == 1:
            self.busy[:, own[0]] += loads.busy

    def _begin(self, at: Ints) -> None:
        """Begin a new group in some cuts."""
        if not len(at):
            return
        self.total[at] += self.last_ps()[at]
        for column in (self.members, self.least, self.held, self.busy, self.together, self.used):
            column[..., at] = 0

    def last_ps(self) -> Ints:
        """Return what the last group does not beat [ps]; of a single layer what it takes."""
        parts = np.maximum(self.used.sum(axis=0), 1)
        shared = ceil_div(self.together, parts)
        found = np.maximum(shared, self.busy.max(axis=1, initial=0))
        found[:DMA] += self.start + self.end
        return np.where(self.members == 1, self.alone, np.maximum(self.least, found.max(axis=0)))


def _known_only(least: Ints) -> Ints:
    """Return times that nothing beats; of what fits nowhere, and goes layer by layer, 0."""
    return np.where(least == _NEVER, 0, least)
