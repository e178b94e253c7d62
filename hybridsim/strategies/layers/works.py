"""What each step of each batch of a layer does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeVar

from hybridsim.plan import Mostly
from hybridsim.programs import LoraProgram
from hybridsim.records import record
from hybridsim.strategies.layers.batches import Batching
from hybridsim.work import NOTHING, Work, mvm

T = TypeVar("T")


@record(frozen=True, slots=True, eq=False)
class BatchPrograms:
    """The programs of the batches of a layer; of many layers at once where they are columns."""

    full: LoraProgram
    first: tuple[LoraProgram, ...] = ()
    """Of the first batches, where they are smaller."""
    last: tuple[LoraProgram, ...] = ()

    @classmethod
    def of(cls, batching: Batching) -> "BatchPrograms":
        """Return the programs of the batches of one layer."""
        sizes = batching.sizes
        first = tuple(batching.program_of(size) for size in sizes.first)
        return cls(batching.program, first, tuple(batching.program_of(n) for n in sizes.last))

    def each(self, work: Callable[[LoraProgram], Work]) -> Mostly:
        """Return the works of a step in all batches, from that in a batch of a program."""
        first, last = (tuple(work(own) for own in some) for some in (self.first, self.last))
        return Mostly(work(self.full), last, first)


@record(frozen=True, slots=True, eq=False)
class BatchWorks:
    """Works of the steps of a layer: one per batch, or one per layer."""

    load_a: Work
    load_b: Work
    mvms: Work
    """The MVMs of all tokens at once, where they are not done batch by batch."""
    mvm: Mostly
    load_x: Mostly
    load_y: tuple[Mostly, ...]
    """Fetching each slice of Y."""
    store_z: tuple[Mostly, ...]
    """Storing that slice of Z, which is as large."""
    kernels: tuple[Mostly, ...]

    def each(self, new: Callable[[Work], Work]) -> "BatchWorks":
        """Return the same with a new work for every one, asked for in a fixed order."""

        def mostly(works: Mostly) -> Mostly:
            ordered = in_slots(works.first, works.last, works.usual)
            *ends, usual = map(new, ordered)
            return Mostly(usual, tuple(ends[: len(works.last)]), tuple(ends[len(works.last) :]))

        def all_of(some: tuple[Mostly, ...]) -> tuple[Mostly, ...]:
            return tuple(map(mostly, some))

        return BatchWorks(
            load_a=new(self.load_a),
            load_b=new(self.load_b),
            mvms=new(self.mvms),
            mvm=mostly(self.mvm),
            load_x=mostly(self.load_x),
            load_y=all_of(self.load_y),
            store_z=all_of(self.store_z),
            kernels=all_of(self.kernels),
        )

    def numbered(self) -> tuple["BatchWorks", list[Work]]:
        """Return the same with works that are numbers of slots, and the work of each slot.

        A plan made of slots fits all layers that have as many batches, slices and kernels.
        """
        slots: list[Work] = []
        numbers = count()

        def slot(work: Work) -> Work:
            slots.append(work)
            return Work(work.part, "slot", work.label, (next(numbers),))

        return self.each(slot), slots


def in_slots(first: Sequence[T], last: Sequence[T], usual: T) -> list[T]:
    """Return what the slots of a step hold of its first, last and usual batches, in their order.

    Those of :meth:`BatchWorks.numbered`, which has what is done once per layer before all steps.
    """
    return [*last, *first, usual]


def batch_works(
    element_bytes: int, programs: BatchPrograms, tokens: int, copies: int = 1
) -> BatchWorks:
    """Return the works of a layer of so many tokens on so many copies of its weights.

    Its numbers have so many bytes.
    """
    full = programs.full
    inner, outer = full.in_features, full.out_features

    def moved(label: str, index: int | None) -> Mostly:
        def work(program: LoraProgram) -> Work:
            width = inner if index is None else program.slices[index]
            return transfer(label, program.tokens * width * element_bytes, program.tokens)

        return programs.each(work)

    return BatchWorks(
        *once_works(element_bytes, full, tokens, copies),
        mvm=programs.each(lambda program: mvm(((inner, outer),), program.tokens, copies)),
        load_x=moved("load x", None),
        load_y=tuple(moved("load y", index) for index in range(len(full.slices))),
        store_z=tuple(moved("store z", index) for index in range(len(full.slices))),
        kernels=tuple(
            programs.each(lambda program, i=i: program.kernels[i].work)  # type: ignore[misc]
            for i in range(len(full.kernels))
        ),
    )


def once_works(
    element_bytes: int, full: LoraProgram, tokens: int, copies: int
) -> tuple[Work, Work, Work]:
    """Return what is done once per layer: fetching A and B, and all MVMs at once."""
    inner, outer = full.in_features, full.out_features
    return (
        transfer("load a", inner * full.rank * element_bytes),
        transfer("load b", outer * full.rank * element_bytes),
        mvm(((inner, outer),), tokens, copies),
    )


def transfer(label: str, size: int, tokens: int = NOTHING) -> Work:
    """Return a transfer of ``size`` bytes by the DMA of a cluster over the link."""
    return Work("dma", "transfer", label, (size,), tokens, size)


def ahead_of(work: Work, prefix: str) -> Work:
    """Return a transfer of A or B, under another name where it comes ahead of its layer."""
    if prefix == "load":
        return work
    return replace(work, label=work.label.replace("load", prefix), bytes=NOTHING)
