"""What the parts of a machine draw, and how much silicon they take.

Powers while they work, energies per event and static powers: two styles can be mixed, term by
term: *power x busy time*, and *energy per event* (an MVM, a multiply-accumulate, a byte). A term
that is null is not known, or is part of another one, and is not charged. All equations are exact
integers: microwatts times picoseconds are attojoules.
"""

from typing import Self

from pydantic import model_validator

from hybridsim.units import Area, Count, Energy, EnergyPerByte, EnergyPerMac, IntLike, Power, Spec


class EnergySection(Spec):
    """A group of terms, of which at least one is known."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        terms = [name for name, field in type(self).model_fields.items() if field.default is None]
        if all(getattr(self, name) is None for name in terms):
            raise ValueError(f"no number is given; give one of {', '.join(terms)}")
        return self


class TileEnergy(EnergySection):
    """An MVM: the crossbar with its converters, and the digital periphery behind it."""

    crossbar_power: Power | None = None
    """A crossbar whose devices are all used, with its converters, while it integrates [uW]. A
    layer draws the share of the devices that hold its weights. Source of the form: HARP, used
    cells / 512^2 x 0.07 W (IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975)."""
    power_step: Power | None = None
    """To what the power of a layer is rounded, half up [uW]; null: down to the microwatt.
    Source of the form: HARP rounds to 1 mW."""
    mac: EnergyPerMac | None = None
    """One used device in one MVM, converters included [aJ]."""
    per_crossbar: Energy | None = None
    """One used crossbar in one MVM, however few of its devices are used [aJ]."""
    periphery_power: Power | None = None
    """The post-processing of one crossbar while it works [uW]."""
    static_power: Power | None = None
    """One tile, all the time [uW]."""

    @property
    def counts_mvms(self) -> bool:
        """Whether anything is known of what an MVM takes."""
        return any(term is not None for term in (self.crossbar_power, self.mac, self.per_crossbar))

    def layer_power(self, devices: int, crossbar_devices: int) -> int:
        """Return the power of the crossbars of a layer while they integrate [uW].

        devices / devices of a crossbar x crossbar_power, rounded to power_step.
        """
        step = self.power_step or 1
        drawn = (self.crossbar_power or 0) * devices
        if self.power_step is None:
            return drawn // crossbar_devices
        return (2 * drawn + crossbar_devices * step) // (2 * crossbar_devices * step) * step

    def mvm_aj(
        self, devices: int, crossbars: int, crossbar_devices: int, integration_ps: int
    ) -> int:
        """Return the energy of one vector through the crossbars of a layer [aJ].

        layer_power x integration time + mac x devices + per_crossbar x crossbars.
        """
        return (
            self.layer_power(devices, crossbar_devices) * integration_ps
            + (self.mac or 0) * devices
            + (self.per_crossbar or 0) * crossbars
        )

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
    hops: Count = 1
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
    cluster: ClusterEnergy | None = None
    link: LinkEnergy | None = None
    chip_link: ChipLinkEnergy | None = None
    """The links between chips."""
    sram: SramEnergy | None = None
    dram: DramEnergy | None = None


class MachineArea(EnergySection):
    """Area of each part; a part that is null is unknown, and left out of the sum by name."""

    tile: Area | None = None
    """One tile with all its tiers, converters and periphery [um2]."""
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
