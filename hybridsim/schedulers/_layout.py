"""Laying layers out as tasks, one after the other; every scheduler is made of these."""

from dataclasses import dataclass, field

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Need, PlanBuilder, Step
from hybridsim.schedulers._base import Job
from hybridsim.schedulers._batch_steps import BatchSteps
from hybridsim.schedulers._batch_times import BatchTimes, batch_times
from hybridsim.schedulers._batching import Batching


@dataclass
class Layout:
    """A plan under construction for one job."""

    job: Job
    builder: PlanBuilder = field(init=False)
    _before: tuple[Need, ...] = ()
    """What every task of the next layer waits for: the end of the layer before."""
    _times: dict[tuple[Batching, int], BatchTimes] = field(default_factory=dict)
    _laid: dict[tuple[int, ...], tuple[Batching, int, PlacedLayer]] = field(default_factory=dict)
    """Pipelines that can be stamped: their batching, first template, and layer."""

    def __post_init__(self) -> None:
        self.builder = PlanBuilder(self.job.resources.all)

    def analog(self, layer: PlacedLayer) -> None:
        """Append a layer without adapter work: its tiles integrate all tokens."""
        op, tokens = layer.op, self.job.tokens_of(layer)
        duration = self.job.machine.tile.mvm_ps(op.in_features, op.out_features, tokens)
        tiles = self.job.resources.tiles[layer.name]
        step = Step("mvm", tiles, duration, self._before)
        self._before = (Need(self.builder.repeat(layer.name, [step], 1).first),)

    def serial(self, layer: PlacedLayer, batching: Batching) -> None:
        """Append all MVMs of a layer, then its adapter batch by batch, without any overlap."""
        self.analog(layer)
        times = self._batch_times(layer, batching)
        batch = BatchSteps(self.job, layer, times)
        weights = self._load_weights(layer, batch)
        self._append(layer, batch.in_sequence(tuple(weights.values())), times.batches)

    def pipelined(self, layer: PlacedLayer, batching: Batching) -> None:
        """Append a layer as a pipeline: the cluster adapts a batch while the tiles go on.

        A batch passes from the tiles to the cluster when its last MVM has ended. Operands are
        fetched ahead as far as buffers allow.
        """
        if self._stamped(layer, batching):
            return
        times = self._batch_times(layer, batching)
        batch = BatchSteps(self.job, layer, times)
        weights = self._load_weights(layer, batch)
        steps = batch.in_pipeline(weights, self._before, batching.buffers)
        self._append(layer, steps, times.batches)

    def _stamped(self, layer: PlacedLayer, batching: Batching) -> bool:
        """Append the pipeline as a copy of one that differs in its tiles alone, if there is one.

        Both have to follow the layer before them directly, as what they wait for is copied too.
        """
        if self._before != (Need(len(self.builder) - 1),):
            return False
        assert layer.cluster is not None
        tiles = self.job.resources.tiles
        key = (id(batching), self.job.tokens_of(layer), layer.cluster, len(tiles[layer.name]))
        if key not in self._laid:
            self._laid[key] = (batching, self.builder.templates, layer)
            return False
        _, first, like = self._laid[key]
        swaps = dict(zip(tiles[like.name], tiles[layer.name], strict=True))
        loop = self.builder.stamp(first, first + 1, layer.name, swaps)
        self._before = (Need(loop.task(loop.size - 1, -1)),)
        return True

    def _append(self, layer: PlacedLayer, steps: list[Step], batches: int) -> None:
        loop = self.builder.repeat(layer.name, steps, batches)
        self._before = (Need(loop.task(loop.size - 1, -1)),)

    def _load_weights(self, layer: PlacedLayer, batch: BatchSteps) -> dict[str, Need]:
        """Append the transfers of A and B, and return what needs of them to wait for."""
        first = self.builder.repeat(layer.name, batch.load_weights(self._before), 1).first
        return {"a": Need(first), "b": Need(first + 1)}

    def _batch_times(self, layer: PlacedLayer, batching: Batching) -> BatchTimes:
        """Return the durations of a layer's steps; layers alike share them."""
        tokens = self.job.tokens_of(layer)
        key = (batching, tokens)
        if key not in self._times:
            self._times[key] = batch_times(self.job.machine, tokens, batching)
        return self._times[key]
