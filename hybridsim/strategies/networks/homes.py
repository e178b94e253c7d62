"""In which clusters the adapters of a network stay while the batches of a sequence pass.

Attention is a barrier: before it starts, every batch has left the layers that lead to it. So the
adapters in use at any time are those of about one block, and those outside of all blocks. Each
has its home on one cluster, or on as many as share its batches by rows; A and B are fetched there
once, and all its work is done there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hybridsim.arch import Cluster
from hybridsim.strategies.networks.adapters import Adapter
from hybridsim.strategies.networks.dataflow import FlowOp
from hybridsim.units import format_bytes


@dataclass
class AdapterHomes:
    """The home clusters of each adapted layer; a layer without one finds room on no cluster."""

    of: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Layer -> numbers of the clusters on its chip, one for each piece of a batch."""
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
        ways: Mapping[str, Adapter],
    ) -> "AdapterHomes":
        """Share the adapters of each block out to the clusters of its chip.

        ``ways`` says how each layer is adapted if A and B stay. The longest work comes first, each
        on the clusters with least to do that have room. Room is the scratchpad less the largest
        buffers that an adapter needs beside A and B.
        """
        count = cluster.count if cluster.matrix_engine else cluster.total
        beside = (way.decision.tcdm_bytes - way.room_bytes for way in ways.values())
        buffers = max(beside, default=0)
        room = cluster.tcdm.size - buffers
        found = cls()
        outside: dict[int, list[int]] = {}
        for (chip, block), own in _by_block(works, chips):
            held = outside.setdefault(chip, [0] * count)
            # what is outside of all blocks may be in use beside those of any block
            used = held if block is None else list(held)
            found._share_out(own, ways, used, room)
            found.most_bytes = max(found.most_bytes, buffers + max(used))
        found.without = tuple(name for name in ways if name not in found.of)
        return found

    def add(self, other: "AdapterHomes", first: int) -> None:
        """Add the homes in another kind of clusters, which are numbered from ``first`` on."""
        self.of |= {name: tuple(first + k for k in homes) for name, homes in other.of.items()}
        self.without += other.without
        self.most_bytes = max(self.most_bytes, other.most_bytes)

    def _share_out(
        self,
        block: Iterable[FlowOp],
        ways: Mapping[str, Adapter],
        used: list[int],
        room: int,
    ) -> None:
        busy = [0] * len(used)
        for work in sorted(block, key=lambda work: -ways[work.name].time_ps):
            way = ways[work.name]
            if not way.room_bytes:
                continue
            pieces = way.decision.pieces
            fitting = [k for k in range(len(used)) if used[k] + way.room_bytes <= room]
            homes = sorted(fitting, key=lambda k: (busy[k], k))[:pieces]
            if len(homes) < pieces:
                continue
            self.of[work.name] = tuple(homes)
            for home in homes:
                used[home] += way.room_bytes
                busy[home] += way.time_ps


def _by_block(
    works: Sequence[FlowOp], chips: dict[str, int]
) -> list[tuple[tuple[int, int | None], list[FlowOp]]]:
    """Return the works of each chip and block; those outside of all blocks come first."""
    blocks: dict[tuple[int, int | None], list[FlowOp]] = {}
    for work in works:
        blocks.setdefault((chips[work.name], work.op.block), []).append(work)
    return sorted(blocks.items(), key=lambda item: item[0][1] is not None)


def home_notes(homes: AdapterHomes, adapters: int) -> tuple[str, ...]:
    """Return how often A and B of so many adapters are fetched, if some have a home."""
    there = len(homes.of)
    if not there:
        return ()
    most = format_bytes(homes.most_bytes)
    rest = f"; of {adapters - there} for every batch" if there < adapters else ""
    return (
        f"A and B of {there} adapters are fetched once and stay for all batches, with buffers "
        f"in {most} of a cluster at most{rest}",
    )
