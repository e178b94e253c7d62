"""Machines of many points at once: fields as columns, and what works cost on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybridsim.arch import Machine
from hybridsim.plan import Bools
from hybridsim.sweeps.axes import Axis, quantity
from hybridsim.units import Ints, Spec
from hybridsim.work import Work, price

Columns = Mapping[str, Ints]
"""Dotted path of a machine -> values in base units, shape (points,)."""

_FIELDS = {
    "tile.integration_time": ("ps", 1),
    "cluster.clock.frequency": ("hz", 1),
    "cluster.dma.bytes_per_cycle": ("bytes_per_cycle", 1),
    "cluster.tcdm.size": ("bytes", 1),
    "link.clock.frequency": ("hz", 1),
    "link.width": ("bytes_per_cycle", 1),
    "link.latency": ("cycles", 0),
    "memory.dram.bandwidth": ("bytes_per_second", 1),
    "chips.link.bandwidth": ("bytes_per_second", 1),
    "chips.link.latency": ("ps", 0),
}
"""Fields that change prices or what fits, but no structure: their units, and the least values."""
PATHS = frozenset(_FIELDS)
"""The fields of a machine that can be columns."""
_READS = {
    "tile": ("tile",),
    "periphery": ("tile",),
    "cores": ("cluster",),
    "matrix_engine": ("cluster",),
    "dma": ("cluster", "link"),
    "cluster": ("cluster",),
    "link": ("link",),
    "edge": ("network_on_chip",),
    "dram": ("memory",),
    "chip_link": ("chips",),
    "delay": (),
}
"""Part of a work -> what of a machine its price depends on."""


def values_of(axis: Axis, path: str) -> Ints | None:
    """Return what an axis sets a path to, in base units, one entry for each of its values.

    None where that is not always a number in the unit of the path.
    """
    unit = _FIELDS[path][0] if path in PATHS else ""
    if axis.numbers is not None and axis.column == f"{path}_{unit}".rstrip("_"):
        return axis.numbers
    given = [group.get(path) for group in axis.settings]
    try:
        if unit:
            numbers = [quantity(unit, text) for text in given if isinstance(text, str)]
        else:
            numbers = [n for n in given if isinstance(n, int) and not isinstance(n, bool)]
        return np.array(numbers, np.int64) if len(numbers) == len(given) else None
    except (ValueError, OverflowError):
        return None


def with_columns(machine: Machine, columns: Mapping[str, Any]) -> Machine:
    """Return a machine with values in base units at dotted paths: integers, or columns of them.

    They are not checked again; see :func:`valid`.
    """
    found: Any = machine
    for path, value in columns.items():
        found = _changed(found, path.split("."), value)
    changed: Machine = found
    return changed


def _changed(spec: Spec, parts: Sequence[str], value: Any) -> Spec:
    inner = getattr(spec, parts[0])
    new = _changed(inner, parts[1:], value) if len(parts) > 1 else value
    return spec.model_copy(update={parts[0]: new})


def has(machine: Machine, path: str) -> bool:
    """Return whether a machine has the part that a column describes."""
    spec: Any = machine
    for part in path.split(".")[:-1]:
        spec = getattr(spec, part)
        if spec is None:
            return False
    return True


def valid(machine: Machine, columns: Columns, points: int) -> Bools:
    """Return for each point whether its values make a machine."""
    good = np.ones(points, np.bool_)
    for path, values in columns.items():
        good &= values >= _FIELDS[path][1]
        if path == "cluster.tcdm.size":
            assert machine.cluster is not None
            good &= values % machine.cluster.tcdm.banks == 0
    return good


def prices(works: Sequence[Work], machine: Machine, columns: Columns, points: int) -> Ints:
    """Return what works of one structure cost at each point [ps], shape (works, points).

    Each part prices its works once for every different setting of what it reads.

    Raises:
        UnsupportedError: A part is not there, or does not know a work.
        PlanError: A price is no time.
    """
    found = np.empty((len(works), points), np.int64)
    by_reads: dict[tuple[str, ...], list[int]] = {}
    for number, work in enumerate(works):
        read = _READS.get(work.part, ("tile", "cluster", "link", "memory", "chips"))
        own = tuple(path for path in columns if path.partition(".")[0] in read)
        by_reads.setdefault(own, []).append(number)
    for paths, numbers in by_reads.items():
        own_works = [works[number] for number in numbers]
        settings, which = different([columns[path] for path in paths], points)
        times = np.empty((len(numbers), len(settings)), np.int64)
        for at, values in enumerate(settings):
            one = with_columns(machine, dict(zip(paths, values, strict=True)))
            times[:, at] = price(own_works, one).time_ps
        found[numbers] = times[:, which]
    return found


def different(columns: Sequence[Ints], points: int) -> tuple[list[tuple[int, ...]], Ints]:
    """Return the different rows of some columns, and which of them each point has."""
    if not columns:
        return [()], np.zeros(points, np.int64)
    rows, which = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    return [tuple(row) for row in rows.tolist()], which.reshape(-1)
