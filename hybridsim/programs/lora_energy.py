"""What adapting one batch of a layer draws, beside the MVMs that it adapts."""

from dataclasses import dataclass

from hybridsim.arch import Cluster, Machine
from hybridsim.components.energy import ClusterEnergy, MachineEnergy, TileEnergy
from hybridsim.errors import UnsupportedError
from hybridsim.programs.lora import LoraProgram
from hybridsim.programs.lora_activity import Activity, batch_activity, weights_activity
from hybridsim.programs.lora_choices import LoraChoice


@dataclass(frozen=True)
class LoraEnergy:
    """Energies of one batch [aJ]."""

    analog: int
    """The MVMs of the layer, on crossbars of its own."""
    adapter: dict[str, int]
    """Part -> what adapting the batch draws: kernels, X and Y brought in, Z taken out."""
    weights: int
    """Bringing A and B once."""
    macs: int
    """Multiply-accumulates of the adapter."""

    @property
    def digital(self) -> int:
        """The adapter of the batch, A and B in place."""
        return sum(self.adapter.values())


def lora_energy(
    machine: Machine,
    in_features: int,
    out_features: int,
    rank: int,
    tokens: int,
    choice: LoraChoice,
) -> LoraEnergy:
    """Return what ``tokens`` of one layer draw on its tiles, and in its adapter.

    Where the energies of a machine are those of whole clusters, the cluster is taken to transfer
    and to compute one after the other.

    Raises:
        UnsupportedError: The machine does not tell the energies of tiles or clusters, has no
            cluster, or its cluster cannot compute the adapter in this way.
    """
    energy, cluster = machine.energy, machine.cluster
    if energy is None or energy.tile is None or energy.cluster is None or cluster is None:
        raise UnsupportedError(
            f"{machine.name} does not tell what its tiles and clusters draw; "
            "a section energy: with tile: and cluster: in its file would do"
        )
    choice = choice.on(cluster)
    program = LoraProgram(in_features, out_features, rank, tokens, choice).on(cluster)
    done = batch_activity(program, cluster)
    return LoraEnergy(
        analog=tokens * vector_aj(machine, energy.tile, in_features, out_features),
        adapter=_adapter(machine, cluster, energy, energy.cluster, program),
        weights=sum(
            sum(_moved(machine, energy, energy.cluster, activity).values())
            for activity in weights_activity(program, cluster).values()
        ),
        macs=sum(activity.macs for activity in done.values()),
    )


def vector_aj(machine: Machine, spec: TileEnergy, in_features: int, out_features: int) -> int:
    """Return the energy of one vector through a layer on crossbars of its own [aJ]."""
    tile = machine.tile
    blocks = tile.crossbars_for(in_features, out_features)
    after: int = tile.mvm_ps(in_features, out_features, 1) - tile.reading_ps(out_features)
    energy = spec.mvm_aj(tile, in_features, out_features, blocks)
    return energy + spec.periphery_aj(blocks, after)


def _adapter(
    machine: Machine,
    cluster: Cluster,
    energy: MachineEnergy,
    spec: ClusterEnergy,
    program: LoraProgram,
) -> dict[str, int]:
    """Return part -> energy of one batch [aJ]; parts that draw nothing are left out."""
    found: dict[str, int] = {}
    for (label, unit), activity in batch_activity(program, cluster).items():
        time = sum(
            cluster.time_ps(kernel.work)
            for kernel in program.kernels
            if (kernel.work.label, kernel.unit) == (label, unit)
        )
        parts = _moved(machine, energy, spec, activity) if unit == "dma" else {}
        if not spec.by_unit:
            parts["cluster"] = parts.get("cluster", 0) + (spec.power or 0) * time
        elif unit == "cores":
            parts["cores"] = (spec.cores_power or 0) * time
        elif unit == "matrix_engine":
            events = spec.engine_aj(activity.macs, activity.engine_slots)
            parts["matrix_engine"] = (spec.engine_power or 0) * time + events
        for part, aj in parts.items():
            found[part] = found.get(part, 0) + aj
    return {part: aj for part, aj in found.items() if aj}


def _moved(
    machine: Machine, energy: MachineEnergy, spec: ClusterEnergy, activity: Activity
) -> dict[str, int]:
    """Return part -> energy of one transfer, or of zeroing a buffer [aJ]."""
    assert machine.cluster is not None
    size, inside = activity.link_bytes, activity.tcdm_bytes
    found = {"dma": (spec.dma_byte or 0) * inside, "tcdm": (spec.tcdm_byte or 0) * inside}
    if not size:
        return found
    time = max(
        machine.cluster.to_ps(machine.cluster.dma.transfer_cycles(size)),
        machine.link.transfer_ps(size),
    )
    if energy.link is not None:
        found["link"] = energy.link.transfer_aj(size, time)
    if energy.sram is not None:
        found["sram"] = (energy.sram.byte or 0) * size
    if not spec.by_unit:
        found["cluster"] = (spec.power or 0) * time
    return found
