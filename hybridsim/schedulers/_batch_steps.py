"""The steps of one batch of one layer: what they hold, how long, and what they wait for."""

from functools import cached_property

from hybridsim.mapping import PlacedLayer
from hybridsim.plan import Need, Step, Within
from hybridsim.programs import Kernel
from hybridsim.schedulers._base import Job
from hybridsim.schedulers._batch_times import BatchTimes

Needs = tuple[Need | Within, ...]
Label = tuple[str, int]
"""Names a step of a batch: ``("load y", slice)``, ``("kernel", index)``, ``("mvm", 0)``, ..."""

MVM, LOAD_X = ("mvm", 0), ("load x", 0)


class BatchSteps:
    """Lays out a batch: mvm, load x, kernels for U, then load y, kernels, store z per slice."""

    def __init__(self, job: Job, layer: PlacedLayer, times: BatchTimes) -> None:
        assert layer.cluster is not None
        cluster = job.resources.clusters[layer.cluster]
        self._times = times
        self._tiles = job.resources.tiles[layer.name]
        self._output_buffers = job.machine.tile.output_buffers
        self._units = {
            "cores": cluster.cores, "dma": cluster.dma, "matrix_engine": cluster.matrix_engine
        }  # fmt: skip
        self.transfer = (cluster.dma, job.resources.link)

    def load_weights(self, before: Needs) -> list[Step]:
        """Return the transfers of A and of B, once per layer."""
        return [
            Step("load a", self.transfer, self._times.load_a, before),
            Step("load b", self.transfer, self._times.load_b, before),
        ]

    def in_sequence(self, before: Needs) -> list[Step]:
        """Return the steps on the cluster one after the other; the first waits for ``before``."""
        labels = [label for label in self._labels if label != MVM]
        first: Needs = (*before, Within(len(labels) - 1, back=1))
        return [
            self._step(label, (Within(i - 1),) if i else first) for i, label in enumerate(labels)
        ]

    def in_pipeline(self, weights: dict[str, Need], before: Needs, buffers: int) -> list[Step]:
        """Return the steps with only the needs that data and room impose.

        ``weights`` says what to wait for before A or B is read, ``before`` what the layer waits
        for, and ``buffers`` how many batches of X, U and slices of Y the scratchpad holds.
        """
        steps = []
        for label in self._labels:
            action, index = label
            needs: Needs
            if action == "mvm":
                fetched = self._at(("load y", self._last_slice), self._output_buffers, room=True)
                needs = (*before, fetched)
            elif action == "load x":
                needs = (*before, *self._room("x", buffers))
            elif action == "load y":
                needs = (self._at(MVM), self._room_for_slice(index, buffers))
            elif action == "store z":
                needs = self._makers(index)
            else:
                needs = self._needs_of_kernel(index, weights, before, buffers)
            steps.append(self._step(label, needs))
        return steps

    @cached_property
    def _labels(self) -> list[Label]:
        """The steps in the order of the plan."""
        kernels = list(enumerate(self._kernels))
        labels = [MVM, LOAD_X] + [("kernel", i) for i, k in kernels if not k.slice_work]
        for index in range(self._last_slice + 1):
            own = [("kernel", i) for i, k in kernels if k.slice_work and k.slice == index]
            labels += [("load y", index), *own, ("store z", index)]
        return labels

    @cached_property
    def _place(self) -> dict[Label, int]:
        return {label: place for place, label in enumerate(self._labels)}

    @cached_property
    def _kernels(self) -> list[Kernel]:
        return [kernel for kernel, _ in self._times.kernels]

    @property
    def _last_slice(self) -> int:
        return len(self._times.slices) - 1

    def _step(self, label: Label, needs: Needs) -> Step:
        action, index = label
        if action == "kernel":
            kernel, duration = self._times.kernels[index]
            unit = self._units[kernel.unit]
            assert unit is not None
            return Step(kernel.action, (unit,), duration, needs)
        if action == "mvm":
            return Step(action, self._tiles, self._times.mvm, needs)
        duration = self._times.load_x if action == "load x" else self._times.slices[index]
        return Step(action, self.transfer, duration, needs)

    def _at(self, label: Label, back: int = 0, room: bool = False) -> Within:
        return Within(self._place[label], back, room)

    def _needs_of_kernel(
        self, index: int, weights: dict[str, Need], before: Needs, buffers: int
    ) -> Needs:
        """Return its operands, the kernels before it, and room for U if it is the first."""
        kernel = self._kernels[index]
        operand: dict[str, Need | Within] = {
            "x": self._at(LOAD_X),
            "y": self._at(("load y", kernel.slice)),
            **weights,
        }
        needs: list[Need | Within] = [operand[name] for name in kernel.reads]
        needs += [self._at(("kernel", i)) for i in kernel.after]
        if "x" in kernel.reads:
            needs.append(self._at(MVM))  # the batch has left the tiles
        if not kernel.after:
            needs += [*before, *self._room("u", buffers)]
        return tuple(needs)

    def _room(self, buffer: str, batches: int) -> Needs:
        """Return the needs of a step that fills a buffer with room for that many batches."""
        return tuple(
            self._at(("kernel", i), batches, room=True)
            for i, kernel in enumerate(self._kernels)
            if buffer in kernel.frees
        )

    def _room_for_slice(self, index: int, buffers: int) -> Within:
        """Return the need of fetching a slice: the one ``buffers`` slices before is stored."""
        slices = self._last_slice + 1
        back, earlier = -((index - buffers) // slices), (index - buffers) % slices
        return self._at(("store z", earlier), back, room=True)

    def _makers(self, index: int) -> Needs:
        """Return the kernels that make a slice of Z."""
        return tuple(
            self._at(("kernel", i))
            for i, kernel in enumerate(self._kernels)
            if "y" in kernel.reads and kernel.slice == index
        )
