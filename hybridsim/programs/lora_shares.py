"""How the rows of a batch are shared between matrix engine and cores of one cluster.

Every share is tried: the time of the engine is a staircase of full rows, and not monotone. Shares
depend on what kernels cost, so they are part of what is decided, as data of a program.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridsim.arch import Cluster
from hybridsim.units import Ints
from hybridsim.work import Work

if TYPE_CHECKING:
    from hybridsim.programs.lora import LoraProgram

MOST_SHARES = 256
"""How many shares of a product are tried where each is split on its own; larger batches are split
in steps of several rows."""


def with_shares(program: "LoraProgram", cluster: Cluster) -> "LoraProgram":
    """Return a program of single numbers or of columns with its rows shared on a cluster.

    Shares are searched for each different entry of columns on its own.

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    if program.choice.unit not in ("both", "balanced") or program.shares is not None:
        return program
    if not isinstance(program.tokens, np.ndarray):
        return program.on(cluster)
    sizes = [
        getattr(program, name)
        for name in ("in_features", "out_features", "rank", "tokens", "slice_columns")
        if getattr(program, name) is not None
    ]
    # neither clock nor room has a say in how rows are shared
    parts = (cluster.dma, cluster.cores, cluster.offload)
    arrays = [array for part in parts for array in part.arrays()]
    columns = np.stack(np.broadcast_arrays(*sizes, *arrays))
    _, first, which = np.unique(columns, axis=1, return_index=True, return_inverse=True)
    found = [entry(program, at).on(cluster.taken(at)).engine_rows for at in first.tolist()]
    shares = np.array(found, np.int64)[which.reshape(-1)]
    return replace(program, shares=(shares[:, 0], shares[:, 1]))


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


def shared_rows(program: "LoraProgram", cluster: Cluster) -> int:
    """Return the rows for the engine such that the slower of the two units ends first.

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    rows = np.arange(program.tokens + 1, dtype=np.int64)
    on_engine = _engine_cycles(program, cluster, rows)
    on_cores = _cores_cycles(program, cluster, program.tokens - rows)
    zero = cluster.cycles(Work("dma", "zero", "zero u", (rows, program.rank)))
    return int(np.argmin(np.maximum(sum(on_engine) + zero, sum(on_cores))))


def balanced_rows(program: "LoraProgram", cluster: Cluster) -> tuple[int, int]:
    """Return rows of U = X A and of U B for the engine such that the busier unit is least busy.

    Of several such splits the one with the least work in all, then the fewest rows on the engine.

    Raises:
        UnsupportedError: The cluster has no matrix engine, or that cannot do the shape.
    """
    step = -(-program.tokens // MOST_SHARES)
    tried = np.append(np.arange(0, program.tokens + 1, step), program.tokens)
    rows = np.unique(tried).astype(np.int64)
    engine = _engine_cycles(program, cluster, rows)
    cores = _cores_cycles(program, cluster, program.tokens - rows)
    busy_engine = engine[0][:, None] + engine[1][None, :]
    busy_cores = cores[0][:, None] + cores[1][None, :]
    slowest = np.maximum(busy_engine, busy_cores)
    total = np.where(slowest == slowest.min(), busy_engine + busy_cores, np.iinfo(np.int64).max)
    first, second = np.unravel_index(int(total.argmin()), total.shape)
    return int(rows[first]), int(rows[second])


def _engine_cycles(program: "LoraProgram", cluster: Cluster, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the engine for that many rows of each product."""
    first, second = np.zeros_like(rows), np.zeros_like(rows)
    for inputs in program.input_slices:
        work = Work("matrix_engine", "gemm", "xa", (rows, inputs, program.rank))
        first = first + cluster.cycles(work)
    for columns, times in _alike(program.slices):
        work = Work("matrix_engine", "gemm", "ub+y", (rows, program.rank, columns))
        second = second + times * cluster.cycles(work)
    return first, second


def _cores_cycles(program: "LoraProgram", cluster: Cluster, rows: Ints) -> tuple[Ints, Ints]:
    """Return the cycles of the cores for that many rows of each product."""
    first, second, rank = np.zeros_like(rows), np.zeros_like(rows), program.rank
    for index, inputs in enumerate(program.input_slices):
        work = Work("cores", "gemm", "xa", (rows, inputs, rank, True, index > 0))
        first = first + cluster.cycles(work)
    for columns, times in _alike(program.slices):
        product = Work("cores", "gemm", "ub", (rows, rank, columns, False, False))
        addition = Work("cores", "add", "add y", (rows * columns,))
        second = second + times * (cluster.cycles(product) + cluster.cycles(addition))
    return first, second


def _alike(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return each different width, and how often it is there."""
    return [(width, widths.count(width)) for width in dict.fromkeys(widths)]
