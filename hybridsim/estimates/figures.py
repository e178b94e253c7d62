"""What estimators answer: figures with a source, from publications and from a kept library.

All figures are in units that this package writes: picojoules, milliwatts and square millimetres.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from math import log
from typing import Any, NamedTuple

from hybridsim.errors import installing


class Figure(NamedTuple):
    """A number and where it comes from."""

    value: float
    source: str


class SramFigures(NamedTuple):
    """An SRAM: one byte read or written [pJ], and of one MiB the leakage [mW] and area [mm2]."""

    byte: Figure
    mib_power: Figure
    mib_area: Figure


class AdcFigures(NamedTuple):
    """A converter: one conversion [pJ], and its area [um2]."""

    conversion: Figure
    area: Figure


# --- publications -------------------------------------------------------------------------------

_HOROWITZ = "Horowitz, ISSCC 2014, fig. 1.1.9 (64 bit, 45 nm), between its sizes on log axes"
_SRAM_READS = ((8 * 2**10, 10.0), (32 * 2**10, 20.0), (2**20, 100.0))
"""Bytes of an SRAM, and the energy of 64 bit of it [pJ]. Source: Horowitz, ISSCC 2014."""

_HARP = "IEEE TPDS 2026, DOI 10.1109/TPDS.2026.3706975, of its platform"

DRAM_BITS: Mapping[str, Figure] = {
    "hbm2": Figure(3.9, "HBM2, 3.9 pJ/bit (O'Connor et al., MICRO 2017)"),
    "gddr5": Figure(14.0, "GDDR5, 14 pJ/bit (O'Connor et al., MICRO 2017)"),
    "lpddr2": Figure(40.0, "LPDDR2, 40 pJ/bit (Malladi et al., ISCA 2012)"),
    "ddr3": Figure(70.0, "DDR3, 70 pJ/bit (Malladi et al., ISCA 2012)"),
}
"""One bit to or from an external memory, its interface included [pJ]."""

HOP_BYTE = Figure(0.15, "FlooNoC, 0.15 pJ/B/hop at 0.8 V in 12 nm (Fischer et al., 2025)")
"""One byte over one hop of a network on chip [pJ]."""

READ_VOLTS, MEAN_MICROSIEMENS = 0.2, 5.0
"""Of a device while it is read; assumed: a fifth of the 25 uS that PCM is programmed to."""


def published_sram(size: int) -> SramFigures:
    """Return published figures of an SRAM of ``size`` bytes; nothing is scaled to another node.

    The energy of 64 bit lies on a line between the published sizes on logarithmic axes, and is
    that of the nearest size outside of them, as larger memories are made of such banks.
    """
    sizes = [each for each, _ in _SRAM_READS]
    at = min(max(bisect_right(sizes, size), 1), len(sizes) - 1)
    (small, low), (large, high) = _SRAM_READS[at - 1 : at + 1]
    share = (log(min(max(size, sizes[0]), sizes[-1])) - log(small)) / (log(large) - log(small))
    return SramFigures(
        Figure(low * (high / low) ** share / 8, _HOROWITZ),
        Figure(5.45, f"5.45 mW a MiB ({_HARP})"),
        Figure(1.25, f"1.25 mm2 a MiB ({_HARP})"),
    )


def published_device(reading_ps: int) -> Figure:
    """Return the energy of a device in one read [pJ]: V^2 G t, with the mean of its states."""
    value = READ_VOLTS**2 * MEAN_MICROSIEMENS * 1e-6 * reading_ps
    return Figure(value, f"V^2 G t with {READ_VOLTS} V and {MEAN_MICROSIEMENS} uS (both assumed)")


# --- the library --------------------------------------------------------------------------------


def library_adc(bits: int, node: int, per_second: float) -> AdcFigures | str:
    """Return what the library says of a converter, or why it says nothing.

    Args:
        bits: Effective bits.
        node: Of the technology [nm].
        per_second: Conversions of this converter in a second.
    """
    model = _model("hwcomponents_adc.main", "ADC")
    if isinstance(model, str):
        return model
    found = _answered(
        lambda: (adc := model(bits, node * 1e-9, per_second), adc.convert().energy, adc.area)[1:]
    )
    if isinstance(found, str):
        return found
    source = f"hwcomponents-adc {_version('hwcomponents-adc')}, arXiv:2404.06553: {bits} bits, "
    source += f"{node} nm, {per_second / 1e6:.4g} MS/s"
    return AdcFigures(Figure(found[0] * 1e12, source), Figure(found[1] * 1e12, source))


def library_sram(size: int, width: int, node: int) -> SramFigures | str:
    """Return what the library's CACTI says of an SRAM, or why it says nothing.

    Args:
        size: Of the memory [bytes].
        width: Bits that an access carries.
        node: Of the technology [nm].
    """
    model = _model("hwcomponents_cacti", "SRAM")
    if isinstance(model, str):
        return model

    def ask() -> tuple[float, float, float]:
        sram = model(tech_node=node * 1e-9, width=width, size=8 * size)
        access = (sram.read().energy + sram.write().energy) / 2
        return access * 8 / width, sram.leak_power, sram.area

    found = _answered(ask)
    if isinstance(found, str):
        place = "hwcomponents_cacti/cacti of its installation"
        return f"{found}; `make opt CXX='g++ -fcommon -pthread'` in {place} builds it anew"
    source = f"hwcomponents-cacti {_version('hwcomponents-cacti')}, CACTI 7: {size:,} B, "
    source += f"{width} bits, {node} nm"
    byte, leak, area = found
    mib = size / 2**20
    return SramFigures(
        Figure(byte * 1e12, f"{source}, mean of read and write"),
        Figure(leak * 1e3 / mib, source),
        Figure(area * 1e6 / mib, source),
    )


def _model(module: str, name: str) -> Any:
    """Return a class of the library, or the sentence that says how to get it."""
    from importlib import import_module

    try:
        return getattr(import_module(module), name)
    except ImportError:
        package = module.partition(".")[0].replace("_", "-")
        return f"{package} is not here: {installing('estimators')}, with Python 3.12 on"


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _answered(ask: Callable[[], Any]) -> Any:
    """Return an answer, or a sentence on what went wrong; the library's own errors are many."""
    try:
        found = ask()
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        return f"the model does not run here ({type(error).__name__}: {reason})"
    return found
