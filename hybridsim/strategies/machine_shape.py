"""What plans depend on of a machine: how many parts of which kinds there are, and widths."""

from dataclasses import field

from hybridsim.arch import Machine
from hybridsim.components.interconnect import Mesh, Tree
from hybridsim.components.memory import bytes_of
from hybridsim.records import record


@record(frozen=True, slots=True)
class MachineShape:
    """A machine without any price, clock or memory size: machines of one shape share plans."""

    chips: int
    links: int
    clusters: int
    """Clusters of each chip with a matrix engine, or of the only kind there is; 0 for none."""
    plain_clusters: int
    """Further clusters of each chip, without an engine."""
    has_engine: bool
    element_bytes: int
    """Bytes of a number on a cluster; 0 without clusters."""
    output_buffers: int
    """Batches of outputs that a tile holds."""
    activation_bits: int
    """Bits of an element between tiles, clusters and memory."""
    has_dram: bool
    adds_at_tiles: bool
    """Whether the periphery of a tile can add vectors."""
    tiles: int | None
    """Tiles of each chip; None for as many as needed."""
    tiers: int
    free_ops: tuple[str, ...]
    routing: tuple[object, ...]
    """What decides the ways through the network on chip; nothing where there is none."""
    network: Mesh | Tree | None = field(compare=False)
    """A network on chip of that routing, for the ways alone."""
    name: str = field(compare=False)
    """What the first machine of the shape is called, for errors."""
    of_tiles: tuple[tuple[str, "MachineShape"], ...] = ()
    """Further kinds of tiles: the machine as if it had each of them alone."""
    of_clusters: tuple[tuple[str, "MachineShape"], ...] = ()
    """Further kinds of clusters likewise."""

    @classmethod
    def of(cls, machine: Machine) -> "MachineShape":
        """Return the shape of a machine."""
        cluster, tile, memory = machine.cluster, machine.tile, machine.memory
        return cls(
            chips=machine.chip_count,
            links=machine.link.count,
            clusters=cluster.count if cluster else 0,
            plain_clusters=cluster.plain_count if cluster else 0,
            has_engine=cluster is not None and cluster.matrix_engine is not None,
            element_bytes=cluster.element_bytes if cluster else 0,
            output_buffers=tile.output_buffers,
            activation_bits=machine.activation_bits,
            has_dram=memory is not None and memory.dram is not None,
            adds_at_tiles=tile.periphery.residual is not None,
            tiles=None if tile.count == "as_needed" else tile.count,
            tiers=tile.tiers,
            free_ops=machine.free_ops,
            routing=_routing(machine.network_on_chip),
            network=machine.network_on_chip,
            name=machine.name,
            of_tiles=tuple((sort, cls.of(machine.seen(tile=sort))) for sort in machine.tiles),
            of_clusters=tuple(
                (sort, cls.of(machine.seen(cluster=sort))) for sort in machine.clusters
            ),
        )

    def bytes_of(self, elements: int) -> int:
        """Return what so many elements take between tiles, clusters and memory [bytes]."""
        return bytes_of(elements, self.activation_bits)

    def on_tiles(self, sort: str) -> "MachineShape":
        """Return the machine as if it had a kind of tiles alone; "" for the usual one."""
        return dict(self.of_tiles)[sort] if sort else self

    def on_clusters(self, sort: str) -> "MachineShape":
        """Return the machine as if it had a kind of clusters alone; "" for the usual one."""
        return dict(self.of_clusters)[sort] if sort else self

    @property
    def cluster_sorts(self) -> tuple[tuple[str, "MachineShape"], ...]:
        """All kinds of clusters, the usual one first."""
        return (("", self), *self.of_clusters)

    @property
    def all_clusters(self) -> int:
        """Clusters of each chip, of both kinds."""
        return self.clusters + self.plain_clusters

    @property
    def home_clusters(self) -> int:
        """Clusters of each chip that can keep adapters: those that can compute all of them."""
        return self.clusters if self.has_engine else self.all_clusters


def _routing(network: Mesh | Tree | None) -> tuple[object, ...]:
    if network is None:
        return ()
    if isinstance(network, Mesh):
        return ("mesh", network.rows, network.columns)
    return ("tree", network.arity, network.levels)
