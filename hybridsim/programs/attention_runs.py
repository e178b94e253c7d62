"""What attention inside one cluster takes: all its batches of queries, executed."""

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.components.core_kernels import larger
from hybridsim.engines import engine
from hybridsim.programs.attention import Attention, Form, KeysValues
from hybridsim.programs.attention_plans import lay_out
from hybridsim.programs.columns import ONE_THZ, on_each
from hybridsim.records import record
from hybridsim.units import Ints, ceil_div
from hybridsim.work import price


@record(frozen=True)
class AttentionRun:
    """What attention on one cluster takes."""

    duration_ps: int
    ready_ps: tuple[int, ...]
    """When the output of each batch of queries is complete, from the start [ps]."""
    tcdm_bytes: int
    rows: int
    """Queries that are worked on at a time."""
    buffers: int
    """Batches (or warps) that the scratchpad holds: with 2, one is loaded beside the other."""
    engine_ps: int = 0
    """How long the matrix engine works, the zeroing of its buffers and its start included [ps]."""
    engine_slots: int = 0
    """Multiply-accumulates that its array had time for."""
    cores_ps: int = 0
    """How long the cores work [ps]."""
    unit_ps: int = 0
    """How long a unit works that takes the softmax from the cores [ps]."""
    macs: int = 0
    """Multiply-accumulates of both products."""
    moved_bytes: int = 0
    """Bytes of queries, keys, values and output that the DMA brings in and takes out."""


@record(frozen=True, slots=True)
class AttentionShape:
    """Heads of one cluster apart from the cluster: the fields of :class:`Attention`, and how the
    queries are cut."""

    tokens: int
    keys: int
    head_dim: int
    heads: int
    form: Form
    keys_values: KeysValues
    has_engine: bool
    most_warp: int | None
    in_turn: bool
    batch: int | None
    """Queries of a batch; None for all."""
    queries: int | None
    """Queries that are worked on at a time where there are no batches; the best if None."""

    @staticmethod
    def of(attention: Attention, batch: int | None, queries: int | None) -> "AttentionShape":
        """Return an attention apart from its cluster, with its queries cut so."""
        return AttentionShape(
            attention.tokens, attention.keys, attention.head_dim, attention.heads, attention.form,
            attention.keys_values, attention.has_engine, attention.most_warp, attention.in_turn,
            batch, queries,
        )  # fmt: skip

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return 1 if self.batch is None else ceil_div(self.tokens, self.batch)

    def run(self, cluster: Cluster) -> AttentionRun:
        """Return what the heads take on a cluster.

        Raises:
            CapacityError: Not even one row of queries fits.
            UnsupportedError: The cluster lacks a unit or its unit cannot do a shape.
        """
        attention = Attention(
            cluster, self.tokens, self.keys, self.head_dim, self.heads, self.form,
            self.keys_values, self.has_engine, self.most_warp, self.in_turn,
        )  # fmt: skip
        return attend(attention, self.batch, self.queries)


@record(frozen=True, slots=True)
class AttentionWork:
    """What a cluster does of an attention until one more batch of queries is done."""

    shape: AttentionShape
    number: int
    """Which batch it is."""

    def time_ps(self, cluster: Cluster) -> Any:
        """Return the time from the batch before to this one [ps]; at least 1 ps.

        Fields of the cluster may be columns.
        """
        periods = self._periods_ps(cluster)
        if periods is not None:
            return larger(periods * on_each(cluster.at(ONE_THZ), self._time_ps), 1)
        return larger(on_each(cluster, self._time_ps), 1)

    def _time_ps(self, cluster: Cluster) -> int:
        ready = self.shape.run(cluster).ready_ps
        return ready[self.number] - (ready[self.number - 1] if self.number else 0)

    def _periods_ps(self, cluster: Cluster) -> Any:
        """Return the period of each of several clocks, if all times are multiples of it.

        They are where periods are whole picoseconds, unless kernels have costs as data, in
        thousandths of a cycle, or a softmax goes from warp to warp, a share of a whole one.
        """
        frequency = cluster.clock.frequency
        if not isinstance(frequency, np.ndarray) or (10**12 % frequency).any():
            return None
        if cluster.kernel_costs is not None or self.shape.form == "flash":
            return None
        return 10**12 // frequency


def attend(attention: Attention, batch: int | None, queries: int | None = None) -> AttentionRun:
    """Return how long heads take, with outputs ready batch by batch.

    A batch whose operands do not fit the TCDM is cut into the fewest equal parts that do,
    one after the other. ``batch`` None gives out nothing before all is done, and takes
    ``queries`` rows at a time, or the number that is fastest.

    Raises:
        CapacityError: Not even one row of queries fits.
        UnsupportedError: The cluster lacks a unit or its unit cannot do a shape.
    """
    return _run(attention, batch, None if queries is None else min(queries, attention.tokens))


