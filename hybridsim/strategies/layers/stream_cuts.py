"""Choosing how layers are streamed: all batches, buffers and ways at once, and the fastest by
running it.

The groups of a stretch run one after the other, so its time is the sum of theirs. What no group
beats is found for all cuts as columns; cuts are visited by that bound, and no more are once it
exceeds the best time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.choosers import BatchChooser
from hybridsim.strategies.layers.decisions import Group
from hybridsim.strategies.layers.stream_groups import CutGroups, Offers
from hybridsim.strategies.layers.stream_loads import StreamLoads
from hybridsim.strategies.layers.stream_runs import Adapted, GroupRuns
from hybridsim.strategies.layers.streams import Cut, Reads, Stretch, layer_inputs
from hybridsim.strategies.layers.way_times import BatchTables
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
    _offers: dict[tuple[str, ...], list[Offers]] = field(default_factory=dict)
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
            self._known[key] = batches, np.stack([bounds for bounds, _ in each])
            self._offers[key] = [offers for _, offers in each]
        return self._known[key]

    def _batches(self, tokens: int) -> list[int]:
        return [*dict.fromkeys(min(size, tokens) for size in self.sizes)]

    @property
    def _buffers(self) -> list[int]:
        return [*range(self.buffers, 0, -1)]

    @cached_property
    def _inputs(self) -> Mapping[str, Reads]:
        return layer_inputs(self.job.mapping.network)

    @cached_property
    def _tables(self) -> BatchTables:
        return BatchTables(self.job)

    @cached_property
    def _loads(self) -> StreamLoads:
        return StreamLoads(self.job, self._tables)

    @cached_property
    def _runs(self) -> GroupRuns:
        return GroupRuns(self.job, self._tables)

    def _time_ps(self, layers: Sequence[PlacedLayer], cut: Cut | None) -> int:
        """Return how long a stretch takes with a cut, or with each layer on its own [ps]."""
        key = tuple(layer.name for layer in layers), cut
        if key not in self._times:
            if cut is None:
                chooser = self.choosers[0]
                self._times[key] = sum(self._alone_ps(layer, chooser) for layer in layers)
            else:
                self._times[key] = self._cut_ps(layers, cut)
        return self._times[key]

    def _cut_ps(self, layers: Sequence[PlacedLayer], cut: Cut) -> int:
        """Return how long a stretch takes with a cut [ps], in the groups that its bound is of."""
        size, buffers, way = cut
        names = tuple(layer.name for layer in layers)
        batches, _ = self._bounds(layers)
        column = batches.index(size) * self.buffers + self.buffers - buffers
        own = self._offers[names][way]
        begin = [*np.flatnonzero(own.begins[:, column]).tolist(), len(layers)]
        reads, total = self._reads(layers), 0
        for first, end in pairwise(begin):
            if end == first + 1:  # on its own it may choose its batch freely
                total += self._alone_ps(layers[first], self.choosers[way])
                continue
            members = [(layers[i], own.adapted(layers[i], i, column)) for i in range(first, end)]
            inputs = tuple(
                tuple([other - first for other in reads[i] if other >= first])
                for i in range(first, end)
            )
            total += self._runs.of(members, inputs, size)
        return total

    def _alone_ps(self, layer: PlacedLayer, chooser: BatchChooser) -> int:
        """Return how long a layer takes on its own, its batch and buffers left open [ps].

        Raises:
            CapacityError: Nothing fits.
            UnsupportedError: Its cluster lacks a unit.
        """
        batching = chooser.batching(layer)
        return self._runs.of([(layer, None if batching is None else Adapted.of(batching))])

    def _reads(self, layers: Sequence[PlacedLayer]) -> list[list[int]]:
        """Return the layers, by number, of whose output each needs only the same tokens."""
        place = {layer.name: i for i, layer in enumerate(layers)}
        reads = [self._inputs[layer.name].batchwise for layer in layers]
        return [sorted(place[name] for name in own if name in place) for own in reads]

    def _bounds_ps(
        self, layers: Sequence[PlacedLayer], batches: Sequence[int], chooser: BatchChooser
    ) -> tuple[Ints, Offers]:
        """Return times that a stretch does not beat [ps], shape (batches x buffers,).

        -1 where a layer does not fit. And what its layers get.
        """
        groups = CutGroups.of(self.job, len(batches) * self.buffers)
        offers = Offers.of(len(layers), len(groups.total))
        for number, layer in enumerate(layers):
            try:
                time = self._alone_ps(layer, chooser)
            except (CapacityError, UnsupportedError):
                return np.full_like(groups.total, -1), offers
            least = self._mvm_ps(layer) + 0 * groups.total
            if layer.adapter is None:
                offers.begins[number] = groups.add(time, least)
                offers.each.append(None)
                continue
            offered = chooser.offered(layer, batches)
            loads = self._loads.of(layer, offered)
            clusters = self.job.resources.in_turn(layer, offered.order.clusters)
            groups.fits &= offered.found.fits
            held = offered.found.tcdm_bytes
            offers.begins[number] = groups.add(time, least, clusters, held, loads)
            offers.each.append(offered)
        return np.where(groups.fits, groups.total + groups.last_ps(), -1), offers

    def _mvm_ps(self, layer: PlacedLayer) -> int:
        tokens = ceil_div(self.job.tokens_of(layer), layer.copies)
        return int(self.job.machine.tile_of(layer.sort).mvm_ps(*layer.op.matrices[1:], tokens))


def _known_only(least: Ints) -> Ints:
    """Return times that nothing beats; of what fits nowhere, and goes layer by layer, 0."""
    return np.where(least == _NEVER, 0, least)
