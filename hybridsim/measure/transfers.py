"""Energy of transfers: over the link or a network on chip, between chips, SRAM and DRAM."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from hybridsim.components.interconnect import Passage
from hybridsim.measure.charge import (
    FROM_SRAM,
    THROUGH_SRAM,
    Charge,
    ChargedRun,
    over_time,
    shared_out,
)
from hybridsim.units import Ints


class Transfers:
    """What the transfers of a run draw, in links and in both ends."""

    def __init__(self, run: ChargedRun) -> None:
        self._run = run

    def all(self) -> Iterator[Charge]:
        """Yield every charge of a transfer."""
        yield from self._link()
        yield from self._edges()
        yield from self._chip_links()
        yield from self._sram()
        yield from self._dram()

    def _link(self) -> Iterator[Charge]:
        """Charge transfers: by time, and by bytes.

        The bytes of a cluster's transfers are counted; of others the beats of the link, which
        round them up to its width.
        """
        spec, tasks = self._run.energy.link, self._run.holding("link")
        if spec is None:
            return
        self._run.counted.add("link")
        if spec.power is not None:
            yield Charge("link", tasks, over_time(spec.power, self._run.time(tasks)))
        if spec.byte_hop is None:
            return
        for group in self._run.groups:
            if total := spec.transfer_aj(group.activity.link_bytes, 0):
                yield Charge("link", group.tasks, shared_out(total, self._run.time(group.tasks)))
        others = self._over_link
        yield Charge("link", others, over_time(spec.transfer_aj(1, 0), self._link_bytes(others)))

    @cached_property
    def _over_link(self) -> Ints:
        """Transfers over the link that are no work of a cluster's DMA alone."""
        tasks = self._run.holding("link")
        return tasks[~np.isin(tasks, self._run.holding("dma"))]

    def _link_bytes(self, tasks: Ints) -> Ints:
        """Return what the beats of some transfers carry [bytes]."""
        return self._run.of_works(tasks, self._run.job.machine.link.carried_bytes)

    def _edges(self) -> Iterator[Charge]:
        """Charge transfers over a network on chip: each byte on each edge that it crosses."""
        spec, tasks = self._run.energy.link, self._over_edges
        if spec is None or spec.byte_hop is None or not len(tasks):
            return
        self._run.counted.add("edge")
        busiest, passages = self._on_edges(tasks)
        size = [b * p.crossed // p.busiest for b, p in zip(busiest, passages, strict=True)]
        yield Charge("link", tasks, over_time(spec.byte_hop, np.array(size, np.int64)))

    @cached_property
    def _over_edges(self) -> Ints:
        return self._run.holding("edge")

    def _on_edges(self, tasks: Ints) -> tuple[list[int], list[Passage]]:
        """Return the bytes on the busiest edge of each transfer, and the way that it takes."""
        network, plan = self._run.job.machine.network_on_chip, self._run.plan
        assert network is not None
        ways = [self._run.schedule.passages[tuple(plan.uses_of(task))] for task in tasks.tolist()]
        works = [plan.works[number] for number in plan.work[tasks].tolist()]
        busiest = [network.carried_bytes(work, way) for work, way in zip(works, ways, strict=True)]
        return busiest, ways

    def _sent(self, tasks: Ints) -> Ints:
        """Return what each reader gets of transfers over a network on chip [bytes]."""
        busiest, passages = self._on_edges(tasks)
        size = [b * p.sent // p.busiest for b, p in zip(busiest, passages, strict=True)]
        return np.array(size, np.int64)

    def _chip_links(self) -> Iterator[Charge]:
        """Charge transfers between chips: by time, and by bytes."""
        spec, chips = self._run.energy.chip_link, self._run.job.machine.chips
        if spec is None or chips is None:
            return
        self._run.counted.add("chip_link")
        tasks = self._run.holding("chip_link")
        time = self._run.time(tasks)
        if spec.power is not None:
            yield Charge("chip_link", tasks, over_time(spec.power, time))
        if spec.byte is not None:
            size = self._run.of_works(tasks, chips.link.carried_bytes)
            yield Charge("chip_link", tasks, over_time(spec.byte, size))

    def _dram(self) -> Iterator[Charge]:
        """Charge transfers of the external memory: by time, and by bytes."""
        spec, memory = self._run.energy.dram, self._run.job.machine.memory
        tasks = self._run.holding("dram")
        if spec is None or memory is None or memory.dram is None:
            return
        self._run.counted.add("dram")
        time = self._run.time(tasks)
        if spec.power is not None:
            yield Charge("dram", tasks, over_time(spec.power, time))
        if spec.byte is not None:
            yield Charge("dram", tasks, over_time(spec.byte, self._dram_bytes(tasks)))

    def _dram_bytes(self, tasks: Ints) -> Ints:
        memory = self._run.job.machine.memory
        assert memory is not None
        assert memory.dram is not None
        return self._run.of_works(tasks, memory.dram.carried_bytes)

    def _sram(self) -> Iterator[Charge]:
        """Charge the far end of the transfers of clusters' units.

        In whole networks: adapters and kept keys and values that are read; queries, keys and
        values of an attention, which are kept there; and what the DRAM brings or takes.
        """
        spec = self._run.energy.sram
        if spec is None or spec.byte is None:
            return
        for group in self._run.groups:
            if total := spec.byte * group.activity.link_bytes:
                yield Charge("sram", group.tasks, shared_out(total, self._run.time(group.tasks)))
        read = self._run.of_kind(*FROM_SRAM) | (
            self._run.of_kind("move") & self._run.of_attention & ~self._run.leaving
        )
        for tasks, sizes in ((self._over_link, self._link_bytes), (self._over_edges, self._sent)):
            own = tasks[read[tasks]]
            if len(own):
                yield Charge("sram", own, over_time(spec.byte, sizes(own)))
        dram = self._run.holding("dram")
        passing = dram[self._run.of_kind(*THROUGH_SRAM)[dram]]
        if len(passing):
            yield Charge("sram", passing, over_time(spec.byte, self._dram_bytes(passing)))
