"""What a machine lacks, and who is asked for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hybridsim.arch import Machine
from hybridsim.estimates.figures import (
    DRAM_BITS,
    HOP_BYTE,
    Figure,
    SramFigures,
    library_adc,
    library_sram,
    published_device,
    published_sram,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What estimators have to know that no machine file says."""

    node: int = 28
    """Of the technology [nm]."""
    bits: int = 8
    """Effective bits of the converters of tiles."""
    dram: str = "hbm2"
    """Kind of the external memory, one of ``DRAM_BITS``."""


_STEPS = {"pJ": 1e-6, "pJ/B": 1e-6, "mW": 1e-3, "um2": 1, "mm2": 1e-6}
"""Units of answers, and the smallest step of each in a machine file."""


class Answer(NamedTuple):
    """A value of a machine, as text with its unit, and its source."""

    path: str
    value: str
    source: str
    instead: str = ""
    """Why a publication answers where a model would have been asked first."""


class Untold(NamedTuple):
    """A value that stays unknown, and why."""

    path: str
    why: str


def estimate(machine: Machine, settings: Settings) -> list[Answer | Untold]:
    """Return what can be told of all that a machine has parts for, but no numbers of.

    A number that is part of another one, as conversions are of an energy per weight, is not asked
    for. The order is that of machine files.
    """
    return [
        *_of_tiles(machine, settings),
        *_of_tcdm(machine, settings),
        *_of_links(machine),
        *_of_memory(machine, settings),
        *_areas(machine, settings),
    ]


def _of_tiles(machine: Machine, settings: Settings) -> Iterator[Answer | Untold]:
    energy = machine.energy.tile if machine.energy else None
    if energy is not None and energy.counts_mvms:
        return
    device = published_device(_read_ps(machine))
    yield _answer("energy.tile.device", device, "pJ")
    yield _converter(machine, settings, "energy.tile.conversion")


def _read_ps(machine: Machine) -> int:
    """Return how long one read of a whole tile takes [ps]."""
    read: int = machine.tile.reading_ps(machine.tile.columns) // machine.tile.reads
    return read


def _converter(machine: Machine, settings: Settings, path: str) -> Answer | Untold:
    """Return the energy or the area of a converter, at the rate at which its tile needs it."""
    rate = machine.tile.columns_per_converter * 1e12 / _read_ps(machine)
    found = library_adc(settings.bits, settings.node, rate)
    if isinstance(found, str):
        return Untold(path, found)
    if path == "area.converter":
        return _answer(path, found.area, "um2")
    return _answer(path, found.conversion, "pJ")


def _of_tcdm(machine: Machine, settings: Settings) -> Iterator[Answer | Untold]:
    energy = machine.energy.cluster if machine.energy else None
    if energy is not None and (energy.tcdm_byte is not None or not energy.by_unit):
        return  # known, or part of the power of a cluster
    if machine.cluster is None:
        return
    tcdm = machine.cluster.tcdm
    found, instead = _sram(tcdm.size // tcdm.banks, tcdm.bank_width, settings.node)
    yield _answer("energy.cluster.tcdm_byte", found.byte, "pJ/B", instead)


def _of_links(machine: Machine) -> Iterator[Answer | Untold]:
    if machine.energy is None or machine.energy.link is None:
        yield _answer("energy.link.byte_hop", HOP_BYTE, "pJ/B")


def _of_memory(machine: Machine, settings: Settings) -> Iterator[Answer | Untold]:
    memory, energy = machine.memory, machine.energy
    if memory is not None and memory.sram is not None:
        known = energy.sram if energy else None
        found, instead = _sram(memory.sram.size, 8 * machine.link.width, settings.node)
        if known is None or known.byte is None:
            yield _answer("energy.sram.byte", found.byte, "pJ/B", instead)
        if known is None or known.mib_power is None:
            yield _answer("energy.sram.mib_power", found.mib_power, "mW", instead)
    if memory is not None and memory.dram is not None and not (energy and energy.dram):
        bit = DRAM_BITS[settings.dram]
        yield _answer("energy.dram.byte", Figure(8 * bit.value, bit.source), "pJ/B")


def _areas(machine: Machine, settings: Settings) -> Iterator[Answer | Untold]:
    area, memory = machine.area, machine.memory
    if area is None or area.tile is None:
        if area is None or area.converter is None:
            yield _converter(machine, settings, "area.converter")
        yield Untold("area.tile", "nobody is asked about crossbars and their periphery")
    if machine.cluster is not None and (area is None or area.cluster is None):
        yield Untold("area.cluster", "nobody is asked about clusters")
    if memory is not None and memory.sram is not None and (area is None or area.sram_mib is None):
        found, instead = _sram(memory.sram.size, 8 * machine.link.width, settings.node)
        yield _answer("area.sram_mib", found.mib_area, "mm2", instead)


def _sram(size: int, width: int, node: int) -> tuple[SramFigures, str]:
    """Return figures of an SRAM, and why they are a publication's, where they are."""
    found = library_sram(size, width, node)
    return (published_sram(size), found) if isinstance(found, str) else (found, "")


def _answer(path: str, figure: Figure, unit: str, instead: str = "") -> Answer:
    value = max(float(f"{figure.value:.4g}"), _STEPS[unit])
    value = round(value / _STEPS[unit]) * _STEPS[unit]  # machine files take no parts of steps
    return Answer(path, f"{value:.10g} {unit}", f"estimated: {figure.source}", instead)
