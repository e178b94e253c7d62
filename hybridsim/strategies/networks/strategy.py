"""What strategies for whole networks have in common: options, and the search for a batch.

A strategy is a choice of options over one way to decide and one layout; none has code of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, model_validator

from hybridsim._old_names import OldAttribute, say, with_new_keys
from hybridsim.arch import Machine
from hybridsim.engines import Dispatch
from hybridsim.programs import CHOICES, LoraChoice, OrderOption, on_machine
from hybridsim.programs.attention import Form, KeysValues
from hybridsim.strategies.job import Job, Schedule
from hybridsim.strategies.networks.adapters import fit_every_cluster
from hybridsim.strategies.networks.bounds import NetworkBounds
from hybridsim.strategies.networks.least import Bounds, Least, least
from hybridsim.strategies.networks.options import (
    AdapterOptions,
    DecidingOptions,
    Keep,
    OpUnits,
)
from hybridsim.strategies.networks.plans import NetworkDecisions
from hybridsim.strategies.networks.reads import decided
from hybridsim.strategies.networks.running import Running
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.units import Count, Ints, Spec


def _kept_for(value: object) -> object:
    if value != "chunk":
        return value
    say("keep_adapters 'chunk'", "'batch'")
    return "batch"


def _batch(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if (whole and value > 0) or value in ("all", "best"):  # type: ignore[operator]
        return value
    raise ValueError(f"found {str(value)[:40]!r}; write a number of tokens above 0, all or best")


Batch = Annotated[int | Literal["all", "best"], BeforeValidator(_batch)]
WholeLayers = Annotated[
    Literal["all"], BeforeValidator(lambda value: "all" if _batch(value) else value)
]
"""The batch of a strategy that finishes an op for all tokens; a given batch changes nothing."""

KeepAdapters = Annotated[Literal["best", "network", "layer", "batch"], BeforeValidator(_kept_for)]

_UNITS = ("matrix_engine", "cores", "both")
_ORDERS: tuple[OrderOption, ...] = ("natural", "direct", "swapped")
_LEAST_BATCH = 8
"""The smallest of the batches that a search tries first. Source: HARP, {8, 16, 32, ..., all}."""
_EVERY = 1024
"""Up to here every batch is tried; beyond, powers of two and all tokens."""

Choice = tuple[Batch, Keep, tuple[LoraChoice, ...]]
"""One choice of what a strategy leaves open; of several ways to compute adapters each layer takes
the one whose work on a batch is shortest."""

KnownBounds = dict[tuple[DecidingOptions, tuple[int, ...]], NetworkBounds]
"""Bounds of a job, by options and batches."""


class NetworkStrategy(Spec):
    """A strategy that covers every op of a network that takes time."""

    kind: str
    batch: Batch = "best"
    """Tokens that go from op to op together; ``all`` finishes an op for all tokens before the
    next one starts, ``best`` takes the fastest of 1, 2, 3, ... 1024, 2048, 4096, ... and all."""
    where: OpUnits = OpUnits()
    """On which part of the machine each kind of op is computed."""
    split: bool = True
    """Whether attention is split over clusters by heads, norms by rows, others by columns."""
    attention: Form = "pipelined"
    """How a cluster computes attention; over too many keys it takes the form ``flash``."""
    keys_values: KeysValues = "reread"
    """Whether a cluster fetches K and V again for every batch of queries.
    Source of the default: HARP."""
    queries: Count | None = None
    """Queries that a cluster works on at a time where an op ends for all tokens; the fastest
    number of {8, 16, 32, ..., all} unless given, or all of them in the form ``sequential``."""
    flash: Literal["needed", "always"] = "needed"
    """Whether attention goes over warps of keys wherever it can, or only where a row of scores
    does not fit. A strategy whose attention is sequential does one warp after the other."""
    warp: Count | None = None
    """Keys that the form ``flash`` takes at a time; as many as fit unless given."""
    barrier: bool = False
    """Whether a block waits for the last batch of the block before, and so does what the SRAM does
    not hold of its keys and values."""
    dispatch: Dispatch = "online"
    """Whether a part starts what is ready, or keeps to an order reserved ahead of time."""
    unit: Literal["matrix_engine", "cores", "both", "best"] = "matrix_engine"
    """Which part of a cluster multiplies for adapters; ``best`` takes the fastest.
    Source of the default: Li et al. 2026 run the adapters on RedMulE."""
    order: OrderOption = "natural"
    """Operand order of the adapters on the matrix engine: X A (``direct``), A^T X^T (``swapped``),
    the faster one (``best``), or the one that takes X as it arrives (``natural``)."""
    early_xa: bool = False
    """Whether X A runs beside the MVMs of its batch; U is stored in between."""
    keep_adapters: KeepAdapters = "best"
    """How long A and B stay in a cluster: those of the whole ``network`` for good, in every
    cluster; those of a ``layer`` in clusters of its own while all batches pass, where there is
    room; or for one ``batch``. ``best`` takes the fastest of these that fits.
    """
    share_adapters: Literal["never", "best"] = "never"
    """Whether several clusters share the adapter of a single batch that is too small to be cut by
    rows, such as a generated token: by ranks for X A, then by outputs for U B + Y, with U over
    the link in between. ``best`` takes the number of clusters that is fastest for the layer by
    itself, one included."""
    kept_over_link: bool = False
    """Whether kept keys and values are charged to the link on their way from the SRAM.
    Source of the default: HARP, where only the DMA of the cluster counts."""
    adapters_by_capacity: bool = False
    """Whether adapters take room in the SRAM, and come from the DRAM where they do not fit; all
    are taken to be there otherwise."""

    chunk: ClassVar[OldAttribute] = OldAttribute("batch")

    @model_validator(mode="before")
    @classmethod
    def _batch_was_a_chunk(cls, given: Any) -> Any:
        return with_new_keys(given, {"chunk": "batch"}, "option")

    def schedule(self, job: Job) -> Schedule:
        """Return the plan of the whole network, with the batch that is fastest if it is open.

        Raises:
            CapacityError: Something does not fit the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        if self.batch != "best" or job.rows == 1 or not self.takes_the_fastest:
            return self.decide(job).lay_out(job)
        found = self.fastest(job)
        schedule, taken = found.what.lay_out(job), found.what.batch
        said = "all tokens at once" if taken in (None, job.rows) else f"{taken} tokens"
        note = (
            f"batch of {said}: the fastest of {len({*_batches_of(job.rows)}) - 1}; {found.run} "
            f"plans of {found.candidates} were run, bounds exclude the others"
        )
        return replace(schedule, notes=(*schedule.notes, note))

    @property
    def takes_the_fastest(self) -> bool:
        """Whether what is decided is the fastest of :meth:`candidates`; a class from outside may
        decide by itself, and is asked then."""
        return type(self).decide is NetworkStrategy.decide

    def decide(self, job: Job) -> NetworkDecisions:
        """Return what is done where and how; of what the options leave open, the fastest.

        The fastest is found by laying out, pricing and executing each candidate that no bound
        excludes; of several, the first is taken.

        Raises:
            CapacityError: Nothing fits the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        choices = self.candidates(job)
        return self.decide_for(job, choices[0]) if len(choices) == 1 else self.fastest(job).what

    def fastest(self, job: Job) -> Least[NetworkDecisions]:
        """Return the fastest candidate, with how long it takes.

        Raises:
            CapacityError: Nothing fits the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        choices = self.candidates(job)
        running = Running(job)

        def run(choice: Choice) -> tuple[int, NetworkDecisions]:
            return running.run(self.deciding(job, choice))

        return least(choices, self.bounds(job, choices), run)

    def candidates(self, job: Job) -> list[Choice]:
        """Return the batches, how long adapters stay, and in which ways they are computed, of
        which the fastest is taken: all that could have been named is among them.

        Batches of 8, 16, 32, ... and all tokens come first, then all others.
        """
        batches: list[Batch] = [self.batch]
        if self.batch == "best":
            batches = [*_batches_of(job.rows)]
        ways, kept = self._ways(job), {more: self._kept(job, more) for more in (False, True)}
        return [
            (batch, keep, choices)
            for batch in batches
            for keep in kept[batch != "all" and int(batch) < job.rows]
            for choices in ways
        ]

    def leading(self, job: Job, choices: Sequence[Choice]) -> int:
        """Return how many candidates come first: with batches that are mostly near the best."""
        first = {self.batch, *_first_batches(job.rows)}
        return sum(batch in first for batch, _, _ in choices)

    def bounds_ps(self, job: Job, choices: Sequence[Choice]) -> Ints:
        """Return times that no plan of some candidates beats [ps]."""
        return self.bounds(job, choices).sharp_ps

    def bounds(
        self, job: Job, choices: Sequence[Choice], known: KnownBounds | None = None
    ) -> Bounds:
        """Return times that no plan of some candidates beats: by what pools carry, and sharper
        ones by the longest way.

        Strategies that are asked about the same job may share what is ``known``.
        """
        quick = np.zeros(len(choices), np.int64)
        sharper = list[tuple[Ints, Callable[[], Ints]]]()
        known = {} if known is None else known
        alike: dict[tuple[Any, ...], list[int]] = {}
        for place, (batch, *others) in enumerate(choices):
            alike.setdefault((batch == "all", *others), []).append(place)
        for places in alike.values():
            # barriers have a say in the longest way alone, dispatch in nothing that bounds know
            options = replace(
                self.deciding(job, choices[places[0]]), barrier=False, dispatch="online"
            )
            batches = [choices[place][0] for place in places]
            sizes = tuple([job.rows if n == "all" else min(int(n), job.rows) for n in batches])
            if (options, sizes) not in known:
                given = structure_of(job), job.machine, options
                known[options, sizes] = NetworkBounds(*given, np.array(sizes, np.int64))
            own = known[options, sizes]
            quick[places] = own.pools_ps
            sharper.append((np.array(places), partial(own.least_ps, self.barrier)))
        return Bounds(quick, tuple(sharper))

    def _kept(self, job: Job, several: bool) -> list[Keep]:
        """Return how long adapters may stay, as far as the option leaves it open."""
        network = job.mapping.network
        if not network.adapted_layers:
            return ["batch"]
        if self.keep_adapters != "best":
            return [self.keep_adapters]
        own: list[Keep] = ["layer", "batch"] if several else ["batch"]
        return ["network", *own] if fit_every_cluster(job.mapping) else own

    def decide_for(self, job: Job, choice: Choice) -> NetworkDecisions:
        """Return what is decided for one choice of what is open, without executing anything.

        Raises:
            CapacityError: Something does not fit the memory it needs, or there is no cluster.
            UnsupportedError: The machine lacks a unit that the strategy asks for.
        """
        return decided(structure_of(job), job.machine, self.deciding(job, choice))

    def deciding(self, job: Job, choice: Choice) -> DecidingOptions:
        """Return the options of a decision for one choice of what is open."""
        batch, keep, choices = choice
        return DecidingOptions(
            batch=None if batch == "all" else min(int(batch), job.rows),
            keep=keep,
            where=self.where,
            split=self.split,
            attention=self.attention,
            keys_values=self.keys_values,
            queries=self.queries,
            flash=self.flash == "always",
            warp=self.warp,
            barrier=self.barrier,
            dispatch=self.dispatch,
            adapters=AdapterOptions(
                choices,
                self.early_xa,
                keep == "network",
                keep == "layer",
                self.share_adapters == "best",
            ),
            move_kept=self.kept_over_link,
            by_capacity=self.adapters_by_capacity,
        )

    def _ways(self, job: Job) -> list[tuple[LoraChoice, ...]]:
        """Return the ways that are open, all of them and those of each unit and order alone."""
        if not job.mapping.network.adapted_layers:
            return [_choices(job.machine, self.unit, self.order)]
        units = (self.unit, *(_UNITS if self.unit == "best" else ()))
        orders = (self.order, *(_ORDERS if self.order == "best" else ()))
        found = [_choices(job.machine, unit, order) for unit in units for order in orders]
        return [*dict.fromkeys(own for own in found if own or len(found) == 1)]


def _choices(machine: Machine, unit: str, order: OrderOption) -> tuple[LoraChoice, ...]:
    return tuple(
        choice
        for choice in on_machine(CHOICES, machine)
        if unit in (choice.unit, "best") and choice.ordered(order)
    )


def _first_batches(tokens: int) -> list[int]:
    return [_LEAST_BATCH << i for i in range(20) if _LEAST_BATCH << i < tokens] + [tokens]


def _batches_of(tokens: int) -> Iterable[Batch]:
    """Return the batches that are tried: all there are, but of long sequences the small ones and
    powers of two."""
    return dict.fromkeys((*_first_batches(tokens), *range(1, min(tokens, _EVERY) + 1), "all"))
