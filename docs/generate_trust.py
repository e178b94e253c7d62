"""Write the tables and the figures of docs/trust.md anew: ``python docs/generate_trust.py``.

The table of residuals, from which intervals come, is written first. What long sweeps take is read
from ``sweep_memory.csv``; ``python -m tests.faults.long sweep docs/sweep_memory.csv`` measures it.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hybridsim.certainty.residuals import FILE, Residuals
from hybridsim.report.figures.style import COLUMN, SERIES, blank, save_undated
from hybridsim.report.figures.validation import save_rtl_figure
from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.validation.certainty import calibrated, coverage, judged
from hybridsim.validation.rtl import Comparison, compare_with_rtl

PAGE = Path(__file__).parent / "trust.md"
FIGURE = Path(__file__).parent / "img" / "rtl.png"
MEMORY = Path(__file__).parent / "sweep_memory.csv"
COMMANDS = {"points": "`sweep --shard 1/1`", "answers": "`sweep merge --answers`"}


def tables(comparison: Comparison, residuals: Residuals) -> dict[str, str]:
    """Return marker name -> Markdown table."""
    return {
        "summary": markdown_table(_summary(comparison)),
        "outcomes": markdown_table(_outcomes(comparison)),
        "reasons": markdown_table(comparison.reasons()[["rows", "reason"]]),
        "coverage": markdown_table(_coverage(comparison, residuals, "group")),
        "regimes": markdown_table(_coverage(comparison, residuals, "regime")),
        "sweep": markdown_table(_sweeps(pd.read_csv(MEMORY))),
    }


def _coverage(comparison: Comparison, residuals: Residuals, by: str) -> pd.DataFrame:
    """Return what intervals cover, and how wide they are."""
    table = coverage(judged(comparison, residuals), by)
    table = table[table["half"] != "fitted"]
    shown = table[[by, "half", "rows"]].copy()
    shown["covered"] = table["covered_percent"].map(lambda share: f"{share:.1f} %")
    shown["median error"] = table["median_error_percent"].map(_percent)
    shown["median half width"] = table["median_half_width_percent"].map(_percent)
    return shown


def _summary(comparison: Comparison) -> pd.DataFrame:
    table = comparison.summary()
    table = table[table["half"] != "fitted"]
    figures = [name for name in table.columns if name.endswith("_percent")]
    shown = table[["group", "half", "rows", "compared", "exact"]].copy()
    for name in figures:
        shown[name.removesuffix("_percent")] = table[name].map(_percent)
    return shown


def _outcomes(comparison: Comparison) -> pd.DataFrame:
    names = {"measured": "in RTL", "works": "model: works", "fails": "model: fails"}
    return comparison.outcomes().rename(columns=names)


def _sweeps(read: pd.DataFrame) -> pd.DataFrame:
    """Return what each command took in the end; its last row has the most memory."""
    last = read.groupby(["study_points", "command"], sort=False, as_index=False).last()
    shown = pd.DataFrame({"points": last["study_points"].map("{:,}".format)})
    shown["command"] = last["command"].map(COMMANDS)
    shown["CPU [s]"] = last["cpu_s"].map("{:.1f}".format)
    per_s = last["study_points"] / last["cpu_s"] / 1e3
    shown["points per s of CPU"] = per_s.map("{:.0f} thousand".format)
    shown["most memory [MiB]"] = last["resident_mib"].map("{:.0f}".format)
    shown["parts [MiB]"] = (last["parts_bytes"] / 2**20).map("{:.1f}".format)
    return shown


def memory_figure() -> Figure:
    """Return the figure of memory over points, as they are evaluated."""
    read = pd.read_csv(MEMORY)
    figure, axes = blank(COLUMN, 2.2)
    evaluated = read[(read["command"] == "points") & (read["recorded_points"] > 1)]
    for (points, rows), colour in zip(evaluated.groupby("study_points"), SERIES, strict=False):
        axes.plot(
            rows["recorded_points"], rows["resident_mib"], color=colour, marker="o", markersize=2,
            linewidth=0.8, label=f"study of {points:,}",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("points evaluated and recorded")
    axes.set_ylabel("resident memory [MiB]")
    axes.legend(loc="lower right")
    return figure


def _percent(value: Any) -> str:
    return "" if pd.isna(value) else f"{value:.2f} %"


def main() -> None:
    """Write page and figure."""
    comparison = compare_with_rtl()
    residuals = calibrated(comparison)
    FILE.write_text(residuals.to_json(), encoding="utf-8")
    text = refilled(PAGE.read_text(encoding="utf-8"), tables(comparison, residuals))
    PAGE.write_text(text, encoding="utf-8")
    FIGURE.parent.mkdir(exist_ok=True)
    save_rtl_figure(comparison.points(), FIGURE)
    save_undated(memory_figure, FIGURE.with_name("sweep_memory.png"))


if __name__ == "__main__":
    main()
