"""How the rows of a batch are shared between matrix engine and cores of one cluster.

Every share is tried: the time of the engine is a staircase of full rows, and not monotone. Shares
depend on what kernels cost, so they are part of what is decided, as data of a program.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.units import Ints
from hybridsim.work import Work

if TYPE_CHECKING:
    from hybridsim.programs.lora import LoraProgram

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
        self._cluster = cluster
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


def with_shares(program: "LoraProgram", cluster: Cluster) -> "LoraProgram":
    """Return a program of single numbers or of columns with its rows shared on a cluster.

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    if program.choice.unit not in ("both", "balanced") or program.shares is not None:
        return program
    if not isinstance(program.tokens, np.ndarray):
        return program.on(cluster)
    sizes = [
        getattr(program, name)
        for name in ("in_features", "out_features", "rank", "slice_columns")
        if getattr(program, name) is not None
    ]
    # neither clock nor room has a say in how rows are shared
    parts = (cluster.dma, cluster.cores, cluster.offload)
    arrays = [array for part in parts for array in part.arrays()]
    tokens: Any = program.tokens
    columns = np.stack(np.broadcast_arrays(*sizes, *arrays, tokens)[:-1])
    _, which = np.unique(columns, axis=1, return_inverse=True)
    shares = np.empty((2, len(tokens)), np.int64)
    by_shape = np.argsort(which.reshape(-1), kind="stable")
    # what rows cost is the same for all batches of one shape
    for alike in np.split(by_shape, np.flatnonzero(np.diff(which.reshape(-1)[by_shape])) + 1):
        at = int(alike[0])
        shares[:, alike] = shares_of(entry(program, at), cluster.taken(at), tokens[alike])
    return replace(program, shares=(shares[0], shares[1]))


def programs_of(
    program: "LoraProgram", cluster: Cluster, sizes: Sequence[int]
) -> list["LoraProgram"]:
    """Return the programs of batches of so many tokens, their rows shared on a cluster.

    Raises:
        UnsupportedError: As :func:`with_shares`.
    """
    each = [program.of_tokens(size) for size in sizes]
    if program.choice.unit not in ("both", "balanced"):
        return each
    shares = shares_of(program, cluster, np.array(sizes, np.int64)).T.tolist()
    return [replace(own, shares=(u, v)) for own, (u, v) in zip(each, shares, strict=True)]


def entry(program: "LoraProgram", place: int) -> "LoraProgram":
    """Return one entry of a program of columns, its rows not yet shared."""
    names = ("in_features", "out_features", "rank", "tokens", "slice_columns")
    columns = {name: getattr(program, name) for name in names}
    single: dict[str, Any] = {
        name: int(column[place])
        for name, column in columns.items()
        if isinstance(column, np.ndarray)
    }
    return replace(program, **single, shares=None)


def shares_of(program: "LoraProgram", costs: Costs, tokens: Ints) -> Ints:
    """Return the rows of U = X A and of U B for the engine, for batches of so many tokens.

    Args:
        program: Whatever its own tokens, for both units.
        costs: Those of the cluster, as single numbers.
        tokens: Shape (batches,).

    Returns:
        Shape (2, batches).

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    balanced = program.choice.unit == "balanced"
    each, which = np.unique(tokens, return_inverse=True)
    tried = [_rows_tried(size, balanced) for size in each.tolist()]
    rows = np.unique(
        np.concatenate([one for size, own in zip(each, tried, strict=True)
                        for one in (own, size - own)])
    )  # fmt: skip
    engine = np.stack(_engine_cycles(program, costs, rows))
    cores = np.stack(_cores_cycles(program, costs, rows))
    if not balanced:
        zero = costs.cycles(Work("dma", "zero", "zero u", (rows, program.rank)))
        engine, cores = engine.sum(axis=0) + zero, cores.sum(axis=0)
    find = _balanced if balanced else _together
    found = np.empty((2, len(each)), np.int64)
    for number, (size, own) in enumerate(zip(each, tried, strict=True)):
        on_engine = engine[..., np.searchsorted(rows, own)]
        on_cores = cores[..., np.searchsorted(rows, size - own)]
        found[:, number] = own[[*find(on_engine, on_cores)]]
    return found[:, which.reshape(-1)]


def _rows_tried(tokens: int, balanced: bool) -> Ints:
    """Return the rows that are tried for a batch, ascending."""
    step = -(-tokens // MOST_SHARES) if balanced else 1
    return np.unique(np.append(np.arange(0, tokens + 1, step, dtype=np.int64), tokens))


def _together(engine: Ints, cores: Ints) -> tuple[int, int]:
    """Return the place of the share such that the slower of the two units ends first.

    ``engine`` and ``cores`` give the cycles of both products by share, shape (shares,).
    """
    place = int(np.argmin(np.maximum(engine, cores)))
    return place, place


def _balanced(engine: Ints, cores: Ints) -> tuple[int, int]:
    """Return the places of the shares such that the busier unit is least busy.

    Of several the one with the least work in all, then the fewest rows on the engine. ``engine``
    and ``cores`` give the cycles of each product by share, shape (2, shares).
    """
    busy_engine = engine[0][:, None] + engine[1][None, :]
    busy_cores = cores[0][:, None] + cores[1][None, :]
    slowest = np.maximum(busy_engine, busy_cores)
    total = np.where(slowest == slowest.min(), busy_engine + busy_cores, np.iinfo(np.int64).max)
    first, second = np.unravel_index(int(total.argmin()), total.shape)
    return int(first), int(second)


def _engine_cycles(program: "LoraProgram", costs: Costs, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the engine for that many rows of each product."""
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    for inputs in program.input_slices:
        work = Work("matrix_engine", "gemm", "xa", (rows, inputs, program.rank))
        first = first + costs.cycles(work)
    for columns, times in _alike(program.slices):
        work = Work("matrix_engine", "gemm", "ub+y", (rows, program.rank, columns))
        second = second + times * costs.cycles(work)
    return first, second


def _cores_cycles(program: "LoraProgram", costs: Costs, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the cores for that many rows of each product."""
    first, second, rank = np.zeros_like(rows), np.zeros_like(rows), program.rank
    for index, inputs in enumerate(program.input_slices):
        work = Work("cores", "gemm", "xa", (rows, inputs, rank, True, index > 0))
        first = first + costs.cycles(work)
    for columns, times in _alike(program.slices):
        product = Work("cores", "gemm", "ub", (rows, rank, columns, False, False))
        addition = Work("cores", "add", "add y", (rows * columns,))
        second = second + times * (costs.cycles(product) + costs.cycles(addition))
    return first, second


def _alike(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return each different width, and how often it is there."""
    return [(width, widths.count(width)) for width in dict.fromkeys(widths)]
