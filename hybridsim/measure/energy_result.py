"""What a run draws and how much silicon its machine takes, as part of its answer."""

from typing import ClassVar

from hybridsim._old_names import OldAttribute
from hybridsim.measure.answer import Answer
from hybridsim.units import format_energy


class EnergyResult(Answer):
    """Energy and power of a run. ``component_aj`` and ``static_aj`` add up to the total exactly,
    and so do ``op_aj`` and ``static_aj``."""

    total_pj: float
    """Work and static energy of the whole run [pJ]."""
    analog_pj: float
    """Work of tiles and their periphery [pJ]."""
    digital_pj: float
    """Work of all other parts [pJ]."""
    static_pj: float
    """What parts draw for being there: leakage, clock, refresh [pJ]; 0 where none is known."""
    yardstick_pj: float
    """The yardstick: the same network without adapter work, static energy included [pJ]."""
    per_token_pj: float
    """Total over tokens [pJ]."""
    macs: int
    """Multiply-accumulates of linear layers, adapters and attention."""
    tops_per_watt: float
    """Two operations per multiply-accumulate, over the total [10^12 / J]."""
    edp_js: float
    """Energy-delay product: total x latency [J s]."""
    average_power_w: float
    """Total over latency [W]."""
    peak_power_w: float
    """The most that is drawn at an instant, each task's energy taken as even over its time [W]."""
    tdp_w: float | None
    """All parts at work at the same time [W]; None where the power of a part is unknown."""
    component_aj: dict[str, int]
    """Part -> what its work draws [aJ]."""
    static_aj: dict[str, int]
    """Part -> what it draws for being there [aJ]."""
    op_aj: dict[str, int]
    """Op or layer -> what its work draws [aJ]."""
    not_counted: tuple[str, ...]
    """Kinds of parts that work in the run, but whose energy is unknown: none of it is in here."""

    without_adapters_pj: ClassVar[OldAttribute] = OldAttribute("yardstick_pj")

    @property
    def total_aj(self) -> int:
        """Work and static energy of the whole run [aJ], exact."""
        return sum(self.component_aj.values()) + sum(self.static_aj.values())

    @property
    def overhead_percent(self) -> float:
        """What adapters add to the energy of the network without them [%]."""
        yardstick = self.yardstick_pj
        return (self.total_pj - yardstick) * 100 / yardstick if yardstick else 0.0

    @property
    def summary(self) -> str:
        """One line for people."""
        parts = [
            f"{format_energy(round(pj * 10**6))} {name}"
            for name, pj in (
                ("analog", self.analog_pj),
                ("digital", self.digital_pj),
                ("static", self.static_pj),
            )
            if pj or name != "static"
        ]
        text = f"{format_energy(self.total_aj)} ({', '.join(parts)})"
        if self.not_counted:
            names = ", ".join(name.replace("_", " ") for name in self.not_counted)
            text += f"; unknown and left out: {names}"
        return text


class AreaResult(Answer):
    """Silicon of a machine, as far as the areas of its parts are known."""

    total_um2: int
    """All parts whose area is known [um2]."""
    component_um2: dict[str, int]
    """Part -> area of all parts of that kind [um2]."""
    not_counted: tuple[str, ...]
    """Parts of the machine whose area is unknown: they are not in the total."""
