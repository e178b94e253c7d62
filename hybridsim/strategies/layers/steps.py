"""The steps of one batch of one layer: what they hold, how long, and what they wait for."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Mostly, Need, Step, Within
from hybridsim.programs import Kernel
from hybridsim.strategies.job import ClusterResources, Job
from hybridsim.strategies.layers.batches import Batching
from hybridsim.strategies.layers.works import BatchWorks, ahead_of

Needs = tuple[Need | Within, ...]


class StepOfBatch(NamedTuple):
    """Names a step of a batch."""

    action: Literal["mvm", "load x", "load y", "kernel", "store z"]
    number: int = 0
    """The slice of Y or Z, or the kernel of the program."""

    @property
    def kernel(self) -> bool:
        """Whether it is a kernel of the program."""
        return self.action == "kernel"


MVM, LOAD_X = StepOfBatch("mvm"), StepOfBatch("load x")


@lru_cache(maxsize=256)
def steps_of(batching: Batching) -> tuple[StepOfBatch, ...]:
    """Return the steps of a batch in the order of the plan.

    The MVMs, X, the kernels for U; then by slice Y, its kernels, and Z. With an early start what
    needs no Y, as it fills a buffer of its own, comes before Y. Where all MVMs of a layer come
    first they are no step of a batch.
    """
    program = batching.program
    kernels = list(enumerate(program.kernels))
    apart = batching.order.early and program.choice.add == "separate"
    found = [MVM, LOAD_X] if batching.order.overlap else [LOAD_X]
    found += [StepOfBatch("kernel", i) for i, k in kernels if not k.slice_work]
    for index in range(len(program.slices)):
        own = [(i, k) for i, k in kernels if k.slice_work and k.slice == index]
        before = [StepOfBatch("kernel", i) for i, k in own if apart and "y" not in k.reads]
        after = [StepOfBatch("kernel", i) for i, k in own if not apart or "y" in k.reads]
        found += [*before, StepOfBatch("load y", index), *after, StepOfBatch("store z", index)]
    return tuple(found)


class BatchSteps:
    """Lays out a batch: mvm, load x, kernels for U, then load y, kernels, store z per slice.

    With several clusters an iteration is one batch on each of them, in turn; ``phase`` is the
    place of a batch in its iteration.
    """

    def __init__(
        self, job: Job, layer: PlacedLayer, works: BatchWorks, batching: Batching
    ) -> None:
        assert layer.cluster is not None
        self._works = works
        self._batching, self._program = batching, batching.program
        self._early = batching.order.early
        self._separate = batching.program.choice.add == "separate"
        self._tiles = job.resources.tiles[layer.name]
        self._output_buffers = job.structure.machine.on_tiles(layer.sort).output_buffers
        self._link = job.resources.link
        self.phases, resources = batching.order.clusters, job.resources
        self._clusters = [resources.clusters[k] for k in resources.in_turn(layer, self.phases)]

    def load_weights(self, before: Needs, prefix: str = "load") -> list[Step]:
        """Return the transfers of A and of B, once per layer and cluster."""
        return [
            Step(ahead_of(work, prefix), self._transfer(cluster), before)
            for cluster in self._clusters
            for work in (self._works.load_a, self._works.load_b)
        ]

    def in_sequence(self, before: Needs) -> list[Step]:
        """Return the steps on the cluster one after the other; the first waits for ``before``."""
        first: Needs = (*before, Within(self.size - 1, back=1))
        return [
            self._step(step, 0, (Within(i - 1),) if i else first)
            for i, step in enumerate(self._steps)
        ]

    def in_pipeline(
        self, weights: Sequence[dict[str, Need]], before: Needs, buffers: int,
        inputs: Sequence[Needs] | None = None,
    ) -> list[Step]:  # fmt: skip
        """Return the steps with only the needs that data and room impose, phase by phase.

        ``weights`` says what to wait for before A or B is read on each cluster, ``before`` what
        the layer waits for, ``inputs`` what the batch of each phase waits for, and ``buffers``
        how many batches of X, U, V and slices of Y the scratchpad of a cluster holds.
        """
        steps = []
        for phase in range(self.phases):
            start = (*before, *(inputs[phase] if inputs else ()))
            for step in self._steps:
                needs = self._needs(step, phase, weights[phase], start, buffers)
                steps.append(self._step(step, phase, needs))
        return steps

    @property
    def size(self) -> int:
        """Steps of a batch."""
        return len(self._steps)

    @property
    def stores(self) -> list[int]:
        """The places in a batch of the steps that store Z."""
        return [place for step, place in self._place.items() if step.action == "store z"]

    def _needs(
        self, step: StepOfBatch, phase: int, weights: dict[str, Need], start: Needs, buffers: int
    ) -> Needs:
        """Return what a step waits for; ``start`` is what the input of the batch waits for."""
        action, index = step
        back = buffers * self.phases
        if action == "mvm":
            last = StepOfBatch("load y", self._last_slice)
            return (*start, self._at(last, phase, self._output_buffers, room=True))
        if action == "load x":
            return (*start, *self._room("x", phase, back))
        if action == "load y":
            return (self._at(MVM, phase), self._room_for_slice(index, phase, buffers))
        if action == "store z":
            return self._makers(index, phase)
        return self._needs_of_kernel(index, phase, weights, start, buffers)

    @cached_property
    def _steps(self) -> tuple[StepOfBatch, ...]:
        return steps_of(self._batching)

    @cached_property
    def _place(self) -> dict[StepOfBatch, int]:
        return {step: place for place, step in enumerate(self._steps)}

    @cached_property
    def _kernels(self) -> list[Kernel]:
        return [*self._program.kernels]

    @property
    def _last_slice(self) -> int:
        return len(self._program.slices) - 1

    def _transfer(self, cluster: ClusterResources) -> tuple[int, ...]:
        return (cluster.dma, self._link)

    def _step(self, step: StepOfBatch, phase: int, needs: Needs) -> Step:
        action, index = step
        cluster = self._clusters[phase]
        if action == "kernel":
            unit = getattr(cluster, self._kernels[index].unit)
            assert unit is not None
            return Step(self._of_phase(self._works.kernels[index], phase), (unit,), needs)
        if action == "mvm":
            return Step(self._of_phase(self._works.mvm, phase), self._tiles, needs)
        if action == "load x":
            work = self._works.load_x
        else:
            work = (self._works.load_y if action == "load y" else self._works.store_z)[index]
        return Step(self._of_phase(work, phase), self._transfer(cluster), needs)

    def _of_phase(self, work: Mostly, phase: int) -> Mostly:
        """Return the works of the batches that one phase takes."""
        if self.phases == 1:
            return work
        batches = self._batching.sizes.batches
        return work.part(phase, batches, self.phases, batches)

    def _at(self, step: StepOfBatch, phase: int, back: int = 0, room: bool = False) -> Within:
        """Return the need of a step of the batch ``back`` batches before that of ``phase``."""
        iterations, source = divmod(phase - back, self.phases)
        return Within(source * self.size + self._place[step], -iterations, room)

    def _needs_of_kernel(
        self, index: int, phase: int, weights: dict[str, Need], start: Needs, buffers: int
    ) -> Needs:
        """Return its operands, the kernels before it, and room for the buffer that it begins."""
        kernel = self._kernels[index]
        operand: dict[str, Need | Within] = {
            "x": self._at(LOAD_X, phase),
            "y": self._at(StepOfBatch("load y", kernel.slice), phase),
            **weights,
        }
        needs: list[Need | Within] = [operand[name] for name in kernel.reads]
        needs += [self._at(StepOfBatch("kernel", i), phase) for i in kernel.after]
        if "x" in kernel.reads and not self._early:
            needs.append(self._at(MVM, phase))  # the batch has left the tiles
        if self._early and not self._separate and "b" in kernel.reads and "y" not in kernel.reads:
            needs.append(operand["y"])  # its product is added where Y lies
        if not kernel.after:
            room = () if kernel.slice_work else self._room("u", phase, buffers * self.phases)
            needs += [*start, *room]
        if "v" in kernel.fills:
            needs += self._room_for_product(kernel, phase, buffers)
        return tuple(needs)

    def _room(self, buffer: str, phase: int, batches: int) -> Needs:
        """Return the needs of a step that fills a buffer with room for that many batches."""
        return tuple(
            self._at(StepOfBatch("kernel", i), phase, batches, room=True)
            for i, kernel in enumerate(self._kernels)
            if buffer in kernel.frees
        )

    def _room_for_slice(self, index: int, phase: int, buffers: int) -> Within:
        """Return the need of fetching a slice: the one ``buffers`` slices before is stored."""
        back, earlier = self._slices_back(index, buffers)
        return self._at(StepOfBatch("store z", earlier), phase, back, room=True)

    def _room_for_product(self, kernel: Kernel, phase: int, buffers: int) -> Needs:
        """Return the needs of filling V: the slice ``buffers`` before has been added to Y.

        Only the unit that made that slice of V has to wait, so parts of the rows are apart.
        """
        back, earlier = self._slices_back(kernel.slice, buffers)
        return tuple(
            self._at(StepOfBatch("kernel", i), phase, back, room=True)
            for i, other in enumerate(self._kernels)
            if "v" in other.frees and other.slice == earlier
        )

    def _slices_back(self, index: int, buffers: int) -> tuple[int, int]:
        """Return (batches back, slice) of the slice ``buffers`` slices before on the cluster."""
        batches, earlier = divmod(index - buffers, self._last_slice + 1)
        return -batches * self.phases, earlier

    def _makers(self, index: int, phase: int) -> Needs:
        """Return the kernels that make a slice of Z."""
        return tuple(
            self._at(StepOfBatch("kernel", i), phase)
            for i, kernel in enumerate(self._kernels)
            if "y" in kernel.reads and kernel.slice == index
        )
