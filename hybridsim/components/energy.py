"""What the parts of a machine draw, and how much silicon they take.

Powers while they work, energies per event and static powers: two styles can be mixed, term by
term: *power x busy time*, and *energy per event* (an MVM, a multiply-accumulate, a byte). A term
that is null is not known, or is part of another one, and is not charged. All equations are exact
integers: microwatts times picoseconds are attojoules.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from hybridsim.components.aimc_tile import AimcTile
from hybridsim.described import bare_fields
from hybridsim.specs import changed, differences
from hybridsim.units import (
    Area,
    Energy,
    EnergyPerByte,
    EnergyPerMac,
    IntLike,
    Parts,
    Power,
    Spec,
)


class EnergySection(Spec):
    """A group of terms, of which at least one is known."""

    rare: ClassVar[tuple[str, ...]] = ()
    """Terms that are left out of the text where nothing is known of them."""

    @model_serializer(mode="wrap")
    def _without_rare_terms(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        text: dict[str, Any] = handler(self)
        for name in self.rare:
            if getattr(self, name) is None:
                text.pop(name, None)
        for name in ("tiles", "clusters"):
            if text.get(name) == {}:
                text.pop(name)
        return text

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        terms = [name for name, field in bare_fields(type(self)).items() if field.default is None]
        if all(getattr(self, name) is None for name in terms):
            raise ValueError(f"no number is given; give one of {', '.join(terms)}")
        return self


class TileEnergy(EnergySection):
    """An MVM: the crossbar with its converters, and the digital periphery behind it."""

    rare: ClassVar[tuple[str, ...]] = ("device", "conversion")

    crossbar_power: Power | None = None
    """A crossbar whose devices are all used, with its converters, while it is read [uW]. A
    layer draws the share of the devices that hold its weights. Source of the form: HARP, used
    cells / 512^2 x 0.07 W (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975)."""
    power_step: Power | None = None
    """To what the power of a layer is rounded, half up [uW]; null: down to the microwatt.
    Source of the form: HARP rounds to 1 mW."""
    mac: EnergyPerMac | None = None
    """One weight in one MVM, all its devices, reads and conversions included [aJ]."""
    device: Energy | None = None
    """One device in one read [aJ]."""
    conversion: Energy | None = None
    """One conversion of one column [aJ]: of each used column of each row block, in each read."""
    per_crossbar: Energy | None = None
    """One used crossbar in one MVM, however few of its devices are used [aJ]."""
    periphery_power: Power | None = None
    """The post-processing of one crossbar while it works [uW]."""
    static_power: Power | None = None
    """One tile, all the time [uW]."""

    @property
    def counts_mvms(self) -> bool:
        """Whether anything is known of what an MVM takes."""
        terms = (
            self.crossbar_power, self.mac, self.device, self.conversion, self.per_crossbar
        )  # fmt: skip
        return any(term is not None for term in terms)

    def layer_power(self, devices: int, crossbar_devices: int) -> int:
        """Return the power of the crossbars of a layer while they integrate [uW].

        devices / devices of a crossbar x crossbar_power, rounded to power_step.
        """
        step = self.power_step or 1
        drawn = (self.crossbar_power or 0) * devices
        if self.power_step is None:
            return drawn // crossbar_devices
        return (2 * drawn + crossbar_devices * step) // (2 * crossbar_devices * step) * step

    def mvm_aj(self, tile: AimcTile, in_features: int, out_features: int, crossbars: int) -> int:
        """Return the energy of one vector through the crossbars of a layer [aJ].

        layer_power x reading + mac x weights + device x devices x reads + conversion x columns x
        reads + per_crossbar x crossbars.
        """
        weights = in_features * out_features
        devices = weights * tile.devices_per_weight
        columns = out_features * tile.row_blocks(in_features)
        power = self.layer_power(weights, tile.rows * tile.columns)
        read = (self.device or 0) * devices + (self.conversion or 0) * columns
        energy: int = (
            power * tile.reading_ps(out_features)
            + (self.mac or 0) * weights
            + read * tile.reads
            + (self.per_crossbar or 0) * crossbars
        )
        return energy

    def periphery_aj(self, crossbars: IntLike, busy_ps: IntLike) -> IntLike:
        """Return the energy of post-processing on so many crossbars for a time [aJ]."""
        energy: IntLike = (self.periphery_power or 0) * crossbars * busy_ps
        return energy


class ClusterEnergy(EnergySection):
    """A cluster: unit by unit, or as a whole.

    If any term of a unit is known, work is charged unit by unit, also that of tasks that take a
    whole cluster: for the time in which their units work, and for what they do. Otherwise a
    cluster draws ``power`` or ``plain_power`` while any of its units works.
    """

    power: Power | None = None
    """A cluster with a matrix engine while it works [uW]."""
    plain_power: Power | None = None
    """A cluster without a matrix engine while it works [uW]."""
    cores_power: Power | None = None
    """All cores of a cluster while they compute, their TCDM accesses included [uW]."""
    engine_power: Power | None = None
    """The matrix engine while it computes, its TCDM accesses included [uW]."""
    engine_mac: EnergyPerMac | None = None
    """One useful multiply-accumulate of the engine, its TCDM accesses included [aJ]."""
    engine_idle_mac: EnergyPerMac | None = None
    """One slot of the array that computes nothing of use while the engine works: padded rows and
    columns, start and end of a job, waiting [aJ]."""
    dma_byte: EnergyPerByte | None = None
    """One byte that the DMA moves, in the DMA itself [aJ]."""
    tcdm_byte: EnergyPerByte | None = None
    """One byte that the DMA writes to or reads from the TCDM [aJ]."""
    static_power: Power | None = None
    """One cluster, all the time [uW]."""

    @property
    def by_unit(self) -> bool:
        """Whether units are charged on their own."""
        return self.cores_power is not None or self.counts_engine or self.counts_dma

    @property
    def counts_engine(self) -> bool:
        """Whether anything is known of what the matrix engine takes."""
        known = (self.engine_power, self.engine_mac, self.engine_idle_mac)
        return any(term is not None for term in known)

    @property
    def counts_dma(self) -> bool:
        """Whether anything is known of what a transfer takes in the cluster."""
        return self.dma_byte is not None or self.tcdm_byte is not None

    def engine_aj(self, macs: IntLike, slots: IntLike) -> IntLike:
        """Return the energy of ``macs`` of use in ``slots`` of the array, by events [aJ].

        engine_mac x macs + engine_idle_mac x (slots - macs); slots are busy cycles x array.
        """
        energy: IntLike = (self.engine_mac or 0) * macs
        return energy + (self.engine_idle_mac or 0) * (slots - macs)


class LinkEnergy(EnergySection):
    """The link between tiles, clusters and memory."""

    power: Power | None = None
    """One link while it carries a transfer [uW]."""
    byte_hop: EnergyPerByte | None = None
    """One byte over one hop [aJ]."""
    hops: Parts = 1
    """Hops of every transfer over a link, one unless the machine says otherwise; on a network on
    chip hops are counted edge by edge instead."""

    def transfer_aj(self, size_bytes: IntLike, busy_ps: IntLike) -> IntLike:
        """Return the energy of transfers: power x time + byte_hop x bytes x hops [aJ]."""
        energy: IntLike = (self.power or 0) * busy_ps
        return energy + (self.byte_hop or 0) * self.hops * size_bytes


class ChipLinkEnergy(EnergySection):
    """A link between chips."""

    power: Power | None = None
    """One link in one direction while it carries a transfer [uW]."""
    byte: EnergyPerByte | None = None
    """One byte over one such link, both of its ends included [aJ]."""


class SramEnergy(EnergySection):
    """On-chip memory: the far end of the transfers of clusters, with or without a known size."""

    byte: EnergyPerByte | None = None
    """One byte read or written by a transfer between the memory and a cluster [aJ]."""
    mib_power: Power | None = None
    """One MiB, or the part of one that is begun, all the time [uW]."""


class DramEnergy(EnergySection):
    """External memory."""

    power: Power | None = None
    """While it carries a transfer [uW]."""
    byte: EnergyPerByte | None = None
    """One byte that it carries [aJ]."""
    static_power: Power | None = None
    """All the time, refresh included [uW]."""

    def transfer_aj(self, size_bytes: IntLike, busy_ps: IntLike) -> IntLike:
        """Return the energy of transfers: power x time + byte x bytes [aJ]."""
        energy: IntLike = (self.power or 0) * busy_ps
        return energy + (self.byte or 0) * size_bytes


class MachineEnergy(EnergySection):
    """What the parts of a machine draw; a part that is null is unknown, and reported as such."""

    tile: TileEnergy | None = None
    """The tiles, MVM by MVM."""
    tiles: differences("TileEnergy") = Field(default={})  # type: ignore[valid-type]
    """Further kinds of tiles by name: each says what differs from ``tile``."""
    cluster: ClusterEnergy | None = None
    """The clusters."""
    clusters: differences("ClusterEnergy") = Field(default={})  # type: ignore[valid-type]
    """Further kinds of clusters by name: each says what differs from ``cluster``."""
    link: LinkEnergy | None = None
    """The links on the chip."""
    chip_link: ChipLinkEnergy | None = None
    """The links between chips."""
    sram: SramEnergy | None = None
    """The memory on the chip."""
    dram: DramEnergy | None = None
    """The external memory."""

    def kind(self, part: Literal["tile", "cluster"], sort: str) -> Any:
        """Return what a kind of tiles or of clusters draws; as the usual one if it says nothing.

        Raises:
            PlacedError: What it says is no such section.
        """
        usual = getattr(self, part)
        own = getattr(self, f"{part}s").get(sort) if sort else None
        if not own:
            return usual
        place = f"energy.{part}s.{sort}"
        if usual is None:
            usual = (TileEnergy if part == "tile" else ClusterEnergy).model_construct()
        return changed(usual, own, place)


class MachineArea(EnergySection):
    """Area of each part; a part that is null is unknown, and left out of the sum by name."""

    rare: ClassVar[tuple[str, ...]] = ("converter",)

    tile: Area | None = None
    """One tile with all its tiers, converters and periphery [um2]; without converters where their
    area is told."""
    converter: Area | None = None
    """One converter, or null where they are part of the tile [um2]; a tile has columns / columns
    per converter of them."""
    cluster: Area | None = None
    """One cluster with a matrix engine [um2]."""
    plain_cluster: Area | None = None
    """One cluster without a matrix engine [um2]."""
    sram_mib: Area | None = None
    """One MiB of SRAM, or the part of one that is begun [um2]."""
    dram_interface: Area | None = None
    """The interface of the external memory on the chip [um2]."""
    link: Area | None = None
    """One link [um2]."""
    tiles: dict[str, Area] = Field(default={})
    """One tile of each further kind, by name [um2]; as ``tile`` where it is not told."""
    clusters: dict[str, Area] = Field(default={})
    """One cluster of each further kind, by name [um2]; as ``cluster`` where it is not told."""

    def of_kinds(self, tile: str, cluster: str) -> Self:
        """Return the areas as if a kind of tiles and one of clusters were all there are."""
        update = {
            "tile": self.tiles.get(tile, self.tile),
            "cluster": self.clusters.get(cluster, self.cluster),
        }
        return self.model_copy(update={**update, "tiles": {}, "clusters": {}})
