"""The adapters under the roofs of a cluster."""

from collections.abc import Hashable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from hybridsim.report.figures.style import (
    BLACK,
    COLUMN,
    GREY,
    MARKERS,
    SERIES,
    blank,
    legend_below,
)
from hybridsim.report.page.roofline import Roofline, roofline
from hybridsim.simulation import Run

_GIGA = 1e9


def draw_roofline(roof: Roofline, axes: Axes) -> None:
    """Draw the roofs, and a marker per shape, batch and unit, on logarithmic axes."""
    table = roof.kernels.reset_index(drop=True)
    slope = roof.bandwidth_bytes_per_s / _GIGA
    top = float(roof.roofs["operations_per_s"].max()) / _GIGA
    low = min(float(table["operations_per_byte"].min()) / 2, top / slope / 4)
    high = max(float(table["operations_per_byte"].max()) * 3, top / slope * 4)
    axes.plot([low, top / slope], [low * slope, top], color=BLACK)
    for rate, units in roof.roofs.groupby("operations_per_s")["roof"]:
        peak, names = float(str(rate)) / _GIGA, " and ".join(units)
        axes.plot([peak / slope, high], [peak, peak], color=GREY if peak < top else BLACK)
        axes.annotate(
            f"{names}, {peak:.0f}", (high, peak), xytext=(0, 2), textcoords="offset points",
            ha="right", va="bottom", fontsize=6.5,
        )  # fmt: skip
    axes.annotate(
        f"DMA, {slope:.0f} GB/s", (low, low * slope), xytext=(4, 0), textcoords="offset points",
        fontsize=6.5, va="top",
    )  # fmt: skip
    for place, row in enumerate(table.to_dict("records")):
        axes.plot(
            row["operations_per_byte"], row["operations_per_s"] / _GIGA, linestyle="none",
            marker=MARKERS[place % len(MARKERS)], color=SERIES[place % len(SERIES)], markersize=4,
            label=_label(row),
        )  # fmt: skip
    bottom = min(float(table["operations_per_s"].min()) / _GIGA / 2, low * slope)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top * 1.6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.set(xlabel="operations per byte over the DMA", ylabel="10$^9$ operations per second")


def _label(row: dict[Hashable, Any]) -> str:
    unit = str(row["unit"]).replace("_", " ")
    return f"{row['kernel']}, t = {row['batch']}: {unit} ({row['layers']})"


def roofline_of(run: Run) -> Roofline | None:
    """Return the roofs and what is under them; None where nothing is adapted."""
    roof = roofline(run.job.machine, run.schedule.plan, run.timeline, run.result)
    return None if roof is None or roof.kernels.empty else roof


def roofline_figure(roof: Roofline) -> Figure:
    """Return the adapters under the roofs of a cluster, one column wide."""
    figure, axes = blank(COLUMN, 2.6 + 0.14 * len(roof.kernels))
    draw_roofline(roof, axes)
    legend_below(figure, axes, 1)
    return figure
