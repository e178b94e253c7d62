"""How the rows of a batch are shared between matrix engine and cores of one cluster.

Every share is tried: the time of the engine is a staircase of full rows, and not monotone. Shares
depend on what kernels cost, so they are part of what is decided, as data of a program.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np

from hybridsim.alike import alike, members
from hybridsim.arch import Cluster
from hybridsim.compiling import loop_for, using
from hybridsim.components.core_kernels import larger
from hybridsim.programs.lora_sizes import LoraSizes
from hybridsim.units import Ints, ceil_div
from hybridsim.work import Work

Program = TypeVar("Program", bound=LoraSizes)

_AT_ONCE = 1 << 17
"""Shares that are priced together."""
_MOST_RECENT = 1 << 18
"""Batches whose shares are remembered."""
MOST_SHARES = 256
"""How many shares of a product are tried where each is split on its own; larger batches are split
in steps of several rows."""


class Costs(Protocol):
    """What tells the cycles of kernels: a cluster, or what stands for one."""

    def cycles(self, work: Work) -> Any:
        """Return the cycles of a kernel; see :meth:`~hybridsim.arch.Cluster.cycles`."""


class RowCosts:
    """The costs of a cluster, where those of products with up to so many rows are looked up.

    What many ways and batches have in common is worked out once, for every number of rows.
    """

    def __init__(self, cluster: Cluster, most: int) -> None:
        self._cluster, self.most = cluster, most
        self._rows = np.arange(most + 1, dtype=np.int64)
        self._known: dict[tuple[Any, ...], Ints] = {}

    def cycles(self, work: Work) -> Any:
        """Return the cycles of a kernel.

        Raises:
            UnsupportedError: As :meth:`~hybridsim.arch.Cluster.cycles`.
        """
        rows, *others = work.shape
        if work.kind != "gemm" or not isinstance(rows, np.ndarray):
            return self._cluster.cycles(work)
        key = (work.part, *others)
        if any(isinstance(other, np.ndarray) for other in others):
            return self._cluster.cycles(work)
        if key not in self._known:
            self._known[key] = self._cluster.cycles(replace(work, shape=(self._rows, *others)))
        return self._known[key][rows]


def shared_on(program: Program, cluster: Cluster) -> Program:
    """Return a program of single numbers with its rows shared; equal ones are looked for once.

    Raises:
        UnsupportedError: Both units are to multiply, and the cluster lacks the engine, or the
            engine cannot do the shape; or the program is balanced and cannot be.
    """
    if program.choice.unit not in ("both", "balanced") or program.shares is not None:
        return program
    found: Program = _shared(program, cluster)
    return found


@lru_cache(maxsize=4096)
def _shared(program: Any, cluster: Cluster) -> Any:
    if program.choice.unit == "balanced":
        program.check_balanced()
    first, second = shares_of(program, cluster, np.array([program.tokens]))[:, 0].tolist()
    return replace(program, shares=(first, second))


def with_shares(program: Program, cluster: Cluster, costs: RowCosts | None = None) -> Program:
    """Return a program of single numbers or of columns with its rows shared on a cluster.

    ``costs`` are those of the cluster, where its fields are no columns and they are known.

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    if program.choice.unit not in ("both", "balanced") or program.shares is not None:
        return program
    tokens: Any = program.tokens
    if not isinstance(tokens, np.ndarray):
        return shared_on(program, cluster)
    # neither clock nor room has a say in how rows are shared
    parts = (cluster.dma, cluster.cores, cluster.offload)
    arrays = [array for part in parts for array in part.arrays()]
    sizes = [own for own in program.sizes.values() if isinstance(own, np.ndarray)]
    first, which = alike([*sizes, *arrays], len(tokens))
    rows = np.stack([own[first] for own in (*sizes, *arrays)])
    single = not cluster.arrays()
    found = _recent.get(program, cluster, rows) if single else None
    shares = np.empty((2, len(first)), np.int64) if found is None else found
    missing = first if found is None else first[found[0] < 0]
    some, one = program.taken(missing), _taken(cluster, missing)
    new = np.empty((2, len(missing)), np.int64)
    # as many batches at once as keep their columns in the cache
    turn = np.cumsum(_tried(tokens[missing], program)[1]) // _AT_ONCE
    parts_of = members(turn - turn[:1], int(turn[-1] - turn[0]) + 1) if len(turn) else []
    for at in parts_of:
        own = costs or _taken(one, at)
        new[:, at] = shares_of(some.taken(at), own, tokens[missing[at]])
    shares[:, slice(None) if found is None else found[0] < 0] = new
    if single:
        _recent.keep(program, cluster, rows, shares)
    u, v = shares[:, which]
    return replace(program, shares=(u, v))


