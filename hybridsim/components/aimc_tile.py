"""Analog in-memory computing (AIMC) tile: a crossbar, its converters and its periphery.

Writing its weights goes row by row, with program and verify.
"""

from typing import Annotated, Any

from pydantic import NonNegativeInt

from hybridsim.components.core_kernels import larger, smaller
from hybridsim.units import (
    Clock,
    Cycles,
    Duration,
    Energy,
    IntLike,
    Lines,
    Parts,
    Spec,
    StepTime,
    at_most,
    ceil_div,
)
from hybridsim.work import Work, no_price

Lanes = Annotated[NonNegativeInt, at_most(2**16, "no array has more columns")]


class Periphery(Spec):
    """The digital post-processing of a tile: scaling, and the sum over row blocks.

    ``lanes`` columns are post-processed per cycle after ``setup`` cycles; a layer cut into
    several row blocks adds ``accumulate`` cycles for each block after the first.
    Source of the form: HARP, ``AnalogMapping``: T_int + (3 + columns / 8) clk, and 4 clk per
    further row block (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975).
    """

    clock: Clock
    """Of the post-processing."""
    lanes: Lanes
    """Columns post-processed per cycle; 0 means that this is hidden in the integration time."""
    setup: Cycles
    """Cycles before the first column of a vector leaves the periphery."""
    accumulate: Cycles
    """Cycles to add the partial sums of one more row block to a vector."""
    residual: Cycles | None = None
    """Cycles to add a vector from outside to one that leaves the tile, per vector; null where
    the periphery cannot, and sums are work for the clusters.
    Source of the form: HARP, 3 cycles per row of a residual."""

    def cycles(self, columns: IntLike, row_blocks: IntLike) -> IntLike:
        """Return the cycles that one vector spends after the integration."""
        scaling = self.setup + ceil_div(columns, self.lanes) if self.lanes else 0
        return scaling + self.accumulate * (row_blocks - 1)

    def residual_ps(self, vectors: IntLike, columns: int, from_tile: bool) -> IntLike:
        """Return the time to add ``vectors`` of ``columns`` elements to others [ps].

        ``from_tile``: one of both leaves the tile just now: residual cycles per vector. Otherwise
        both come from outside and pass like a vector that is scaled: setup + columns / lanes.
        Source: HARP, 3 clk and (3 + width / 8) clk per row.
        """
        assert self.residual is not None
        outside = self.setup + (ceil_div(columns, self.lanes) if self.lanes else 0)
        return self.clock.to_ps(vectors * (self.residual if from_tile else max(outside, 1)))


