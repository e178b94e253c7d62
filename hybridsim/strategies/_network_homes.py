"""Clusters in which the adapters of layers stay while the chunks of a sequence pass.

Attention is a barrier: before it starts, every chunk has left the layers that lead to it. So the
adapters in use at any time are those of about one block, and those outside of all blocks. Each
has its home on one cluster, or on as many as share its chunks by rows; A and B are fetched there
once, and all its work is done there.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import Cluster
from hybridsim.strategies._dataflow import FlowOp
from hybridsim.strategies._network_adapters import AdapterTimes


@dataclass
class Homes:
    """The home clusters of each adapted layer; a layer without one finds room on no cluster."""

    of: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Layer -> numbers of the clusters on its chip, one for each piece of a chunk."""
    without: tuple[str, ...] = ()
    """Adapted layers for which there is no room."""
    most_bytes: int = 0
    """The most that a cluster keeps, with the largest buffers beside it [bytes]."""

    @classmethod
    def find(
        cls,
        works: Sequence[FlowOp],
        cluster: Cluster,
        chips: dict[str, int],
        times: Callable[[FlowOp], tuple[AdapterTimes, int]],
    ) -> "Homes":
        """Share the adapters of each block out to the clusters of its chip.

        ``times`` gives the cost of a layer's adapter, and how many clusters share a chunk. The
        longest work comes first, each on the clusters with least to do that have room. Room is
        the scratchpad less the largest buffers that an adapter needs beside A and B.
        """
        costs = {work.name: times(work) for work in works}
        count = cluster.count if cluster.matrix_engine else cluster.total
        buffers = max((each.tcdm_bytes - each.kept_bytes for each, _ in costs.values()), default=0)
        room = cluster.tcdm.size - buffers
        found = cls()
        outside: dict[int, list[int]] = {}
        for (chip, block), own in _by_block(works, chips):
            held = outside.setdefault(chip, [0] * count)
            # what is outside of all blocks may be in use beside those of any block
            used = held if block is None else list(held)
            found._share_out(own, costs, used, room)
            found.most_bytes = max(found.most_bytes, buffers + max(used))
        found.without = tuple(name for name in costs if name not in found.of)
        return found

    def _share_out(
        self,
        block: Iterable[FlowOp],
        costs: dict[str, tuple[AdapterTimes, int]],
        used: list[int],
        room: int,
    ) -> None:
        busy = [0] * len(used)
        longest = sorted(block, key=lambda work: -int(costs[work.name][0].whole_ps.sum()))
        for work in longest:
            times, pieces = costs[work.name]
            if not times.kept_bytes:
                continue
            fitting = [k for k in range(len(used)) if used[k] + times.kept_bytes <= room]
            homes = sorted(fitting, key=lambda k: (busy[k], k))[:pieces]
            if len(homes) < pieces:
                continue
            self.of[work.name] = tuple(homes)
            for home in homes:
                used[home] += times.kept_bytes
                busy[home] += int(times.whole_ps.sum())


def _by_block(
    works: Sequence[FlowOp], chips: dict[str, int]
) -> list[tuple[tuple[int, int | None], list[FlowOp]]]:
    """Return the works of each chip and block; those outside of all blocks come first."""
    blocks: dict[tuple[int, int | None], list[FlowOp]] = {}
    for work in works:
        blocks.setdefault((chips[work.name], work.op.block), []).append(work)
    return sorted(blocks.items(), key=lambda item: item[0][1] is not None)
