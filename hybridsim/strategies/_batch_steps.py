"""The steps of one batch of one layer: what they hold, how long, and what they wait for."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Mostly, Need, Step, Within
from hybridsim.programs import Kernel
from hybridsim.strategies._base import ClusterResources, Job
from hybridsim.strategies._batch_times import BatchTimes
from hybridsim.strategies._batching import Batching
from hybridsim.work import NOTHING, Work

Needs = tuple[Need | Within, ...]
Label = tuple[str, int]
"""Names a step of a batch: ``("load y", slice)``, ``("kernel", index)``, ``("mvm", 0)``, ..."""

MVM, LOAD_X = ("mvm", 0), ("load x", 0)


class BatchSteps:
    """Lays out a batch: mvm, load x, kernels for U, then load y, kernels, store z per slice.

    With several clusters an iteration is one batch on each of them, in turn; ``phase`` is the
    place of a batch in its iteration.
    """

    def __init__(
        self, job: Job, layer: PlacedLayer, times: BatchTimes, batching: Batching
    ) -> None:
        assert layer.cluster is not None
        self._times = times
        self._early = batching.flow.early
        self._separate = batching.program.choice.add == "separate"
        self._tiles = job.resources.tiles[layer.name]
        self._output_buffers = job.machine.tile.output_buffers
        self._link = job.resources.link
        all_clusters = job.resources.clusters
        self.phases = batching.flow.clusters
        self._clusters = [
            all_clusters[(layer.cluster + phase) % len(all_clusters)]
            for phase in range(batching.flow.clusters)
        ]

    def load_weights(self, before: Needs, prefix: str = "load") -> list[Step]:
        """Return the transfers of A and of B, once per layer and cluster."""
        return [
            Step(_prefixed(work, prefix), self._transfer(cluster), before)
            for cluster in self._clusters
            for work in (self._times.load_a, self._times.load_b)
        ]

    def in_sequence(self, before: Needs) -> list[Step]:
        """Return the steps on the cluster one after the other; the first waits for ``before``."""
        labels = [label for label in self._labels if label != MVM]
        first: Needs = (*before, Within(len(labels) - 1, back=1))
        return [
            self._step(label, 0, (Within(i - 1),) if i else first)
            for i, label in enumerate(labels)
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
            for label in self._labels:
                needs = self._needs(label, phase, weights[phase], start, buffers)
                steps.append(self._step(label, phase, needs))
        return steps

    @property
    def size(self) -> int:
        """Steps of a batch."""
        return len(self._labels)

    @property
    def stores(self) -> list[int]:
        """The places in a batch of the steps that store Z."""
        return [place for (action, _), place in self._place.items() if action == "store z"]

    def _needs(
        self, label: Label, phase: int, weights: dict[str, Need], start: Needs, buffers: int
    ) -> Needs:
        """Return what a step waits for; ``start`` is what the input of the batch waits for."""
        action, index = label
        back = buffers * self.phases
        if action == "mvm":
            last = ("load y", self._last_slice)
            return (*start, self._at(last, phase, self._output_buffers, room=True))
        if action == "load x":
            return (*start, *self._room("x", phase, back))
        if action == "load y":
            return (self._at(MVM, phase), self._room_for_slice(index, phase, buffers))
        if action == "store z":
            return self._makers(index, phase)
        return self._needs_of_kernel(index, phase, weights, start, buffers)

    @cached_property
    def _labels(self) -> list[Label]:
        """The steps in the order of the plan."""
        kernels = list(enumerate(self._kernels))
        labels = [MVM, LOAD_X] + [("kernel", i) for i, k in kernels if not k.slice_work]
        for index in range(self._last_slice + 1):
            own = [("kernel", i) for i, k in kernels if k.slice_work and k.slice == index]
            early = [label for label in own if self._needs_no_output(label[1])]
            late = [label for label in own if label not in early]
            labels += [*early, ("load y", index), *late, ("store z", index)]
        return labels

    def _needs_no_output(self, kernel: int) -> bool:
        """Whether a kernel of a slice can run before Y is there."""
        apart = self._early and self._separate
        return apart and "y" not in self._kernels[kernel].reads

    @cached_property
    def _place(self) -> dict[Label, int]:
        return {label: place for place, label in enumerate(self._labels)}

    @cached_property
    def _kernels(self) -> list[Kernel]:
        return [kernel for kernel, _ in self._times.kernels]

    @property
    def _last_slice(self) -> int:
        return len(self._times.load_y) - 1

    def _transfer(self, cluster: ClusterResources) -> tuple[int, ...]:
        return (cluster.dma, self._link)

    def _step(self, label: Label, phase: int, needs: Needs) -> Step:
        action, index = label
        cluster = self._clusters[phase]
        if action == "kernel":
            kernel, work = self._times.kernels[index]
            unit = getattr(cluster, kernel.unit)
            assert unit is not None
            return Step(self._of_phase(work, phase), (unit,), needs)
        if action == "mvm":
            return Step(self._of_phase(self._times.mvm, phase), self._tiles, needs)
        if action == "load x":
            work = self._times.load_x
        else:
            work = (self._times.load_y if action == "load y" else self._times.store_z)[index]
        return Step(self._of_phase(work, phase), self._transfer(cluster), needs)

    def _of_phase(self, work: Mostly, phase: int) -> Mostly:
        """Return the works of the batches that one phase takes."""
        if self.phases == 1:
            return work
        batches = self._times.batches
        return work.part(phase, batches, self.phases, batches)

    def _at(self, label: Label, phase: int, back: int = 0, room: bool = False) -> Within:
        """Return the need of a step of the batch ``back`` batches before that of ``phase``."""
        iterations, source = divmod(phase - back, self.phases)
        return Within(source * self.size + self._place[label], -iterations, room)

    def _needs_of_kernel(
        self, index: int, phase: int, weights: dict[str, Need], start: Needs, buffers: int
    ) -> Needs:
        """Return its operands, the kernels before it, and room for the buffer that it begins."""
        kernel = self._kernels[index]
        operand: dict[str, Need | Within] = {
            "x": self._at(LOAD_X, phase),
            "y": self._at(("load y", kernel.slice), phase),
            **weights,
        }
        needs: list[Need | Within] = [operand[name] for name in kernel.reads]
        needs += [self._at(("kernel", i), phase) for i in kernel.after]
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
            self._at(("kernel", i), phase, batches, room=True)
            for i, kernel in enumerate(self._kernels)
            if buffer in kernel.frees
        )

    def _room_for_slice(self, index: int, phase: int, buffers: int) -> Within:
        """Return the need of fetching a slice: the one ``buffers`` slices before is stored."""
        back, earlier = self._slices_back(index, buffers)
        return self._at(("store z", earlier), phase, back, room=True)

    def _room_for_product(self, kernel: Kernel, phase: int, buffers: int) -> Needs:
        """Return the needs of filling V: the slice ``buffers`` before has been added to Y.

        Only the unit that made that slice of V has to wait, so parts of the rows are apart.
        """
        back, earlier = self._slices_back(kernel.slice, buffers)
        return tuple(
            self._at(("kernel", i), phase, back, room=True)
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
            self._at(("kernel", i), phase)
            for i, kernel in enumerate(self._kernels)
            if "y" in kernel.reads and kernel.slice == index
        )


def _prefixed(work: Work, prefix: str) -> Work:
    """Return a transfer of A or B, under another name where it comes ahead of its layer."""
    if prefix == "load":
        return work
    return replace(work, label=work.label.replace("load", prefix), bytes=NOTHING)
