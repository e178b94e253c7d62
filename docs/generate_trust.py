"""Write the tables and the figure of docs/trust.md anew: ``python docs/generate_trust.py``.

The table of residuals, from which intervals come, is written first.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.certainty.residuals import FILE, Residuals
from hybridsim.report.figures.validation import save_rtl_figure
from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.validation.certainty import calibrated, coverage, judged
from hybridsim.validation.rtl import Comparison, compare_with_rtl

PAGE = Path(__file__).parent / "trust.md"
FIGURE = Path(__file__).parent / "img" / "rtl.png"


def tables(comparison: Comparison, residuals: Residuals) -> dict[str, str]:
    """Return marker name -> Markdown table."""
    return {
        "summary": markdown_table(_summary(comparison)),
        "outcomes": markdown_table(_outcomes(comparison)),
        "reasons": markdown_table(comparison.reasons()[["rows", "reason"]]),
        "coverage": markdown_table(_coverage(comparison, residuals, "group")),
        "regimes": markdown_table(_coverage(comparison, residuals, "regime")),
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


if __name__ == "__main__":
    main()
