"""Adapters inside a network layout: what a chunk of one layer costs a cluster.

A task on a cluster brings in its operands by DMA, computes and stores, one after the other. X
reaches the clusters with the transfer that brings it to the tile, Y crosses the link for the
adapter alone, and Z leaves the cluster as the output of the layer. A and B are fetched for every
chunk, or once for all chunks of a sequence to clusters that keep them (:mod:`._network_homes`), or
never, if the adapters of the whole network stay in the scratchpad of every cluster. An
adapter that is larger than the scratchpad passes through it in slices, once for every batch.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from hybridsim.arch import Cluster
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Mostly
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram
from hybridsim.programs.adapting import AdapterWork, Half
from hybridsim.strategies.job import Job
from hybridsim.units import Ints, ceil_div, format_bytes
from hybridsim.work import Work

_TILES_PER_SLICE = (8, 4, 2, 1)
"""Tiles whose inputs and outputs make one slice of an adapter that does not fit, as tried."""


@dataclass(frozen=True)
class AdapterOptions:
    """How the adapters of a network are computed."""

    choices: tuple[LoraChoice, ...] = CHOICES[:1]
    """The ways that are left open; the fastest one is taken."""
    early: bool = False
    """Whether X A is a task of its own, which may run beside the MVMs; U is stored between."""
    resident: bool = False
    """Whether A and B of all layers stay in every cluster, from sequence to sequence."""
    homes: bool = False
    """Whether A and B of a layer stay in clusters of its own while its chunks pass; fetched for
    every chunk otherwise, as is what finds no room."""
    share: bool = False
    """Whether clusters share adapters of too few tokens to be cut by rows, where it is faster."""


@dataclass(frozen=True, slots=True, eq=False)
class AdapterTimes:
    """What each chunk of a layer asks of one cluster."""

    choice: LoraChoice
    batch: int
    """Tokens that are adapted at a time."""
    tcdm_bytes: int
    load_bits: int
    """Bits of A and B that cross the link at a time; 0 if they are there."""
    weight_bytes: int
    """Bytes of A and B."""
    kept_bytes: int
    """Room that A and B take where they stay [bytes]; 0 if they are too large for that."""
    whole_ps: Ints
    """How long each chunk takes as a whole [ps]."""
    whole: Mostly
    first: Mostly
    """X A alone, with U stored."""
    second: Mostly
    """U B + Y alone, with U loaded."""
    program: LoraProgram
    """What the cluster does with a batch of :attr:`batch` tokens."""

    @property
    def on_engine(self) -> bool:
        """Whether it takes a cluster with a matrix engine."""
        return self.choice.unit != "cores"


@dataclass(frozen=True, slots=True, eq=False)
class SharedTimes:
    """What an adapter asks of clusters that share the same tokens.

    Each makes the products of some ranks, X A_p; when all are there, those of some outputs,
    U B_p + Y_p. Every cluster fetches its own parts of A and B.
    """

    choice: LoraChoice
    parts: int
    tcdm_bytes: int
    load_bits: int
    """Bits of A and B for one cluster; 0 if they are there."""
    first: Work
    second: Work
    time_ps: int
    """How long both take [ps]."""
    programs: tuple[LoraProgram, LoraProgram]
    """Of each half; the first one has the ranks, the second one the outputs of a cluster."""

    @property
    def on_engine(self) -> bool:
        """Whether it takes a cluster with a matrix engine."""
        return self.choice.unit != "cores"


def fit_every_cluster(job: Job) -> bool:
    """Return whether A and B of a whole network leave room in the scratchpad of a cluster."""
    cluster = job.machine.cluster
    return cluster is not None and _all_bytes(job, cluster) < cluster.tcdm.size


def _all_bytes(job: Job, cluster: Cluster) -> int:
    return cluster.element_bytes * job.mapping.network.adapter_parameters


class NetworkAdapters:
    """The costs of the adapters of one job; layers alike share them."""

    def __init__(self, job: Job, options: AdapterOptions) -> None:
        self._job, self._options = job, options
        self._known: dict[tuple[int, ...], AdapterTimes] = {}
        self._shared: dict[tuple[int, ...], SharedTimes | None] = {}
        self.kept_bytes = self._resident_bytes() if options.resident else 0
        """Scratchpad of every cluster that adapters of all layers take for the whole run."""

    def times(
        self, layer: PlacedLayer, rows: Ints, pieces: int, stays: bool = False
    ) -> AdapterTimes:
        """Return the costs of a layer's adapter when each chunk is cut into ``pieces`` by rows.

        If A and B stay while the chunks pass, the first chunk alone pays for bringing them in.

        Raises:
            CapacityError: Not even one token fits the scratchpad.
            UnsupportedError: The cluster can compute it in none of the ways left open.
        """
        assert layer.adapter is not None
        op, rank = layer.op, layer.adapter.rank
        full, last = int(rows[0]), int(rows[-1])
        key = (op.in_features, op.out_features, rank, full, last, len(rows), pieces, stays)
        if key not in self._known:
            self._known[key] = self._best(layer, rows, pieces, stays)
        return self._known[key]

    def shared(self, layer: PlacedLayer, tokens: int, parts: int) -> SharedTimes | None:
        """Return the costs of a layer's adapter shared by ``parts`` clusters, or None.

        None where no way left open can do so, or there are fewer ranks or outputs than clusters.
        """
        assert layer.adapter is not None
        key = (layer.op.in_features, layer.op.out_features, layer.adapter.rank, tokens, parts)
        if key not in self._shared:
            found = []
            for choice in self._options.choices:
                with suppress(CapacityError, UnsupportedError):
                    found.append(self._share(layer, tokens, parts, choice))
            self._shared[key] = min(found, key=lambda t: t.time_ps, default=None)
        return self._shared[key]

    def _share(
        self, layer: PlacedLayer, tokens: int, parts: int, choice: LoraChoice
    ) -> SharedTimes:
        cluster, op = self._cluster, layer.op
        assert layer.adapter is not None
        rank = layer.adapter.rank
        ranks, outputs = ceil_div(rank, parts), ceil_div(op.out_features, parts)
        half = (
            LoraProgram(op.in_features, op.out_features, ranks, tokens, choice),
            LoraProgram(op.in_features, outputs, rank, tokens, choice),
        )
        first, second = (self._fitting(layer, program) for program in half)
        fetched = not self._options.resident
        made = _work(AdapterWork(first, "first", tokens, fetched))
        added = _work(AdapterWork(second, "second", tokens, fetched))
        size = ranks * op.in_features + rank * outputs
        return SharedTimes(
            choice=choice,
            parts=parts,
            tcdm_bytes=max(p.tcdm_bytes(cluster, 1) for p in (first, second)) + self.kept_bytes,
            load_bits=0 if self._options.resident else 8 * cluster.element_bytes * size,
            first=made,
            second=added,
            time_ps=cluster.time_ps(made) + cluster.time_ps(added),
            programs=(first, second),
        )

    def _best(self, layer: PlacedLayer, rows: Ints, pieces: int, stays: bool) -> AdapterTimes:
        problem: Exception = UnsupportedError("no way to compute an adapter is left open")
        found = []
        for choice in self._options.choices:
            try:
                found.append(self._times(layer, rows, pieces, choice, stays))
            except (CapacityError, UnsupportedError) as error:
                problem = error
        if not found:
            raise problem
        return min(found, key=lambda times: int(times.whole_ps.sum()))

    def _times(
        self, layer: PlacedLayer, rows: Ints, pieces: int, choice: LoraChoice, stays: bool
    ) -> AdapterTimes:
        cluster = self._cluster
        assert layer.adapter is not None
        op, rank = layer.op, layer.adapter.rank
        full = int(rows[0])
        most = ceil_div(full, pieces)
        program = LoraProgram(op.in_features, op.out_features, rank, most, choice)
        program = self._fitting(layer, program)
        sliced = program.slice_inputs is not None
        fetched = not self._options.resident

        def chunks(half: Half) -> Mostly:
            """The first chunk brings A and B; later ones too, unless these stay."""
            again = fetched and (sliced or not stays)

            def work(each: int, weights: bool) -> Work:
                return _work(AdapterWork(program, half, ceil_div(each, pieces), weights))

            last = (work(int(rows[-1]), again),) if len(rows) > 1 else ()
            return Mostly(work(full, again), last, (work(full, fetched),))

        whole = chunks("both")
        weights = cluster.element_bytes * rank * (op.in_features + op.out_features)
        bits = 8 * weights
        if sliced:
            bits *= ceil_div(most, program.tokens)
        return AdapterTimes(
            choice=choice,
            batch=program.tokens,
            tcdm_bytes=program.tcdm_bytes(cluster, 1) + self.kept_bytes,
            load_bits=0 if self._options.resident else bits,
            weight_bytes=weights,
            kept_bytes=0 if sliced else weights,
            whole_ps=_times(cluster, whole, len(rows)),
            whole=whole,
            first=chunks("first"),
            second=chunks("second"),
            program=program,
        )

    def _fitting(self, layer: PlacedLayer, program: LoraProgram) -> LoraProgram:
        """Return the program with the fewest equal batches that fit the scratchpad.

        A layer wider than a tile may go slice by slice, each as wide as a tile. Where A and B
        do not fit beside a token, they and X go in slices as well: of as many tiles as fit.
        """
        room = self._cluster.tcdm.size - self.kept_bytes
        widths = dict.fromkeys((None, min(self._job.machine.tile.columns, program.out_features)))
        for count in range(1, program.tokens + 1):
            for width in widths:
                batch = ceil_div(program.tokens, count)
                part = replace(program, tokens=batch, slice_columns=width)
                if part.tcdm_bytes(self._cluster, 1) <= room:
                    return part
        if not self._options.resident and (sliced := self._sliced(program, room)) is not None:
            return sliced
        need = replace(part, tokens=1).tcdm_bytes(self._cluster, 1)
        raise CapacityError(
            f"{layer.name}: its adapter needs {format_bytes(need)} of TCDM for one token; a "
            f"cluster has {format_bytes(room)} left; lower the rank (now {program.rank}), or "
            "raise cluster.tcdm.size"
        )

    def _sliced(self, program: LoraProgram, room: int) -> LoraProgram | None:
        """Return the program in the fewest batches and the widest slices that fit, or None."""
        tile = self._job.machine.tile
        for count in range(1, program.tokens + 1):
            batch = ceil_div(program.tokens, count)
            for tiles in _TILES_PER_SLICE:
                part = replace(
                    program,
                    tokens=batch,
                    slice_columns=min(tiles * tile.columns, program.out_features),
                    slice_inputs=min(tiles * tile.rows, program.in_features),
                )
                if part.tcdm_bytes(self._cluster, 1) <= room:
                    return part
        return None

    def _resident_bytes(self) -> int:
        """Return what all adapters take in each cluster.

        Raises:
            CapacityError: They do not fit.
        """
        cluster = self._cluster
        need = _all_bytes(self._job, cluster)
        if need >= cluster.tcdm.size:
            raise CapacityError(
                f"the adapters of {self._job.mapping.network.name} take {format_bytes(need)}; a "
                f"cluster of {self._job.machine.name} has {format_bytes(cluster.tcdm.size)} of "
                "TCDM; choose keep_adapters=best, or raise cluster.tcdm.size"
            )
        return need

    @property
    def _cluster(self) -> Cluster:
        cluster = self._job.machine.cluster
        assert cluster is not None  # the mapping refuses adapters without a cluster
        return cluster


_LABELS: dict[Half, str] = {"both": "adapt", "first": "x a", "second": "u b + y"}


def _work(program: AdapterWork) -> Work:
    return Work("cluster", "program", _LABELS[program.half], (program,), program.rows)


def _times(cluster: Cluster, works: Mostly, count: int) -> Ints:
    """Return how long each of so many chunks takes [ps]."""
    return works.each(count, cluster.time_ps)
