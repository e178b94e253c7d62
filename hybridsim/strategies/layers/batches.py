"""How the tokens of a layer are cut into batches, and what is decided of them, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.programs import LoraProgram
from hybridsim.programs.lora_shares import programs_of
from hybridsim.records import record
from hybridsim.units import Ints


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """How the batches of a layer follow each other."""

    early: bool = False
    """Whether what needs only the input runs before the batch has left the tiles."""
    first_batch: int | None = None
    """Tokens of the first batch, from which batches double up to the full size; None: no ramp."""
    last_batch: int | None = None
    """Tokens of the last batch, down to which batches halve; None: no ramp."""
    clusters: int = 1
    """Clusters that take the batches in turn."""
    overlap: bool = True
    """Whether clusters work while the tiles do; otherwise all MVMs of the layer come first, and
    the batches one after the other."""

    @property
    def plain(self) -> bool:
        """Whether all batches are alike and begin when the tiles are done with them."""
        return not self.early and not self.ramped and self.clusters == 1

    @property
    def ramped(self) -> bool:
        """Whether the first or the last batches are smaller than the others."""
        return self.first_batch is not None or self.last_batch is not None


PLAIN = BatchOrder()


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """How many tokens each batch of a layer has, as large however many batches there are."""

    first: tuple[int, ...]
    full: int
    """Tokens of a full batch."""
    count: int
    """How many full batches there are, between the first and the last ones."""
    last: tuple[int, ...]

    @classmethod
    def of(cls, tokens: int, batch: int, order: BatchOrder = PLAIN) -> "BatchSizes":
        """Return how tokens are cut into batches.

        Full batches, and what is left over as the last one. With a ramp at the end what is left
        over comes before the full batches, as a small batch costs least where nothing waits.
        """
        up, down = _ramps(tokens, batch, order.first_batch, order.last_batch)
        count, rest = divmod(tokens - sum(up) - sum(down), batch)
        left = (rest,) * (rest > 0)
        first, last = ((*up, *left), tuple(down)) if down else (tuple(up), left)
        return cls(first, batch, count, last)

    @property
    def tokens(self) -> int:
        """Tokens of all batches."""
        return sum(self.first) + self.count * self.full + sum(self.last)

    @property
    def batches(self) -> int:
        """Batches of the layer."""
        return len(self.first) + self.count + len(self.last)

    @property
    def different(self) -> tuple[int, ...]:
        """The sizes that there are, each once, that of full batches first."""
        return tuple(dict.fromkeys((self.full, *self.first, *self.last)))

    @property
    def counts(self) -> dict[int, int]:
        """Size -> how many batches have it, for those that are there."""
        found = {self.full: self.count} if self.count else {}
        for size in (*self.first, *self.last):
            found[size] = found.get(size, 0) + 1
        return found

    def each(self) -> Ints:
        """Return the tokens of each batch, first to last."""
        sizes = np.full(self.batches, self.full, np.int64)
        sizes[: len(self.first)] = self.first
        sizes[self.batches - len(self.last) :] = self.last
        return sizes


def _ramps(
    tokens: int, batch: int, first: int | None, last: int | None
) -> tuple[list[int], list[int]]:
    """Return the sizes below ``batch`` that double from ``first``, and that halve to ``last``.

    Ramps take at most all tokens; where they do not fit the steps next to the full batch go.
    """
    up = [*_doubling(first, batch)] if first else []
    down = [*_doubling(last, batch)] if last else []
    while sum(up) + sum(down) > tokens:
        (up if len(up) > len(down) else down).pop()
    return up, down[::-1]


def _doubling(first: int, below: int) -> Iterator[int]:
    while first < below:
        yield first
        first *= 2


@record(frozen=True, slots=True, eq=False)
class SizeColumns:
    """:class:`BatchSizes` of many layers, as columns."""

    up: Ints
    """Batches of the ramp at the beginning."""
    left: Ints
    """Tokens of the batch that holds what is left over; 0 for none."""
    batch: Ints
    """Tokens of a full batch."""
    count: Ints
    """Full batches."""
    down: Ints
    """Batches of the ramp at the end."""
    smallest: tuple[Ints, Ints]
    """Tokens of the first batch of the first ramp, and of the last one of the second; 0: none."""

    @classmethod
    def of(cls, tokens: Ints, batch: Ints, first: int | Ints, last: int | Ints) -> "SizeColumns":
        """Return how tokens are cut into batches, as :meth:`BatchSizes.of` says.

        ``first`` and ``last`` are the tokens with which ramps begin and end, 0 for no ramp.
        """
        one, other = (np.broadcast_to(np.array(n, np.int64), batch.shape) for n in (first, last))
        if not np.any(first) and not np.any(last):
            count, left = np.divmod(tokens, batch)
            none = np.zeros_like(left)
            return cls(none, left, batch, count, none, (one, other))
        up, down = _steps_below(batch, one), _steps_below(batch, other)
        while True:
            ramps = one * ((1 << up) - 1) + other * ((1 << down) - 1)
            over = ramps > tokens
            if not over.any():
                break
            longer = up > down
            up, down = up - (over & longer), down - (over & ~longer)
        count, left = np.divmod(tokens - ramps, batch)
        return cls(up, left, batch, count, down, (one, other))

    def where(self, kept: Ints) -> "SizeColumns":
        """Return those of some layers."""
        columns = (self.up, self.left, self.batch, self.count, self.down)
        up, left, batch, count, down = (column[kept] for column in columns)
        first, last = self.smallest
        return SizeColumns(up, left, batch, count, down, (first[kept], last[kept]))

    @property
    def before(self) -> Ints:
        """Batches before the full ones."""
        return self.up + ((self.left > 0) & (self.down > 0))

    @property
    def after(self) -> Ints:
        """Batches after the full ones."""
        return np.where(self.down > 0, self.down, self.left > 0)

    @property
    def batches(self) -> Ints:
        """Batches of each layer."""
        return self.before + self.count + self.after

    def others(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield the tokens of batches that are not full, and how many there are of each."""
        first, last = self.smallest
        yield self.left, (self.left > 0).astype(np.int64)
        for ramp, steps in ((first, self.up), (last, self.down)):
            for step in range(int(steps.max(initial=0))):
                yield ramp << step, (step < steps).astype(np.int64)

    @property
    def different(self) -> Ints:
        """Places of a batch: the first ones, the last ones, and that of all full ones."""
        return self.before + self.after + 1

    def at(self, place: Ints) -> Ints:
        """Return the tokens of a batch at a place: of the last, of the first, or a full one."""
        (first, last), before, after = self.smallest, self.before, self.after
        ending = np.where(self.down > 0, last << np.maximum(after - 1 - place, 0), self.left)
        step = np.maximum(place - after, 0)
        rising = np.where(step < self.up, first << np.minimum(step, self.up), self.left)
        found: Ints = np.where(place < after, ending, rising)
        return np.where(place < after + before, found, self.batch)

    def ends(self) -> tuple[list[Ints], list[Ints]]:
        """Return the sizes of the first and of the last batches, each a column.

        All layers have as many of them.
        """
        before, after = int(self.before[0]), int(self.after[0])
        sizes = [self.at(np.full(len(self.batch), place)) for place in range(before + after)]
        return sizes[after:], sizes[:after]

    @property
    def first_size(self) -> Ints:
        """Tokens of the first batch of all."""
        first, last = self.smallest
        ending = np.where(self.down > 0, last << np.maximum(self.down - 1, 0), self.left)
        middle = np.where(self.count > 0, self.batch, ending)
        middle = np.where((self.down > 0) & (self.left > 0), self.left, middle)
        return np.where(self.up > 0, first, middle)

    @property
    def last_size(self) -> Ints:
        """Tokens of the last batch of all."""
        first, last = self.smallest
        middle = np.where(self.count > 0, self.batch, first << np.maximum(self.up - 1, 0))
        middle = np.where(self.left > 0, self.left, middle)
        return np.where(self.down > 0, last, middle)