class _Recent:
    """The shares that were asked for last: what is chosen is asked for again when it is priced."""

    def __init__(self) -> None:
        self._known: tuple[Any, Ints, Ints] | None = None

    def get(self, program: LoraSizes, cluster: Cluster, rows: Ints) -> Ints | None:
        """Return the shares of programs that differ in ``rows``, -1 where they are not known.

        None if none of them is. ``rows`` are the sizes that are columns, no two alike.
        """
        if self._known is None or self._known[0] != self._key(program, cluster):
            return None
        _, known, shares = self._known
        count = known.shape[1]
        which = alike([*np.concatenate((known, rows), axis=1)], count + rows.shape[1]).which
        found = which[count:]
        return np.where(found < count, shares[:, np.minimum(found, count - 1)], -1)

    def keep(self, program: LoraSizes, cluster: Cluster, rows: Ints, shares: Ints) -> None:
        """Remember shares, with those before them where there is room."""
        key = self._key(program, cluster)
        if self._known is not None and self._known[0] == key:
            both = np.concatenate((self._known[1], rows), axis=1)
            if both.shape[1] <= _MOST_RECENT:
                first = alike([*both], both.shape[1]).first
                all_shares = np.concatenate((self._known[2], shares), axis=1)
                rows, shares = both[:, first], all_shares[:, first]
        self._known = key, rows, shares

    @staticmethod
    def _key(program: LoraSizes, cluster: Cluster) -> tuple[Any, ...]:
        columns = [name for name, own in program.sizes.items() if isinstance(own, np.ndarray)]
        ones: dict[str, Any] = dict.fromkeys(columns, 1)
        return replace(program, **ones, shares=None), cluster, *columns


_recent = _Recent()


def _taken(cluster: Cluster, index: Ints) -> Cluster:
    """Return a cluster with some entries of what decides how rows are shared."""
    names = [name for name in ("dma", "cores", "offload") if getattr(cluster, name).arrays()]
    changed = {name: getattr(cluster, name).taken(index) for name in names}
    return cluster.model_copy(update=changed) if changed else cluster


def programs_of(program: Program, cluster: Cluster, sizes: Sequence[int]) -> list[Program]:
    """Return the programs of batches of so many tokens, their rows shared on a cluster.

    Raises:
        UnsupportedError: As :func:`with_shares`.
    """
    each = [program.of_tokens(size) for size in sizes]
    if program.choice.unit not in ("both", "balanced"):
        return each
    shares = shares_of(program, cluster, np.array(sizes, np.int64)).T.tolist()
    return [replace(own, shares=(u, v)) for own, (u, v) in zip(each, shares, strict=True)]


