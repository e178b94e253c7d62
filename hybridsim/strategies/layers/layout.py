"""Laying layers out as tasks, one after the other; every strategy is made of these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hybridsim.errors import UnsupportedError
from hybridsim.mapping import PlacedLayer, written_with
from hybridsim.plan import Mostly, Need, PlanBuilder, Step, Within
from hybridsim.records import record
from hybridsim.strategies.job import Job
from hybridsim.strategies.layers.batches import Batching, BatchSizes
from hybridsim.strategies.layers.steps import BatchSteps, Needs
from hybridsim.strategies.layers.works import BatchPrograms, BatchWorks, batch_works
from hybridsim.work import Work, mvm


@record(frozen=True, slots=True)
class Placed:
    """Where the batches of a layer lie in a plan: batch ``b`` begins at ``first + b * size``."""

    first: int
    size: int
    batches: int
    done: tuple[int, ...]
    """The places in a batch of the steps at whose end the output is there."""

    def output(self, batch: int, stride: int) -> tuple[Need, ...]:
        """Return the needs of reading a batch, for an iteration of ``stride`` batches."""
        start = self.first + batch * self.size
        return tuple(Need(start + place, stride * self.size) for place in self.done)

    def end(self, batches: int) -> tuple[Need, ...]:
        """Return the needs of what follows the last ``batches`` batches."""
        least = max(0, self.batches - batches)
        return tuple(n for b in range(least, self.batches) for n in self.output(b, 0))

    def later(self, by: int) -> "Placed":
        """Return where a copy lies whose tasks come ``by`` tasks later."""
        return Placed(self.first + by, self.size, self.batches, self.done)


@record(frozen=True, slots=True)
class _Known:
    """Templates that can be copied for a layer alike."""

    first: int
    last: int
    begin: int
    """Their first task."""
    parts: tuple[int, ...]
    """The tiles and parts of clusters that they use."""
    placed: Placed


@dataclass
class Layout:
    """A plan under construction for one job; layers alike are copies of each other."""

    job: Job
    builder: PlanBuilder = field(init=False)
    _before: tuple[Need, ...] = ()
    """What every task of the next layer waits for: the end of the layer before."""
    works: dict[tuple[Batching, int, str], BatchWorks] = field(default_factory=dict)
    """What batches of a layer with so many copies do on a kind of clusters, where that is not as
    their batching says."""
    _known: dict[tuple[object, ...], _Known] = field(default_factory=dict)
    _fetched: dict[str, Sequence[dict[str, Need]]] = field(default_factory=dict)
    """What to wait for before A or B of a layer is read, where they were fetched ahead."""

    def __post_init__(self) -> None:
        for layer in self.job.mapping.layers:
            if not layer.tiles:
                raise UnsupportedError(
                    f"{layer.name} is left to clusters (mapping.layers, mapping.overflow), and "
                    "this strategy has layers on tiles alone; a strategy for whole networks such "
                    "as network would do"
                )
        self.builder = PlanBuilder(self.job.resources.all)

    def written(self, layer: PlacedLayer) -> None:
        """Append the writing of the tiles that a layer begins to use anew, if it does."""
        if layer.written is None:
            return
        job = self.job
        work = layer.written.work(job.live_bytes(layer.written))
        tiles = job.resources.tiles
        uses = (tile for name in written_with(job.mapping.layers, layer) for tile in tiles[name])
        step = Step(work, tuple(dict.fromkeys(uses)), self._before)
        loop = self.builder.repeat(layer.name, [step], 1)
        self._before = (Need(loop.first),)

    def analog(self, layer: PlacedLayer) -> None:
        """Append a layer without adapter work: its tiles integrate all tokens."""
        op, tokens = layer.op, self.job.tokens_of(layer)
        self._all_mvms(layer, mvm((op.matrices[1:],), tokens, layer.copies))

    def _all_mvms(self, layer: PlacedLayer, work: Work) -> None:
        def make() -> Placed:
            step = Step(work, self.job.resources.tiles[layer.name], self._before)
            return Placed(self.builder.repeat(layer.name, [step], 1).first, 1, 1, (0,))

        self._before = self._once(layer, None, (work,), make).end(1)

    def adapted(self, layer: PlacedLayer, batching: Batching) -> None:
        """Append a layer with its adapter, as its batches follow each other."""
        if batching.order.overlap:
            self.pipelined(layer, batching)
        else:
            self.serial(layer, batching)

    def serial(self, layer: PlacedLayer, batching: Batching) -> None:
        """Append all MVMs of a layer, then its adapter batch by batch, without any overlap."""
        works, batches = self._batch_works(layer, batching), batching.sizes.batches
        self._all_mvms(layer, works.mvms)

        def make() -> Placed:
            batch = BatchSteps(self.job, layer, works, batching)
            loaded = self._load_weights(layer, batch, self._before)
            weights = tuple(need for of_cluster in loaded for need in of_cluster.values())
            loop = self.builder.repeat(layer.name, batch.in_sequence(weights), batches)
            return Placed(loop.first, loop.size, loop.count, (loop.size - 1,))

        self._before = self._once(layer, batching, ("serial",), make).end(1)

    def pipelined(self, layer: PlacedLayer, batching: Batching) -> None:
        """Append a layer as a pipeline: the cluster adapts a batch while the tiles go on.

        A batch passes from the tiles to the cluster when its last MVM has ended. Operands are
        fetched ahead as far as buffers allow.
        """
        placed = self._pipeline(layer, batching, ())
        self._before = self._end_of(placed, batching)

    def streamed(
        self,
        layers: Sequence[tuple[PlacedLayer, Batching | None]],
        inputs: Mapping[str, tuple[str, ...]],
        sizes: BatchSizes,
    ) -> None:
        """Append layers that run at the same time, batch after batch.

        ``layers`` gives each layer with its batching, None where it has no adapter; ``inputs``
        the layers whose output each one reads; ``sizes`` the tokens of the batches of all.
        """
        placed: dict[str, Placed] = {}
        ends: list[Need] = []
        for layer, batching in layers:
            sources = [placed[name] for name in inputs[layer.name]]
            if batching is None:
                placed[layer.name] = own = self._analog_batches(layer, sizes, sources)
                ends += own.end(1)
            else:
                placed[layer.name] = own = self._pipeline(layer, batching, sources)
                ends += self._end_of(own, batching)
        self._before = tuple(ends)

    def fetch_ahead(
        self, during: PlacedLayer, after: tuple[Need, ...], layer: PlacedLayer, batching: Batching
    ) -> None:
        """Append the transfers of A and B of a later layer while ``during`` runs.

        ``after`` is what ``during`` itself waited for: the scratchpad is free from there on.
        """
        batch = BatchSteps(self.job, layer, self._batch_works(layer, batching), batching)
        self._fetched[layer.name] = self._load_weights(
            layer, batch, after, during=during.name, prefix="prefetch"
        )

    @property
    def before(self) -> tuple[Need, ...]:
        """What the next layer waits for."""
        return self._before

    def _once(
        self,
        layer: PlacedLayer,
        batching: Batching | None,
        more: tuple[object, ...],
        make: Callable[[], Placed],
        waits: Sequence[Need] = (),
    ) -> Placed:
        """Append what ``make`` lays out, or a copy of it where a layer alike has been laid out.

        Two layers are alike if they agree in their batching, their tokens, copies, in ``more``,
        and in how far before themselves lie what comes before them and what they wait for,
        ``waits``.
        """
        parts, here = self._parts(layer, batching), len(self.builder)
        needs = tuple([here - need.base for need in (*self._before, *waits)])
        tokens, own = self.job.tokens_of(layer), (layer.copies, layer.sort, layer.cluster_sort)
        key = (batching, tokens, len(parts), own, *more, len(waits), *needs)
        known = self._known.get(key)
        if known is None:
            first = self.builder.templates
            placed = make()
            last = self.builder.templates - 1
            self._known[key] = _Known(first, last, here, parts, placed)
            return placed
        swaps = {a: b for a, b in zip(known.parts, parts, strict=True) if a != b}
        self.builder.again(known.first, known.last, layer.name, swaps)
        return known.placed.later(here - known.begin)

    def _parts(self, layer: PlacedLayer, batching: Batching | None) -> tuple[int, ...]:
        """Return the resources of a layer: its tiles, and the parts of its clusters in turn."""
        resources = self.job.resources
        parts = resources.tiles[layer.name]
        if batching is None or layer.cluster is None:
            return parts
        for number in resources.in_turn(layer, batching.order.clusters):
            cluster = resources.clusters[number]
            engine = () if cluster.matrix_engine is None else (cluster.matrix_engine,)
            parts = (*parts, cluster.cores, cluster.dma, *engine)
        return parts

    def _pipeline(
        self, layer: PlacedLayer, batching: Batching, sources: Sequence[Placed]
    ) -> Placed:
        """Append the pipeline of a layer whose batches wait for those of ``sources``."""
        works = self._batch_works(layer, batching)
        weights = self._fetched.get(layer.name)
        ahead = [need for of_cluster in weights or () for need in of_cluster.values()]
        reads = [Need(source.first) for source in sources]

        def make() -> Placed:
            batch = BatchSteps(self.job, layer, works, batching)
            loaded = weights or self._load_weights(layer, batch, self._before)
            inputs = [
                tuple(n for source in sources for n in source.output(phase, batch.phases))
                for phase in range(batch.phases)
            ]
            steps = batch.in_pipeline(loaded, self._before, batching.buffers, inputs)
            first = self._repeat(layer, steps, batching.sizes.batches, batch.phases)
            return Placed(first, batch.size, batching.sizes.batches, tuple(batch.stores))

        shapes = tuple((source.size, source.done) for source in sources)
        return self._once(layer, batching, (shapes, len(ahead)), make, (*ahead, *reads))

    def _end_of(self, placed: Placed, batching: Batching) -> tuple[Need, ...]:
        """Return what to wait for at the end of a layer.

        On one cluster without early work batches are stored in order. Otherwise a batch is stored
        before the one that takes its buffer, so the last ones of all buffers are waited for.
        """
        if not batching.order.early and batching.order.clusters == 1:
            return placed.end(1)[-1:]
        return placed.end(batching.buffers * batching.order.clusters)

    def _analog_batches(
        self, layer: PlacedLayer, sizes: BatchSizes, sources: Sequence[Placed]
    ) -> Placed:
        """Append the MVMs of a layer without adapter, batch by batch."""
        shape = (layer.op.matrices[1:],)
        works = Mostly(
            mvm(shape, sizes.full, layer.copies),
            tuple(mvm(shape, size, layer.copies) for size in sizes.last),
            tuple(mvm(shape, size, layer.copies) for size in sizes.first),
        )
        needs = tuple(n for source in sources for n in source.output(0, 1))
        tiles = self.job.resources.tiles[layer.name]
        step = Step(works, tiles, (*self._before, *needs))
        first = self.builder.repeat(layer.name, [step], sizes.batches).first
        return Placed(first, 1, sizes.batches, (0,))

    def _repeat(self, layer: PlacedLayer, steps: Sequence[Step], batches: int, phases: int) -> int:
        """Append ``batches`` batches, ``phases`` per iteration; return where the first begins.

        What is left over is an iteration of its own with fewer phases.
        """
        whole, left = divmod(batches, phases)
        if not left:
            return self.builder.repeat(layer.name, steps, whole, phases).first
        first, size = len(self.builder), len(steps)
        if whole:
            counts = [whole + (place * phases // size < left) for place in range(size)]
            cut = [_cut(step, 0, whole, n) for step, n in zip(steps, counts, strict=True)]
            self.builder.repeat(layer.name, cut, whole, phases)
        some = steps[: size // phases * left]
        rest = [_after(_cut(step, whole, 1, whole + 1), first, whole, size) for step in some]
        self.builder.repeat(layer.name, rest, 1, left, whole * phases)
        return first

    def _load_weights(
        self,
        layer: PlacedLayer,
        batch: BatchSteps,
        before: Needs,
        during: str | None = None,
        prefix: str = "load",
    ) -> list[dict[str, Need]]:
        """Append the transfers of A and B, and return what needs of them to wait for."""
        steps = batch.load_weights(before, prefix)
        first = self.builder.repeat(during or layer.name, steps, 1).first
        return [
            {"a": Need(first + 2 * phase), "b": Need(first + 2 * phase + 1)}
            for phase in range(batch.phases)
        ]

    def _batch_works(self, layer: PlacedLayer, batching: Batching) -> BatchWorks:
        """Return the works of a layer's steps; layers alike share them."""
        key = batching, layer.copies, layer.cluster_sort
        if key not in self.works:
            element_bytes = self.job.shape_of(layer).element_bytes
            programs, tokens = BatchPrograms.of(batching), batching.sizes.tokens
            self.works[key] = batch_works(element_bytes, programs, tokens, layer.copies)
        return self.works[key]


def _cut(step: Step, first: int, count: int, total: int) -> Step:
    """Return a step of ``total`` iterations for ``count`` of them from ``first`` on."""
    if not isinstance(step.work, Mostly):
        return step
    return replace(step, work=step.work.part(first, first + count, 1, total))


def _after(step: Step, start: int, iterations: int, size: int) -> Step:
    """Return a step for after ``iterations`` of ``size`` steps that begin at ``start``."""
    needs: list[Need | Within] = []
    for need in step.needs:
        if isinstance(need, Need):
            needs.append(Need(need.base + need.stride * iterations, 0, need.room))
        elif need.back == 0:
            needs.append(need)
        elif need.back <= iterations:
            place = start + (iterations - need.back) * size + need.step
            needs.append(Need(place, 0, need.room))
    return replace(step, needs=tuple(needs))
