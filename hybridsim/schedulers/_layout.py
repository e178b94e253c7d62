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
        times = self._batch_times(layer, batching)
        batch = BatchSteps(self.job, layer, times)
        weights = self._load_weights(layer, batch)
        steps = batch.in_pipeline(weights, self._before, batching.buffers)
        self._append(layer, steps, times.batches)

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
