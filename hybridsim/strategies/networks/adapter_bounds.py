"""What clusters at least take for the adapter of a layer, for many sizes of batches at once."""

from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hybridsim.arch import Cluster, Machine
from hybridsim.errors import UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Bools
from hybridsim.programs import LoraProgram
from hybridsim.programs.adapting import batch_cycles, weight_cycles
from hybridsim.programs.lora_shares import with_shares
from hybridsim.records import record
from hybridsim.strategies.networks.adapters import NetworkAdapters
from hybridsim.strategies.networks.dataflow import Batches, Cuts
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.structure import NetworkStructure
from hybridsim.units import Ints, ceil_div


@record(frozen=True, slots=True, eq=False)
class Adapted:
    """What all clusters take for a layer's adapter, one entry per candidate."""

    load_ps: Ints
    """With A and B fetched for every batch."""
    saved_ps: Ints
    """What is saved where they stay from the first batch on."""
    bytes: Ints
    """What A and B take in all clusters that adapt a batch."""
    buffers: Ints
    """What the largest part of a batch at least takes beside A and B [bytes]."""
    first_ps: Ints
    """What each cluster takes for its part of the first batch."""
    last_ps: Ints
    """The same of the last batch, with A and B there where they may stay."""


@record(frozen=True, slots=True, eq=False)
class AtOnce:
    """What adapting 0, 1, 2, ... tokens at once takes on a cluster, as far as they fit."""

    cycles: Ints
    weights: int
    """Cycles of bringing in A and B beforehand."""
    bytes: Ints

    def knows(self, rows: Ints, narrower: bool) -> Bools:
        """Return whether a part of so many rows is cut as :meth:`tokens` says; what does not fit
        at once may go by slices of outputs where tiles are ``narrower`` than the layer."""
        most = len(self.cycles) - 1
        found: Bools = (rows <= most) if narrower else np.full(len(rows), most > 0)
        return found

    def tokens(self, rows: Ints) -> Ints:
        """Return the tokens that are adapted at once: of the fewest equal parts that fit."""
        most = max(1, len(self.cycles) - 1)
        found: Ints = np.minimum(ceil_div(rows, ceil_div(rows, most)), len(self.cycles) - 1)
        return found

    def cycles_of(self, rows: Ints, each: Ints, fetched: bool) -> Ints:
        """Return the cycles of so many rows, part by part, with or without fetching A and B."""
        at_once = np.maximum(each, 1)
        left = np.where(each > 0, rows % at_once, 0)
        found: Ints = rows // at_once * self.cycles[each] + self.cycles[left]
        return found + self.weights * fetched