def _steps_below(batch: Ints, first: Ints) -> Ints:
    """Return how often ``first`` can be doubled and be below ``batch``, itself counted."""
    ratio = batch / np.maximum(first, 1)
    steps: Ints = np.ceil(np.log2(np.maximum(ratio, 1))).astype(np.int64)
    return np.where(first > 0, steps, 0)


@dataclass(frozen=True)
class Batching:
    """How the adapter of one layer is computed: batches, choice of unit, buffers, clusters."""

    program: LoraProgram
    """The program of a full batch, its rows shared."""
    buffers: int
    """Batches in flight on a cluster, as many as fit and are wanted."""
    order: BatchOrder
    sizes: BatchSizes
    smaller: tuple[LoraProgram, ...]
    """The programs of the first and last batches of other sizes, each once."""
    tcdm_bytes: int
    """Scratchpad taken, on each of its clusters [bytes]."""

    @classmethod
    def of(
        cls, cluster: Cluster, program: LoraProgram, buffers: int, order: BatchOrder, tokens: int
    ) -> "Batching":
        """Return the batching of so many tokens, one and the same for equal ones.

        Raises:
            UnsupportedError: The cluster lacks a unit of the program.
        """
        return _batching(cluster, program, buffers, order, tokens)

    @property
    def batch(self) -> int:
        """Tokens per batch."""
        return int(self.program.tokens)

    def program_of(self, tokens: int) -> LoraProgram:
        """Return the program of a batch of so many tokens."""
        programs = (self.program, *self.smaller)
        return next(program for program in programs if program.tokens == tokens)

    def weight_bytes(self, element_bytes: int) -> int:
        """Return what A and B take [bytes]."""
        program = self.program
        size: int = program.rank * (program.in_features + program.out_features) * element_bytes
        return size

    @cached_property
    def _hash(self) -> int:
        return hash((self.program, self.buffers, self.order, self.sizes, self.tcdm_bytes))

    def __hash__(self) -> int:
        return self._hash  # decisions of many layers are compared at every point of a sweep


@lru_cache(maxsize=8192)
def _batching(
    cluster: Cluster, program: LoraProgram, buffers: int, order: BatchOrder, tokens: int
) -> Batching:
    sizes = BatchSizes.of(tokens, int(program.tokens), order)
    program, *smaller = programs_of(program, cluster, sizes.different)
    need = program.tcdm_bytes(cluster, buffers)
    return Batching(program, buffers, order, sizes, tuple(smaller), need)