class AimcTile(Spec):
    """A crossbar that performs one matrix-vector multiplication (MVM) at a time.

    The whole array integrates in parallel, so the latency of an MVM does not depend on how
    much of the array a layer fills; only occupancy does, and the turns in which columns share
    converters. Valid for tiles that hold their weights for the whole run: programming is not part
    of the time.

    An MVM is ``read_phases`` x ``input_slices`` reads, one after the other. A read is one
    integration, and then, where conversions take time of their own, the conversions of the columns
    that share a converter, in turns. Source of the phases: Le Gallo et al., Nature Electronics 6
    (2023), Extended Data Fig. 4: one modulation cycle, or four for each polarity of inputs and
    weights. That reads do not overlap, and neighbours share a converter, is assumed.
    """

    rows: Lines
    """Word lines, that is the longest input vector [elements]; positions of weights, however many
    devices hold one."""
    columns: Lines
    """Bit lines, that is the longest output vector [elements]; positions of weights."""
    tiers: Parts
    """Crossbars stacked in one tile that share its converters, so that one works at a time."""
    integration_time: StepTime
    """Input pulse to held output of one MVM [ps]."""
    read_phases: Parts = 1
    """Reads of the array that one slice of an input takes: 4 where positive and negative inputs
    meet positive and negative weights one after the other."""
    input_slices: Parts = 1
    """Slices of its bits in which an input is applied, one read after the other."""
    columns_per_converter: Lines = 1
    """Neighbouring columns that share a converter and are read in turns."""
    conversion_time: StepTime | None = None
    """One conversion [ps]; null where it is part of the integration time."""
    devices_per_weight: Parts = 1
    """Devices that hold one weight, all of them read at the same time."""
    output_buffers: Parts
    """Batches of outputs that a tile can hold until they are fetched; 2 is ping-pong."""
    periphery: Periphery
    """The digital post-processing behind the converters."""

    @property
    def reads(self) -> int:
        """Reads of the array in one MVM."""
        return self.read_phases * self.input_slices

    @property
    def converters(self) -> int:
        """Converters of a tile, which its tiers share."""
        return ceil_div(self.columns, self.columns_per_converter)

    def reading_ps(self, out_features: Any) -> Any:
        """Return how long the crossbars of a layer are read for one vector [ps].

        reads x (integration time + turns x conversion time), with as many turns as columns of the
        layer share a converter.
        """
        read: Any = self.integration_time
        if self.conversion_time is not None:
            turns = smaller(smaller(out_features, self.columns), self.columns_per_converter)
            read = read + turns * self.conversion_time
        return self.reads * read

    def row_blocks(self, in_features: IntLike) -> IntLike:
        """Return into how many row blocks a matrix is cut; their outputs are partial sums."""
        return ceil_div(in_features, self.rows)

    def column_blocks(self, out_features: IntLike) -> IntLike:
        """Return into how many column blocks a matrix is cut; they run in parallel."""
        return ceil_div(out_features, self.columns)

    def crossbars_for(self, in_features: IntLike, out_features: IntLike) -> IntLike:
        """Return how many crossbars hold a weight matrix of ``out x in`` on its own."""
        return self.row_blocks(in_features) * self.column_blocks(out_features)

    def mvm_ps(self, in_features: int, out_features: int, tokens: IntLike) -> IntLike:
        """Return the time that ``tokens`` successive MVMs take on the crossbars of a layer [ps].

        All crossbars of the layer work side by side on the same token:
        tokens x (reading + periphery). Source: the class and :class:`Periphery`.
        """
        each = self.reading_ps(out_features) + self.periphery_ps(in_features, out_features)
        time: IntLike = tokens * each
        return time

    def periphery_ps(self, in_features: Any, out_features: Any) -> Any:
        """Return the time that a vector of a layer spends after the integration [ps]."""
        widest = smaller(out_features, self.columns)
        cycles: Any = self.periphery.cycles(widest, self.row_blocks(in_features))
        return self.periphery.clock.to_ps(cycles)

    def time_ps(self, work: Work) -> Any:
        """Return how long a work of the tile or its periphery takes [ps].

        ``mvm`` (members, tokens): the MVMs of so many tokens on all members, each (in, out), at
        once: the slowest sets the pace. ``add`` (sums, width, from tile, rows): so many sums of
        vectors of a width in the periphery, row after row.

        Raises:
            UnsupportedError: The tile does not know the work.
        """
        if work.kind == "mvm":
            members, tokens = work.shape
            each = [self.mvm_ps(inputs, outputs, 1) for inputs, outputs in members]
            slowest = each[0]
            for other in each[1:]:
                slowest = larger(slowest, other)
            return tokens * slowest
        if work.kind == "add":
            sums, width, from_tile, rows = work.shape
            time: Any = sums * rows * self.periphery.residual_ps(1, width, from_tile)
            return larger(time, 1)  # the least that a task can last, where a sum is hidden
        raise no_price(work, "the tile")


class Programming(Spec):
    """What it takes to write all weights of a crossbar anew.

    All devices of a row are written at the same time, and rows one after the other: a crossbar
    takes rows x row_time, and rows x columns x devices per weight x device energy. The form is an
    assumption: no time and no energy per tile has been measured in public.
    """

    row_time: Duration
    """One row, all its pulses and read-outs [ps]."""
    device_energy: Energy
    """One device, all its pulses [aJ]."""
    devices_per_weight: Parts
    """Devices that hold one weight."""

    def crossbar_ps(self, rows: int) -> int:
        """Return the time to write so many rows of one crossbar [ps]."""
        return rows * self.row_time

    def weights_aj(self, weights: int) -> int:
        """Return the energy to write so many weights [aJ]."""
        return weights * self.devices_per_weight * self.device_energy
