"""How figures look, and how they become files: sizes of a printed page, colours, no dates."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybridsim.boundary.writing import write_file

Format = Literal["pdf", "png", "svg"]
Build = Callable[[], Figure]
"""Draws a figure when it is called, so that none is drawn in vain."""

COLUMN, PAGE = 3.5, 7.16
"""Width of one column and of two, with the gap between them, in journals of the IEEE [inch]."""

# Okabe and Ito's colours, told apart with any colour vision
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, LIGHT = "0.45", "0.85"
SERIES = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
PARTS = {
    "tile": SKY,
    "periphery": BLUE,
    "matrix_engine": VERMILION,
    "cores": ORANGE,
    "dma": GREEN,
    "link": PURPLE,
    "dram": YELLOW,
    "cluster": ORANGE,
    "engine_cluster": VERMILION,
    "delay": GREY,
}
"""Kind of part -> its colour in every figure."""
NAMES = {
    "tile": "tiles",
    "periphery": "tile periphery",
    "matrix_engine": "matrix engine",
    "cores": "cores",
    "dma": "DMA",
    "link": "link",
    "dram": "DRAM",
    "cluster": "clusters",
    "engine_cluster": "engine clusters",
    "delay": "delay",
    "nothing": "nothing",
}
"""Kind of part -> how it is called in every figure."""

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "path",
    "svg.hashsalt": "hybridsim",  # equal figures get equal names inside
}
_UNDATED: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_DOTS_PER_INCH = 300


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of that size [inch] with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Put the legend of ``axes`` below it, each label once, in the order of lines of text."""
    found = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if found:
        labels = list(found)
        # matplotlib fills one column after the other
        labels = [label for column in range(columns) for label in labels[column::columns]]
        handles = [found[label] for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def file_of(build: Build, kind: Format) -> bytes:
    """Return a figure as a file; the same figure gives the same bytes."""
    held = io.BytesIO()
    with mpl.rc_context(_STYLE):
        build().savefig(held, format=kind, dpi=_DOTS_PER_INCH, metadata=_UNDATED[kind])
    return held.getvalue()


def save_undated(build: Build, path: Path) -> None:
    """Write a figure for screens to a file of the kind that the ending of ``path`` names.

    Raises:
        SpecError: The disk refuses.
    """
    # a date or a random name in the file would change it every time
    dated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    kind = path.suffix.lower().removeprefix(".")
    with mpl.rc_context({"svg.hashsalt": "hybridsim"}), write_file(path) as file:
        build().savefig(file, format=kind, dpi=150, metadata=dated[kind])


def time_unit(longest_ps: float) -> tuple[str, float]:
    """Return the unit that suits a time, and how many picoseconds it has."""
    for unit, size in (("s", 1e12), ("ms", 1e9), ("µs", 1e6), ("ns", 1e3)):
        if longest_ps >= size:
            return unit, size
    return "ps", 1.0


def files_of(drawn: dict[str, Build], kind: Format) -> dict[str, bytes]:
    """Return file name -> figure, for figures by their short names."""
    return {f"figure_{name}.{kind}": file_of(build, kind) for name, build in drawn.items()}
