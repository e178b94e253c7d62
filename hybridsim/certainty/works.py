"""What of a work may be wrong, and by how much: the kernels in it that were measured on RTL.

A work is priced by one part of the machine. Parts with rows of RTL give doubts; all others give
the name of what no row says anything about. Programs that take a cluster as a whole are taken
apart into their kernels and transfers (:mod:`.programs`). Kernels that run side by side are all
taken to count, so doubts of such programs are rather too large.
"""

from hybridsim.arch import Cluster, Machine
from hybridsim.certainty.doubts import Doubts, kernel_doubts, moved, unmeasured
from hybridsim.certainty.programs import program_doubts
from hybridsim.work import Work

UNMEASURED = {
    "mvm": "integration time of tiles",
    "write": "writing of weights",
    "link": "link",
    "edge": "network on chip",
    "dram": "external memory",
    "chip_link": "links between chips",
    "periphery": "sums at tiles",
}
"""Kind or part of a work -> what no row of RTL says anything about."""


def doubts_of(work: Work, machine: Machine) -> Doubts:
    """Return what is in doubt in a work of a plan on a machine."""
    cluster = machine.cluster_of(work.sort if work.sort in machine.clusters else "")
    if work.part == "delay":
        return Doubts()
    if work.kind not in ("program", "transfer"):
        for name in (work.kind, work.part):
            if name in UNMEASURED:
                return unmeasured(UNMEASURED[name])
    if cluster is None:
        return unmeasured(work.label)
    if work.kind == "transfer":
        return _transfer(machine, cluster, work.shape[0])
    if work.kind == "program":
        return program_doubts(work.shape[0], cluster)
    return kernel_doubts(work, cluster)


def _transfer(machine: Machine, cluster: Cluster, size: int) -> Doubts:
    """Return the doubts of a transfer over DMA and link, which takes what the slower one does."""
    dma = cluster.to_ps(cluster.dma.transfer_cycles(size))
    if machine.link.transfer_ps(size) > dma:
        return unmeasured(UNMEASURED["link"])
    return moved("load", size)
