"""The vectorised path: whole arrays of design points of one adapted layer in compiled calls.

It serves the token-parallel pipeline of a single layer with a fixed batch, and returns the
integers that :func:`hybridsim.simulate` returns on the event engine. How it is done:

*   Values of each axis are numbered. Points that agree in what a batch costs (shapes, widths,
    clock, units) share one *row* of durations, so that every cost equation is evaluated once per
    different row, on arrays, by the functions of the components.
*   A point is then two rows (a full and the last batch), a number of batches and an integration
    time. If the cluster surely finishes within the time of the tiles, its latency is a closed
    form; otherwise the compiled pipeline of :mod:`hybridsim.sweeps._pipelines` executes it until
    it repeats.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import numba
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from hybridsim.arch import Machine
from hybridsim.components.matrix_engine import MOST
from hybridsim.errors import InputError, UnsupportedError
from hybridsim.mapping import PlacedLayer, place
from hybridsim.plan import Need
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.simulation import MOST_TOKENS
from hybridsim.specs import validate
from hybridsim.strategies import Job, Strategy, TokenParallel
from hybridsim.strategies.layers.batches import PLAIN, Batching
from hybridsim.strategies.layers.steps import BatchSteps
from hybridsim.strategies.layers.works import BatchPrograms, batch_works
from hybridsim.sweeps._pipelines import CALM, Structure, calm_end, makespan, structure
from hybridsim.units import Ints
from hybridsim.workload import Network

Columns = Mapping[str, Ints]
Points = dict[str, np.ndarray[Any, Any]]
Codes = NDArray[Any]
"""Numbers of values or combinations, as int32 where that is enough."""


def _integer_paths(spec: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted paths of all integers in a Spec."""
    paths = []
    for name, field in spec.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        kinds += [inner for kind in kinds for inner in get_args(kind)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                paths += _integer_paths(kind, f"{prefix}{name}.")
            elif kind is int:
                paths.append(prefix + name)
    return list(dict.fromkeys(paths))


_IN, _OUT = "layer.in_features", "layer.out_features"
_RANK, _BATCH, _BUFFERS = "adapters.rank", "scheduler.batch", "scheduler.buffers"
_TIME, _TCDM = "tile.integration_time", "cluster.tcdm.size"
_DMA, _LINK = "cluster.dma.bytes_per_cycle", "link.width"

PATHS = frozenset({"tokens", _IN, _OUT, _RANK, _BATCH, _BUFFERS, *_integer_paths(Machine)})
"""The axes that can be columns: those of ``--set``, and the sizes of the layer."""

_MOST_MARKS = 2**26  # combinations that are counted in a table; beyond that they are sorted

_MEMORY = 2**15  # executed pipelines that are remembered
_MOST_ROWS = 2**14  # rows whose costs are computed together

# columns of a row before the durations of the steps; the first ones are read for every point
(_GOOD, _FIXED, _EACH, _AFTER, _BEGIN, _PERIOD, _END, _STORE, _SLACK, _FETCHED, _WORK, _TAIL,
 _ALONE, _STEPS) = range(14)  # fmt: skip


def can_vectorise(point: tuple[Network, Machine, Strategy, int]) -> str:
    """Return why a point cannot be evaluated here, or an empty text if it can."""
    network, machine, scheduler, _ = point
    layers = network.static_linear_layers
    if type(scheduler) is not TokenParallel:
        return f"the strategy is {scheduler.kind}, not token_parallel"
    plain = TokenParallel(
        batch=scheduler.batch,
        unit=scheduler.unit,
        order=scheduler.order,
        buffers=scheduler.buffers,
    )
    if scheduler != plain or scheduler.unit == "balanced":
        return "the strategy has options that only the event engine follows"
    if scheduler.batch is None:
        return "the batch is chosen for each point; give scheduler.batch"
    if len(scheduler.choices) != 1:
        return "the way to compute an adapter is chosen for each point; give scheduler.unit"
    if len(layers) != 1 or network.adapter(layers[0]) is None:
        return "the network is not a single adapted layer"
    if network.tokens(layers[0], 2) != 2:
        return "the layer works once per sequence, not once per token"
    if machine.cluster is None:
        return "the machine has no cluster"
    if layers[0].out_features > machine.tile.columns:
        return "the layer is wider than a tile, so that its slices are chosen for each point"
    if _tables(network, machine, scheduler.choices[0], scheduler.buffers) is None:
        return f"{scheduler.buffers} buffers are more than the compiled pipeline holds"
    return ""


def evaluate(
    columns: Columns, network: Network, machine: Machine, scheduler: TokenParallel, tokens: int
) -> Points:
    """Return what the event engine finds for each point, as columns of int64.

    Args:
        columns: Path of :data:`PATHS` to values in base units, shape (points,).
        network: A single adapted layer; it gives what no column gives, as do the others.
        machine: See ``network``.
        scheduler: See ``network``.
        tokens: See ``network``.

    Returns:
        ``latency_ps``, ``all_analog_ps``, ``tcdm_bytes``, ``buffers``, ``batch``, ``fits`` (bool)
        and ``status`` (int8): 0 has a result, 1 does not fit the TCDM, 2 is anything else that
        keeps the point from being evaluated here; the event engine says what. Where ``fits`` is
        False the others are 0.

    Raises:
        InputError: A path is none of :data:`PATHS`, or the rest is no pipeline of one layer.
    """
    unknown = sorted(set(columns) - PATHS)
    if unknown:
        raise InputError(f"columns: {', '.join(unknown)} cannot be vectorised")
    reason = can_vectorise((network, machine, scheduler, tokens))
    if reason:
        raise InputError(f"cannot be vectorised: {reason}")
    axes = _Axes(columns)
    design = _Design(axes, network, machine, scheduler, tokens)
    return design.evaluate()


class _Axes:
    """The columns, each as numbers of its different values."""

    def __init__(self, columns: Columns) -> None:
        self.points = len(next(iter(columns.values()))) if columns else 1
        self.values: dict[str, Ints] = {}
        self.codes: dict[str, Codes] = {}
        for path, column in columns.items():
            values = np.ascontiguousarray(column, np.int64)
            self.codes[path], self.values[path] = _encode(values)

    def combined(self, paths: Sequence[str]) -> tuple[Codes, int]:
        """Return one number per point for a combination of axes, and how many there can be."""
        key: Codes = np.zeros(1, np.int32)
        radix = 1
        for path in paths:
            own = len(self.values[path])
            kind: Any = np.int32 if radix * own < 2**31 else np.int64
            key = key.astype(kind, copy=False) * kind(own) + self.codes[path]
            radix *= own
        return key, radix


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Points that share a machine, but for what has a column of its own in the rows."""

    machine: Machine | None
    """None where the values do not make a machine."""
    tables: tuple[Structure, ...]
    """The pipeline with 1, 2, ... buffers."""


class _Design:
    """All that is shared by the points of one call."""

    def __init__(
        self, axes: _Axes, network: Network, machine: Machine, scheduler: TokenParallel,
        tokens: int,
    ) -> None:  # fmt: skip
        self.axes, self.network, self.machine = axes, network, machine
        self.choice = scheduler.choices[0]
        op = network.static_linear_layers[0]
        adapter = network.adapter(op)
        assert adapter is not None
        assert machine.cluster is not None
        assert scheduler.batch is not None
        single = {
            _IN: op.in_features, _OUT: op.out_features, _RANK: adapter.rank,
            _BATCH: scheduler.batch, _BUFFERS: scheduler.buffers, "tokens": tokens,
            _TIME: machine.tile.integration_time,
            _TCDM: machine.cluster.tcdm.size, _DMA: machine.cluster.dma.bytes_per_cycle,
            _LINK: machine.link.width,
        }  # fmt: skip
        for path, value in single.items():
            if path not in axes.values:
                axes.values[path] = np.array([value], np.int64)
                axes.codes[path] = np.zeros(1, np.int32)
        own = set(single)
        self.machine_paths = sorted(path for path in axes.values if path not in own)

    def evaluate(self) -> Points:
        """Return the results of all points."""
        axes = self.axes
        machine_key, machines = axes.combined(self.machine_paths)
        machine_key, groups = self._groups(machine_key, machines)
        sizes, batches = self._batches()
        shapes, radix = axes.combined([_OUT, _IN, _RANK, _DMA, _LINK])
        different = len(groups) * radix * len(sizes)
        if different >= 2**62:
            raise InputError("the axes have too many different values; give fewer points")
        points = axes.points
        batch_key, _ = axes.combined([_BATCH, "tokens"])
        keys = np.empty((points, 2), np.int32 if different < 2**31 else np.int64)
        _fill_keys(keys, machine_key, shapes, batch_key, batches, radix, len(sizes))
        present, where = _present(keys, different)
        rows = self._rows(present, groups, sizes, radix)
        most = int(axes.values[_BUFFERS].max())
        tables = _Stacked.of([group.tables for group in groups], most)
        out = np.zeros((6, points), np.int64)
        _evaluate(
            where, rows, batches, machine_key, batch_key,
            axes.codes[_TIME], axes.values[_TIME], axes.codes[_TCDM], axes.values[_TCDM],
            axes.codes[_BUFFERS], axes.values[_BUFFERS], tables.index, tables.server, tables.wants,
            tables.takes, tables.gives, tables.start, tables.ahead, tables.regular, tables.calm,
            tables.order, out,
        )  # fmt: skip
        names = ("latency_ps", "all_analog_ps", "tcdm_bytes", "buffers", "batch")
        found: Points = dict(zip(names, out[:5], strict=True))
        return found | {"fits": out[3] > 0, "status": out[5].astype(np.int8)}

    def _groups(self, key: Codes, radix: int) -> tuple[Codes, list[_Group]]:
        """Return the number of each point's machine, and the machines."""
        present, where = _present(key, radix)
        groups = []
        for code in present.tolist():
            values = {}
            for path in reversed(self.machine_paths):
                code, place = divmod(code, len(self.axes.values[path]))
                values[path] = int(self.axes.values[path][place])
            groups.append(self._group(values))
        return where, groups

    def _group(self, values: Mapping[str, int]) -> _Group:
        try:
            machine = _with(self.machine, values) if values else self.machine
        except InputError:
            return _Group(None, ())
        most = int(self.axes.values[_BUFFERS].max())
        found = _tables(self.network, machine, self.choice, most)
        return _Group(machine if found else None, found or ())

    def _batches(self) -> tuple[Ints, Ints]:
        """Return the different batch sizes, and a table by batch and tokens.

        Columns: number of the size of a batch, that of the last one, batches, tokens, batch, and
        whether the length can be simulated.
        """
        batch, tokens = np.meshgrid(
            self.axes.values[_BATCH], self.axes.values["tokens"], indexing="ij"
        )
        good = (batch >= 1) & (tokens >= 1) & (tokens <= MOST_TOKENS)
        each, length = np.where(good, batch, 1).ravel(), np.where(good, tokens, 1).ravel()
        size = np.minimum(each, length)
        last = (length - 1) % size + 1
        sizes, number = np.unique(np.concatenate([size, last]), return_inverse=True)
        first, second = number.reshape(2, -1)
        table = np.stack([first, second, -(-length // size), length, size, good.ravel()], axis=1)
        return sizes, table.astype(np.int64)

    def _rows(self, present: Ints, groups: list[_Group], sizes: Ints, radix: int) -> Ints:
        """Return the costs of each different batch."""
        rest, size = np.divmod(present, len(sizes))
        group, shape = np.divmod(rest, radix)
        value: dict[str, Ints] = {}
        for path in (_LINK, _DMA, _RANK, _IN, _OUT):
            shape, place = np.divmod(shape, len(self.axes.values[path]))
            value[path] = self.axes.values[path][place]
        value["size"] = sizes[size]
        steps = max((len(t.server) for g in groups for t in g.tables[:1]), default=1)
        rows = np.zeros((len(present), _STEPS + steps), np.int64)
        order = np.argsort(group, kind="stable")
        for members in _blocks(group[order]):
            one = groups[int(group[order[members.start]])]
            if one.machine is not None:
                rows_of = order[members]
                own = {path: column[rows_of] for path, column in value.items()}
                rows[rows_of] = _block(one, own, self.choice, rows.shape[1])
        return rows


def _blocks(group: Ints) -> Iterator[slice]:
    """Yield stretches of one group, none so long that its columns leave the cache."""
    cuts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]
    for first, last in pairwise(cuts):
        for start in range(first, last, _MOST_ROWS):
            yield slice(start, min(start + _MOST_ROWS, last))


def _with(machine: Machine, values: Mapping[str, int]) -> Machine:
    """Return a machine with integers in base units at dotted paths, checked.

    Raises:
        SpecError: The values do not make a machine.
    """

    def changed(spec: Any, parts: Sequence[str], value: int) -> Any:
        inner = getattr(spec, parts[0])
        new = changed(inner, parts[1:], value) if len(parts) > 1 else value
        return spec.model_copy(update={parts[0]: new})

    for path, value in values.items():
        machine = changed(machine, path.split("."), value)
    return validate(Machine, machine.to_text(), machine.name)


def _tables(
    network: Network, machine: Machine, choice: LoraChoice, most: int
) -> tuple[Structure, ...] | None:
    """Return the pipeline with 1 to ``most`` buffers; None if one is too large for the tables."""
    try:
        job = Job(place(network, machine), 1)
        layer = job.mapping.layers[0]
        found = [_table(job, layer, choice, buffers) for buffers in range(1, most + 1)]
    except InputError:
        return ()
    complete = [table for table in found if table is not None]
    return tuple(complete) if len(complete) == len(found) else None


def _table(job: Job, layer: PlacedLayer, choice: LoraChoice, buffers: int) -> Structure | None:
    """Return the pipeline of a layer, taken from the scheduler's own steps."""
    assert job.machine.cluster is not None
    batching = Batching.of(job.machine.cluster, LoraProgram(1, 1, 1, 1, choice), buffers, PLAIN, 1)
    works = batch_works(job.structure.machine.element_bytes, BatchPrograms.of(batching), 1)
    fetched = {"a": Need(0), "b": Need(1)}
    steps = BatchSteps(job, layer, works, batching).in_pipeline([fetched], (), buffers)
    return structure(steps, job.resources.all)


def _block(group: _Group, own: Mapping[str, Ints], choice: LoraChoice, width: int) -> Ints:
    """Return the rows of one machine."""
    machine, out = group.machine, own[_OUT]
    assert machine is not None
    assert machine.cluster is not None
    rows = np.zeros((len(own[_OUT]), width), np.int64)
    tile = machine.tile
    sides = np.maximum(np.maximum(own[_IN], out), np.maximum(own["size"], own[_RANK]))
    needed = tile.crossbars_for(own[_IN], out)
    good = (own[_RANK] >= 1) & (own[_RANK] <= np.maximum(own[_IN], out)) & (own[_IN] >= 1)
    good &= (out >= 1) & (out <= tile.columns) & (own[_DMA] >= 1) & (own[_LINK] >= 1)
    good &= (sides <= MOST) | (choice.unit == "cores")
    if tile.crossbars is not None:
        good &= needed <= tile.crossbars
    if not good.any():
        return rows
    own = {path: column[good] for path, column in own.items()}
    try:
        rows[good, : _STEPS + len(group.tables[0].server)] = _costs(group, own, choice)
    except UnsupportedError:
        return rows
    return rows


def _costs(group: _Group, own: Mapping[str, Ints], choice: LoraChoice) -> Ints:
    """Evaluate the cost equations of the components for each row."""
    machine = group.machine
    assert machine is not None
    assert machine.cluster is not None
    cluster, size, inner, out = machine.cluster, own["size"], own[_IN], own[_OUT]
    dma = cluster.dma.model_copy(update={"bytes_per_cycle": own[_DMA]})
    wide = cluster.model_copy(update={"dma": dma})
    link = machine.link.model_copy(update={"width": own[_LINK]})
    moving = machine.model_copy(update={"cluster": wide, "link": link})
    program = LoraProgram(inner, out, own[_RANK], size, choice)  # type: ignore[arg-type]
    element = cluster.element_bytes
    tables = group.tables[0]
    costs = np.zeros((len(size), _STEPS + len(tables.server)), np.int64)
    load_x = moving.transfer_ps(size * inner * element)
    move_y = moving.transfer_ps(size * (out * element))
    kernels = _kernels(program, own, choice, wide)
    # in the scheduler's order: mvm, load x, kernels of U, load y, the others, store z
    first = [times for late, times in kernels if not late]
    later = [times for late, times in kernels if late]
    for j, times in enumerate([load_x, *first, move_y, *later, move_y], start=1):
        costs[:, _STEPS + j] = times
    still = machine.tile.model_copy(update={"integration_time": 0})
    costs[:, _FETCHED] = moving.transfer_ps(inner * own[_RANK] * element)
    costs[:, _FETCHED] += moving.transfer_ps(out * own[_RANK] * element)
    costs[:, _WORK] = costs[:, _STEPS + 1 :].sum(axis=1)
    costs[:, _AFTER] = still.mvm_ps(inner, out, 1)  # type: ignore[arg-type]
    costs[:, _FIXED] = program.tcdm_bytes(cluster, 0)
    costs[:, _EACH] = program.tcdm_bytes(cluster, 1) - costs[:, _FIXED]
    costs[:, _GOOD] = 1
    _calm_costs(costs, group.tables)
    costs[:, _TAIL] = -1  # found when a point asks for it
    return costs


def _calm_costs(costs: Ints, tables: Sequence[Structure]) -> None:
    """Fill in what the closed form of a calm pipeline needs, where a batch is calm.

    ``_BEGIN`` is when the first batch could be computed, ``_PERIOD`` how long that takes, or -1
    where it is not calm; ``_ALONE`` is the same with one buffer. ``_END`` is how long the last
    batch computes and is stored, ``_STORE`` storing alone. ``_SLACK`` is how much longer than
    loading Y the steps before it compute: the last batch is calm if storing Z of the one before
    fits.
    """
    steps = costs[:, _STEPS:]
    costs[:, _PERIOD] = costs[:, _ALONE] = -1
    form = next((f for f in CALM if f.server == tuple(tables[0].server.tolist())), None)
    if form is None:
        return
    load_x, load_y, store_z = (steps[:, j] for j in (form.load_x, form.load_y, form.store_z))
    zero_u = steps[:, form.zero_u] if form.zero_u is not None else np.zeros_like(load_x)
    before = steps[:, list(form.before_y)].sum(axis=1)
    period = before + steps[:, list(form.with_y)].sum(axis=1)
    calm = (load_x + zero_u + load_y + store_z <= period) & (
        np.maximum(load_x + store_z, zero_u) + load_y <= before
    )
    costs[:, _BEGIN] = costs[:, _FETCHED] + load_x + zero_u
    costs[:, _PERIOD] = np.where(calm, period, -1)
    costs[:, _END] = period + store_z
    costs[:, _STORE] = store_z
    costs[:, _SLACK] = before - load_y
    first = steps[:, form.before_y[0]]
    if form.zero_u is None:
        alone, period_alone = store_z + load_y <= before, period
        alone &= np.maximum(first, store_z + load_y) + load_x <= period
    else:
        alone, period_alone = load_y <= before, period + store_z + zero_u
        alone &= load_x <= period - before
    costs[:, _ALONE] = np.where(alone, period_alone, -1)


def _kernels(
    program: LoraProgram, own: Mapping[str, Ints], choice: LoraChoice, cluster: Any
) -> list[tuple[bool, Ints]]:
    """Return, for each kernel, whether it works on Y, and its durations [ps].

    How a batch is split between the units is found by search, so those are taken row by row.
    """
    if choice.unit == "both":
        columns = (own[_IN], own[_OUT], own[_RANK], own["size"], own[_DMA])
        shares = []
        for inner, out, rank, size, width in zip(*(c.tolist() for c in columns), strict=True):
            dma = cluster.dma.model_copy(update={"bytes_per_cycle": width})
            one = cluster.model_copy(update={"dma": dma})
            shares.append(LoraProgram(inner, out, rank, size, choice).on(one).engine_rows[0])
        rows = np.array(shares, np.int64)
        program = replace(program, shares=(rows, rows))  # type: ignore[arg-type]
    return [(kernel.slice_work, cluster.time_ps(kernel.work)) for kernel in program.kernels]


def _order(server: Ints) -> Ints:
    """Return the steps of each server, a row each, -1 at its end."""
    order = np.full((4, len(server) + 1), -1, np.int64)
    for unit in range(4):
        own = np.flatnonzero(server == unit)
        order[unit, : len(own)] = own
    return order


@dataclass(frozen=True, slots=True, eq=False)
class _Stacked:
    """The pipelines of all machines and buffers, one behind the other."""

    index: Ints
    """Shape (machines, buffers + 1): where the pipeline is."""
    server: Ints
    wants: Ints
    takes: Ints
    gives: Ints
    start: Ints
    ahead: Ints
    regular: Ints
    calm: Ints
    order: Ints

    @classmethod
    def of(cls, tables: Sequence[tuple[Structure, ...]], most: int) -> "_Stacked":
        """Stack the pipelines; machines without one get index 0, which is never used."""
        index = np.zeros((len(tables), most + 1), np.int64)
        found: dict[tuple[bytes, ...], tuple[int, Structure]] = {}
        for number, of_machine in enumerate(tables):
            for buffers, one in enumerate(of_machine, start=1):
                key = (one.server.tobytes(), one.wants.tobytes(), one.start.tobytes())
                index[number, buffers] = found.setdefault(key, (len(found), one))[0]
        all_of = [one for _, one in found.values()]
        if not all_of:
            none = np.zeros((1, 1, 2), np.int64)
            flat = none[..., 0]
            return cls(
                index, flat, none, none, none, flat, flat, flat[0], flat[0], _order(flat[0])[None]
            )
        return cls(
            index,
            np.stack([one.server for one in all_of]),
            np.stack([one.wants for one in all_of]),
            np.stack([one.takes for one in all_of]),
            np.stack([one.gives for one in all_of]),
            np.stack([one.start for one in all_of]),
            np.stack([one.ahead for one in all_of]),
            np.array([one.regular for one in all_of], np.int64),
            np.array([one.calm for one in all_of], np.int64),
            np.stack([_order(one.server) for one in all_of]),
        )


def _encode(values: Ints) -> tuple[Codes, Ints]:
    """Return the number of each value, and the different values."""
    room = 1 << 12
    while True:
        codes, found = _number(values, np.zeros(room, np.int64), np.zeros(room, np.int32))
        if codes is not None:
            return codes, found
        room <<= 3


@numba.njit(cache=True)
def _number(values, slots, numbers):  # type: ignore[no-untyped-def]
    """Number values in the order of their first use; None if the hash table is too small."""
    codes = np.empty(len(values), np.int32)
    found = np.empty(len(slots) // 2 + 1, np.int64)
    count, mask = 0, len(slots) - 1
    before, code = np.int64(0), np.int32(-1)
    for i in range(len(values)):
        value = values[i]
        if value != before or code < 0:
            slot = ((value * 0x9E3779B97F4A7C1) >> 20) & mask
            while numbers[slot] and slots[slot] != value:
                slot = (slot + 1) & mask
            if not numbers[slot]:
                if count == len(slots) // 2:
                    return None, found[:0].copy()
                slots[slot], numbers[slot] = value, count + 1
                found[count] = value
                count += 1
            before, code = value, np.int32(numbers[slot] - 1)
        codes[i] = code
    return codes, found[:count].copy()


def _present(keys: Codes, radix: int) -> tuple[Ints, Codes]:
    """Return the different keys in rising order, and where each key is among them."""
    if radix > max(_MOST_MARKS, 2 * keys.size):
        present, where = np.unique(keys, return_inverse=True)
        return present.astype(np.int64), where.reshape(keys.shape).astype(np.int32)
    place = np.zeros(radix, np.int32)
    flat = np.ascontiguousarray(keys).reshape(-1)
    _mark(flat, place)
    present = np.flatnonzero(place)
    place[present] = np.arange(len(present), dtype=np.int32)
    where = np.empty(flat.shape, np.int32)
    _gather(flat, place, where)
    return present.astype(np.int64), where.reshape(keys.shape)


@numba.njit(cache=True)
def _mark(keys: Codes, place: Codes) -> None:
    for key in keys:
        place[key] = 1


@numba.njit(cache=True)
def _gather(keys: Codes, place: Codes, where: Codes) -> None:
    for i in range(len(keys)):
        where[i] = place[keys[i]]


@numba.njit(cache=True)
def _fill_keys(
    keys: Ints, machine: Ints, shape: Ints, batch: Ints, batches: Ints, radix: int, sizes: int
) -> None:
    """Fill in the numbers of the rows of a full and of the last batch of each point."""
    for i in range(len(keys)):
        m = machine[i] if len(machine) > 1 else machine[0]
        s = shape[i] if len(shape) > 1 else shape[0]
        b = batch[i] if len(batch) > 1 else batch[0]
        row = (np.int64(m) * radix + s) * sizes
        keys[i, 0] = row + batches[b, 0]
        keys[i, 1] = row + batches[b, 1]


@numba.njit(cache=True)
def _tail(
    row: Ints, server: Ints, wants: Ints, takes: Ints, gives: Ints, start: Ints, order: Ints,
    begun: Ints,
) -> int:  # fmt: skip
    """Return how long the cluster works on a batch after its last MVM, with nothing else to do.

    It is what a single batch takes beyond its MVMs when all else was ready before.
    """
    times = row[_STEPS : _STEPS + len(server)].copy()
    times[0] = row[_WORK] + 1
    end = makespan(server, wants, takes, gives, start, times, times, 1, 1, 0, begun, order)
    after: int = end - times[0]
    return after


@numba.njit(cache=True)
def _evaluate(
    where: Ints, rows: Ints, batches: Ints, machine: Ints, batch: Ints,
    time_code: Ints, times: Ints, room_code: Ints, rooms: Ints, wanted_code: Ints, wanted: Ints,
    index: Ints, server: Ints, wants: Ints, takes: Ints, gives: Ints, start: Ints, ahead: Ints,
    regular: Ints, calm: Ints, order: Ints, out: Ints,
) -> None:  # fmt: skip
    """Fill in latency, all-analog time, TCDM, buffers and batch of each point."""
    steps = server.shape[1]
    usual, last = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    begun = np.zeros(steps, np.int64)
    known = np.full((_MEMORY, 3), -1, np.int64)
    for i in range(len(where)):
        m = machine[i] if len(machine) > 1 else machine[0]
        b = batch[i] if len(batch) > 1 else batch[0]
        integration = times[time_code[i] if len(time_code) > 1 else time_code[0]]
        room = rooms[room_code[i] if len(room_code) > 1 else room_code[0]]
        most = wanted[wanted_code[i] if len(wanted_code) > 1 else wanted_code[0]]
        row, row_last = where[i, 0], where[i, 1]
        good = rows[row, _GOOD] and rows[row_last, _GOOD] and batches[b, 5] and integration >= 1
        buffers = 0
        if good and room > rows[row, _FIXED]:
            buffers = min(most, (room - rows[row, _FIXED]) // rows[row, _EACH])
        if buffers < 1:
            out[5, i] = 1 if good else 2
            continue
        count, tokens, size = batches[b, 2], batches[b, 3], batches[b, 4]
        each = integration + rows[row, _AFTER]
        turn = size * each
        last_turn = (tokens - size * (count - 1)) * each
        fetched = rows[row, _FETCHED]
        number = index[m, buffers]
        out[1, i] = tokens * each
        out[2, i] = rows[row, _FIXED] + buffers * rows[row, _EACH]
        out[3, i] = buffers
        out[4, i] = size
        period = rows[row, _ALONE] if calm[number] == 1 else rows[row, _PERIOD]
        if calm[number] and period >= 0:
            # a smaller last batch is calm if storing Z of the one before fits beside it
            same = row == row_last
            if same or (calm[number] == 2 and rows[row_last, _SLACK] >= rows[row, _STORE]):
                begin = calm_end(turn, last_turn, count, rows[row, _BEGIN], period)
                if begin >= 0:
                    out[0, i] = begin + rows[row_last, _END]
                    continue
        work, last_work = rows[row, _WORK], rows[row_last, _WORK]
        begin = fetched
        for j in range(1, steps):
            begin += ahead[number, j] * rows[row, _STEPS + j]
        # the closed form: the cluster is done with all it could do whenever the tiles finish
        both = work if row == row_last else work + last_work
        begin += 0 if row == row_last else last_work
        if regular[number] and begin <= min(turn, last_turn) and both <= min(turn, last_turn):
            if rows[row_last, _TAIL] < 0:
                rows[row_last, _TAIL] = _tail(
                    rows[row_last],
                    server[number],
                    wants[number],
                    takes[number],
                    gives[number],
                    start[number],
                    order[number],
                    begun,
                )
            out[0, i] = tokens * each + rows[row_last, _TAIL]
            continue
        # points that differ in room alone share what is executed
        key, place = row * len(batches) + b, integration * len(server) + number
        slot = (((key * 0x9E3779B97F4A7C1) ^ (place * 0x632BE59BD9B4E01)) >> 20) & (_MEMORY - 1)
        if known[slot, 0] == key and known[slot, 1] == place:
            out[0, i] = known[slot, 2]
            continue
        for j in range(1, steps):
            usual[j], last[j] = rows[row, _STEPS + j], rows[row_last, _STEPS + j]
        usual[0], last[0] = turn, last_turn
        alike = count if row == row_last else count - 1
        out[0, i] = makespan(
            server[number], wants[number], takes[number], gives[number], start[number], usual,
            last, count, alike, fetched, begun, order[number],
        )  # fmt: skip
        known[slot, 0], known[slot, 1], known[slot, 2] = key, place, out[0, i]