def shares_of(program: LoraSizes, costs: Costs, tokens: Ints) -> Ints:
    """Return the rows of U = X A and of U B for the engine, for batches of so many tokens.

    Args:
        program: Whatever its own tokens, for both units; of single numbers, or one per batch.
        costs: Those of the cluster, whose fields may be columns as well, one entry per batch.
        tokens: Shape (batches,).

    Returns:
        Shape (2, batches).

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    balanced = program.choice.unit == "balanced"
    step, count = _tried(tokens, program)
    end = np.cumsum(count)
    batch = np.repeat(np.arange(len(tokens)), count)
    place = np.arange(len(batch)) - (end - count)[batch]
    rows = np.minimum(place * step[batch], tokens[batch])
    one = program.taken(batch)
    if isinstance(costs, Cluster):
        costs = _taken(costs, batch)
    rest = tokens[batch] - rows
    engine = np.stack(_engine_cycles(one, costs, rows))
    cores = np.stack(_cores_cycles(one, costs, rest))
    turning = _u_cycles(one, costs, rows)
    cores[0] += turning + _u_cycles(one, costs, rest)
    if balanced:
        cores[0] += _x_cycles(one, costs, tokens[batch])
    else:
        engine[0] += costs.cycles(_u_work(one, "dma", "zero", "zero u", rows)) + turning
    found = np.empty((2, len(tokens)), np.int64)
    fill: Any = loop_for(fill_balanced if balanced else fill_together, len(rows))
    fill(end - count, end, *engine, *cores, found)
    return rows[found]


def _u_work(
    program: LoraSizes, part: str, kind: str, label: str, rows: Ints, *inputs: int
) -> Work:
    """Return a work on so many tokens of U, or of U^T in the swapped order."""
    swapped = program.choice.order == "swapped"
    m, k = (program.rank, rows) if swapped else (rows, program.rank)
    return Work(part, kind, label, (m, *inputs, k))


def _u_cycles(program: LoraSizes, costs: Costs, rows: Ints) -> Ints:
    """Return the cycles that the cores turn so many tokens of U^T."""
    if program.choice.order == "direct":
        return np.zeros_like(rows)
    work = Work("cores", "transpose", "transpose u", (rows * program.rank,))
    found: Ints = costs.cycles(work)
    return found


def _x_cycles(program: LoraSizes, costs: Costs, tokens: Ints) -> Ints:
    """Return the cycles that the cores turn X, for batches of so many tokens."""
    found = np.zeros_like(tokens)
    if program.choice.turns_x:
        for inputs in program.input_slices:
            work = Work("cores", "transpose", "transpose x", (tokens * inputs,))
            found = found + costs.cycles(work)
    return found


def _tried(tokens: Ints, program: LoraSizes) -> tuple[Ints, Ints]:
    """Return the step from share to share of each batch, and how many of its shares are tried."""
    step = -(-tokens // MOST_SHARES) if program.choice.unit == "balanced" else 0 * tokens + 1
    step = np.maximum(step, 1)
    return step, -(-tokens // step) + 1  # no row, and all of them, included


@using(larger)
def fill_together(
    first: Ints, last: Ints, engine_u: Ints, engine_v: Ints, cores_u: Ints, cores_v: Ints,
    found: Ints,
) -> None:  # fmt: skip
    """Fill in the places of the shares such that the slower of the two units ends first.

    The shares of batch ``b`` lie from ``first[b]`` to ``last[b]``; the others give the cycles of
    U = X A and of U B by share.
    """
    for b in range(len(first)):
        best, least = first[b], larger(engine_u[first[b]] + engine_v[first[b]],
                                       cores_u[first[b]] + cores_v[first[b]])  # fmt: skip
        for i in range(first[b], last[b]):
            slowest = larger(engine_u[i] + engine_v[i], cores_u[i] + cores_v[i])
            if slowest < least:
                best, least = i, slowest
        found[0, b] = found[1, b] = best


@using(larger)
def fill_balanced(
    first: Ints, last: Ints, engine_u: Ints, engine_v: Ints, cores_u: Ints, cores_v: Ints,
    found: Ints,
) -> None:  # fmt: skip
    """Fill in the places of the shares such that the busier unit is least busy.

    Of several the one with the least work in all, then the fewest rows on the engine. The columns
    are those of :func:`fill_together`.
    """
    for b in range(len(first)):
        least, total = -1, 0
        for i in range(first[b], last[b]):
            if larger(engine_u[i], cores_u[i]) > least >= 0:
                continue  # with U alone
            for j in range(first[b], last[b]):
                engine, cores = engine_u[i] + engine_v[j], cores_u[i] + cores_v[j]
                slowest = larger(engine, cores)
                if slowest > least >= 0:
                    continue
                if least < 0 or slowest < least or engine + cores < total:
                    least, total = slowest, engine + cores
                    found[0, b], found[1, b] = i, j


def _engine_cycles(program: LoraSizes, costs: Costs, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the engine for that many rows of each product."""
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    for inputs in program.input_slices:
        work = _u_work(program, "matrix_engine", "gemm", "xa", rows, inputs)
        first = first + costs.cycles(work)
    for columns, times in _widths(program):
        work = Work("matrix_engine", "gemm", "ub+y", (rows, program.rank, columns))
        second = second + times * costs.cycles(work)
    return first, second


def _cores_cycles(program: LoraSizes, costs: Costs, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the cores for that many rows of each product."""
    first, second, rank = np.zeros_like(rows), np.zeros_like(rows), program.rank
    for index, inputs in enumerate(program.input_slices):
        work = _u_work(program, "cores", "gemm", "xa", rows, inputs)
        by_rows = ("by rows",) * (program.choice.order == "swapped")
        shape = (*work.shape, True, index > 0, *by_rows)
        first = first + costs.cycles(replace(work, shape=shape))
    for columns, times in _widths(program):
        product = Work("cores", "gemm", "ub", (rows, rank, columns, False, False))
        addition = Work("cores", "add", "add y", (rows * columns,))
        second = second + times * (costs.cycles(product) + costs.cycles(addition))
    return first, second


def _widths(program: LoraSizes) -> list[tuple[Any, Any]]:
    """Return the widths of slices, and how often each is there: full ones, then the last."""
    if program.slice_columns is None:
        return [(program.out_features, 1)]
    full = program.widest
    others = ceil_div(program.out_features, program.slice_columns) - 1
    last = program.out_features - others * full
    return [(full, others), (last, 1)] if np.any(others > 0) else [(last, 1)]
