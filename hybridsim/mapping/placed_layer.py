"""A layer with the place of its weights and of its adapter: what strategies see of a mapping."""

from collections.abc import Iterator, Sequence

from hybridsim.mapping.partitions import Written
from hybridsim.mapping.tiling import Block
from hybridsim.records import record
from hybridsim.workload import Adapter, Linear


@record(frozen=True, slots=True)
class PlacedLayer:
    """A static linear layer with the place of its weights and of its adapter."""

    op: Linear
    adapter: Adapter | None
    blocks: tuple[Block, ...]
    tiles: tuple[int, ...]
    """The tiles that hold the layer; those of one copy work on each token. None where clusters
    compute it as a whole."""
    cluster: int | None
    """The cluster that computes the adapter."""
    chip: int = 0
    """The chip that holds all of it."""
    tiles_of: tuple[tuple[int, ...], ...] = ()
    """The tiles of each of several matrices, of experts or of groups; nothing for a single one."""
    sort: str = ""
    """The kind of its tiles; "" for the usual one."""
    cluster_sort: str = ""
    """The kind of the clusters that compute its adapter, or all of it; "" for the usual one."""
    copies: int = 1
    """Sets of tiles that hold the layer, one after the other in blocks and tiles; they take the
    tokens of each batch in turn."""
    written: Written | None = None
    """What is written to tiles before the layer, where layers share tiles in time."""

    @property
    def name(self) -> str:
        """The name of the layer in the network."""
        return self.op.name


def written_with(layers: Sequence[PlacedLayer], first: PlacedLayer) -> Iterator[str]:
    """Yield the layers whose weights are written before the first of them runs."""
    at = next(place for place, layer in enumerate(layers) if layer.name == first.name)
    yield first.name
    for layer in layers[at + 1 :]:
        if layer.written is not None:
            return
        yield layer.name