class AdapterBounds:
    """Times that no candidate beats, by layer; of what is open, the ways to compute adapters."""

    def __init__(
        self,
        structure: NetworkStructure,
        machine: Machine,
        options: AdapterOptions,
        one: Cluster,
    ) -> None:
        """Take what candidates have in common; ``one`` is what cycles are counted on."""
        self._structure, self._machine = structure, machine
        self._options, self._one = options, one

    def of(self, layer: PlacedLayer, cut: Cuts, pieces: Ints) -> Adapted:
        """Return what the adapter of a layer takes, of which so many clusters share each batch."""
        cluster, options = self._machine.cluster, self._options
        assert cluster is not None
        rows, last = ceil_div(cut.full, pieces), ceil_div(cut.last, pieces)
        room = cluster.tcdm.size - self._adapters.kept_bytes
        shape = (layer.op.in_features, layer.op.out_features, self._structure.rank(layer.name))
        weights = cluster.element_bytes * shape[2] * (shape[0] + shape[1])
        loads: dict[bool, list[Ints]] = {False: [], True: []}
        ends: dict[bool, list[Ints]] = {False: [], True: []}
        begun, beside, known = list[Ints](), [], np.full(len(rows), bool(options.choices))
        for choice in options.choices:
            program = LoraProgram(*shape, int(rows.max()), choice)
            at_once = _at_once(self._one, program, room)
            known &= at_once.knows(rows, self._machine.tile_of(layer.sort).columns < shape[1])
            each = at_once.tokens(rows)
            beside.append(at_once.bytes[each] - weights)
            for stays, found in loads.items():
                again = not (stays or options.resident)
                first, usual, last_ps = (
                    cluster.to_ps(at_once.cycles_of(own, each, fetched))
                    for own, fetched in (
                        (rows, not options.resident),
                        (rows, again),
                        (last, again),
                    )
                )
                found.append(first + (cut.count > 1) * ((cut.count - 2) * usual + last_ps))
                ends[stays].append(np.where(cut.count > 1, last_ps, first))
            begun.append(first)
        least, end = (
            {stays: np.min(each, axis=0) if each else 0 * rows for stays, each in some.items()}
            for some in (loads, ends)
        )
        first = np.min(begun, axis=0) if begun else 0 * rows
        for stays in least:
            self._in_slices(layer, cut, (rows, last), stays, ~known,
                            (least[stays], first, end[stays]))  # fmt: skip
        buffers = np.where(known, np.min(beside, axis=0) if beside else 0, 0)
        if options.share:
            for column in (*least.values(), first, *end.values()):
                column[cut.count == 1] = 0  # several clusters may share it
        load, saved = pieces * least[False], pieces * (least[False] - least[True])
        end_ps = np.minimum(end[False], end[True]) if options.homes else end[False]
        return Adapted(load, saved, pieces * weights, buffers, first, end_ps)

    def _in_slices(
        self,
        layer: PlacedLayer,
        cut: Cuts,
        rows: tuple[Ints, Ints],
        stays: bool,
        which: Bools,
        found: tuple[Ints, Ints, Ints],
    ) -> None:
        """Set what an adapter that does not fit whole takes on a cluster, where ``which`` says so.

        ``found`` is of all batches, of the first one and of the last one; nothing where it fits
        nowhere. It depends on the rows of a cluster alone, and these are few.
        """
        pairs = np.stack(rows)[:, which]
        for full, last in dict.fromkeys(zip(*pairs.tolist(), strict=True)):
            at = which & (rows[0] == full) & (rows[1] == last)
            several = cut.count[at] > 1
            ways = self._adapters.parts_ps(layer, Batches(full, last, 2), stays)
            nothing: tuple[Any, Any, Any] = (0, 0, 0)
            each = [
                (first + several * ((cut.count[at] - 2) * usual + end), first,
                 np.where(several, end, first))
                for first, usual, end in ways
            ] or [nothing]  # fmt: skip
            for column, values in zip(found, zip(*each, strict=True), strict=True):
                column[at] = np.min(values, axis=0)

    @cached_property
    def _adapters(self) -> NetworkAdapters:
        return NetworkAdapters(self._structure.network, self._machine, self._options)


@lru_cache(maxsize=256)
def _at_once(cluster: Cluster, largest: LoraProgram, room: int) -> AtOnce:
    """Return what adapting up to so many tokens at once takes."""
    tokens = np.arange(1, largest.tokens + 1)
    nothing = np.zeros(1, np.int64)
    try:
        sizes: Any = largest.of_tokens(tokens).tcdm_bytes(cluster, 1)  # type: ignore[arg-type]
        fits = sizes <= room
        tokens = tokens[: len(fits) if np.all(fits) else int(np.argmin(fits))]
        if len(tokens):
            columns = with_shares(largest.of_tokens(tokens), cluster)  # type: ignore[arg-type]
            first, second, _ = batch_cycles(columns, cluster)
            weights = sum(weight_cycles(largest, cluster))
            cycles = np.concatenate((nothing, first + second))
            return AtOnce(cycles, weights, np.concatenate((nothing, sizes[: len(tokens)])))
    except UnsupportedError:
        pass
    return AtOnce(nothing, 0, nothing)