@lru_cache(maxsize=512)
def _run(attention: Attention, batch: int | None, queries: int | None) -> AttentionRun:
    if batch is not None:
        return _in_batches(attention, batch)
    if queries is not None:
        best = _in_batches(attention, queries)
    elif attention.form == "sequential":
        best = _in_batches(attention, attention.tokens)
    else:
        tried = [_in_batches(attention, rows) for rows in attention.searched]
        best = min(tried, key=lambda run: (run.duration_ps, run.rows))
    return replace(best, ready_ps=(best.duration_ps,))


def _in_batches(attention: Attention, batch: int) -> AttentionRun:
    parts = attention.parts(batch)
    rows = tuple(part for each in parts for part in each)
    buffers = attention.buffers(rows[0])
    last = np.cumsum([len(each) for each in parts]) - 1
    done, engine_ps, cores_ps, unit_ps = (
        _sequential(attention, rows)
        if attention.form == "sequential"
        else _executed(attention, rows)
    )
    if not attention.has_engine:
        engine_ps, cores_ps = 0, engine_ps + cores_ps
    dim, heads, keys = attention.head_dim, attention.heads, attention.keys
    fetched = 1 if attention.keys_values == "resident" else len(rows)
    elements = heads * dim * 2 * (attention.tokens + fetched * keys)
    return AttentionRun(
        int(done[-1]),
        tuple(int(time) for time in done[last]),
        attention.tcdm_bytes(rows[0], buffers),
        rows[0],
        buffers,
        engine_ps,
        _slots(attention.cluster, engine_ps),
        cores_ps,
        unit_ps,
        2 * heads * attention.tokens * keys * dim,
        elements * attention.cluster.element_bytes,
    )


def _slots(cluster: Cluster, engine_ps: int) -> int:
    """Return the multiply-accumulates that the array has time for in its whole cycles."""
    peak = cluster.matrix_engine.peak if cluster.matrix_engine else 0
    return engine_ps * cluster.clock.frequency // 10**12 * peak


def _sequential(attention: Attention, rows: tuple[int, ...]) -> tuple[Ints, int, int, int]:
    """Return when each part is done: one kernel after the other, part by part, then by head.

    And how long the engine, the cores, and a unit beside them work.
    """
    keys = attention.keys
    kept = attention.keys_values == "resident"
    fetched = 0 if kept else keys
    each, products, softmax = {}, {}, {}
    for part in set(rows):
        moved = attention.transfer_ps(part, part) + (
            2 * attention.transfer_ps(fetched) if fetched else 0
        )
        products[part] = attention.heads * sum(attention.products_ps(part, keys))
        softmax[part] = attention.heads * attention.softmax_ps(part, keys)
        each[part] = products[part] + softmax[part] + attention.heads * moved
    first = 2 * attention.heads * attention.transfer_ps(keys) if kept else 0
    ends: Ints = first + np.cumsum([each[part] for part in rows], dtype=np.int64)
    rest = sum(softmax[part] for part in rows)
    on_unit = rest if attention.cluster.row_unit_for("softmax") is not None else 0
    return ends, sum(products[part] for part in rows), rest - on_unit, on_unit


def _executed(attention: Attention, rows: tuple[int, ...]) -> tuple[Ints, int, int, int]:
    """Return when each part is stored, for all heads, as an engine executes the plan.

    And how long the engine, the cores, and a unit beside them work.
    """
    plan = lay_out(attention, rows)
    prices = price(plan.works, attention).time_ps
    time = plan.times(prices)
    end = np.cumsum(time) if attention.in_turn else engine("compiled")(plan, prices).end
    stores = plan.which(lambda work: work.kind == "store")
    by_part: Ints = end[stores].reshape(len(rows), attention.heads).max(axis=1)
    busy = np.zeros(len(plan.resources), np.int64)
    np.add.at(busy, plan.use, time)  # every task holds one resource
    kinds = [resource.kind for resource in plan.resources]
    engine_ps, cores_ps = (int(busy[kinds.index(name)]) for name in ("matrix_engine", "cores"))
    on_unit = 0
    if attention.cluster.row_unit_for("softmax") is not None:
        of_rows = plan.which(lambda work: work.kind in ("softmax", "partial softmax"))
        on_unit = int(time[of_rows].sum())
    return np.maximum.accumulate(by_part), engine_ps, cores_ps - on_unit, on_unit
