"""The paper's figure 4 as a folder: figures, the table behind them, and a page that compares.

What of figure 4 is public, and what had to be assumed, is said on the page. Source: Li, Ferro,
Lammie, Le Gallo, Boybat, Rajendran, Neuromorphic Computing and Engineering 6(1) 014011 (2026).
"""

from typing import Any

import pandas as pd

from hybridsim.arch import load_machine, machine_sources
from hybridsim.programs import CHOICES, LoraProgram
from hybridsim.report.figures import validation as figures
from hybridsim.report.figures.style import Build, Format, file_of
from hybridsim.report.markdown import markdown_table
from hybridsim.validation.paper import (
    BATCHES,
    INTEGRATION_TIMES,
    MACHINE,
    best_batches,
)

KINDS: tuple[Format, ...] = ("png", "svg")
"""Kinds of files that each figure is written as."""
SEQUENCE_LENGTH = 128
"""That of the figures; the publication does not say its own."""
_RANK = 8
_INNER = (128, 512)
_OUTER = 128
MEMORY_ANCHORS = {(128, 8): 8.2, (512, 8): 21.0, (128, 128): 70.0, (512, 128): 172.0}
"""(inputs, tokens) -> published scratchpad [KiB]. Source: Fig. 4b, read in summaries of it."""


def balance_table() -> pd.DataFrame:
    """Return layer, batch, unit and ns_per_token: what a token takes on tile and cluster.

    The unit ``swapped`` is the matrix engine in swapped order, with X by features.

    A cluster's time is that of the kernels of one batch, all operands in the TCDM. The tile's rows
    have no batch: it takes as long for every token.
    """
    cluster = load_machine(MACHINE).cluster
    assert cluster is not None
    direct, swapped, cores, _ = CHOICES
    by_features = swapped.model_copy(update={"x_layout": "feature_major"})
    ways = {"matrix_engine": direct, "swapped": by_features, "cores": cores}
    rows: list[dict[str, object]] = []
    for inner in _INNER:
        for unit, choice in ways.items():
            for batch in BATCHES:
                program = LoraProgram(inner, _OUTER, _RANK, batch, choice)
                ns = cluster.to_ps(program.compute_cycles(cluster)) / batch / 1000
                layer = f"{inner}x{_OUTER}"
                rows.append({"layer": layer, "batch": batch, "unit": unit, "ns_per_token": ns})
    for time in INTEGRATION_TIMES:
        tile = load_machine(MACHINE, {"tile.integration_time": time}).tile
        ns = tile.mvm_ps(_INNER[-1], _OUTER, 1) / 1000
        rows.append({"layer": "", "batch": None, "unit": "tile", "ns_per_token": ns})
    return pd.DataFrame(rows)


def memory_table() -> pd.DataFrame:
    """Return layer, batch, bytes, kib and published_kib: one batch, each operand once.

    Source of the formula: :meth:`hybridsim.components.tcdm.Tcdm.lora_bytes`.
    """
    cluster = load_machine(MACHINE).cluster
    assert cluster is not None
    rows = []
    for inner in _INNER:
        for batch in BATCHES:
            size = int(cluster.tcdm.lora_bytes(inner, _OUTER, _RANK, batch))
            rows.append(
                {
                    "layer": f"{inner}x{_OUTER}",
                    "batch": batch,
                    "bytes": size,
                    "kib": size / 1024,
                    "published_kib": MEMORY_ANCHORS.get((inner, batch)),
                }
            )
    return pd.DataFrame(rows)


def assumptions() -> pd.DataFrame:
    """Return field, value and why of all that the machine file says to be assumed."""
    text, sources = load_machine(MACHINE).to_text(), machine_sources(MACHINE)
    rows = []
    for path, why in sources.items():
        if path.startswith("variants.") or ("assumed" not in why and "not public" not in why):
            continue
        value = _value(text, path)
        if value is not None and not isinstance(
            value, dict
        ):  # fields of a group come by themselves
            rows.append({"field": path, "value": value, "why": why})
    return pd.DataFrame(rows)


def _value(text: Any, path: str) -> Any:
    for key in path.split("."):
        text = text[key]
    return text


def report_files(study: pd.DataFrame, anchors: pd.DataFrame) -> dict[str, str | bytes]:
    """Return file name -> content: the page, the table of the study, and its figures.

    ``study`` is what :func:`hybridsim.validation.paper.both_layouts` returns, with its best, and
    ``anchors`` what :func:`hybridsim.validation.paper_anchors.anchors_table` does.
    """
    memory, balance = memory_table(), balance_table()
    drawn: dict[str, Build] = {
        "fig4a_balance": lambda: figures.balance_figure(balance),
        "fig4b_memory": lambda: figures.memory_figure(memory),
        "fig4c_overhead": lambda: figures.overhead_figure(_drawn(study, "token_major"), anchors),
        "fig4c_feature_major": lambda: figures.overhead_figure(
            _drawn(study, "feature_major"), anchors
        ),
        "anchors": lambda: figures.anchors_figure(anchors),
    }
    files: dict[str, str | bytes] = {
        "report.md": page(study, anchors, memory),
        "latency_study.csv": study.to_csv(index=False),
    }
    for name, build in drawn.items():
        files |= {f"{name}.{kind}": file_of(build, kind) for kind in KINDS}
    return files


def _drawn(study: pd.DataFrame, x_layout: str) -> pd.DataFrame:
    """Return the cases of a panel: one length, on the matrix engine, with X in one layout."""
    chosen = (study["sequence_length"] == SEQUENCE_LENGTH) & (study["x_layout"] == x_layout)
    return study[chosen & (study["unit"] == "matrix_engine")].dropna(subset=["latency_ps"])


def page(study: pd.DataFrame, anchors: pd.DataFrame, memory: pd.DataFrame) -> str:
    """Return the page that shows the figures, and what is published beside what comes out."""
    best = best_batches(study)
    best = best[best["sequence_length"] == SEQUENCE_LENGTH]
    return "\n".join(
        (
            *_HEAD,
            "## Published and simulated",
            "",
            markdown_table(_anchor_rows(anchors)),
            "",
            markdown_table(_memory_rows(memory)),
            "",
            "![published and simulated overheads](anchors.png)",
            "",
            *_READINGS,
            *(f"- **{row.anchor}**: {row.why}" for row in anchors.itertuples()),
            "",
            *_NOT_CLOSER,
            "## a: balance of tile and cluster",
            "",
            "![time per token](fig4a_balance.png)",
            "",
            *_BALANCE,
            "## b: scratchpad",
            "",
            "![scratchpad](fig4b_memory.png)",
            "",
            *_MEMORY,
            "## c: overhead",
            "",
            "![overhead, X by tokens](fig4c_overhead.png)",
            "![overhead, X by features](fig4c_feature_major.png)",
            "",
            *_OVERHEAD,
            f"The best batch of each case, for {SEQUENCE_LENGTH} tokens on the matrix engine:",
            "",
            markdown_table(_best_rows(best)),
            "",
            "## What is assumed",
            "",
            *_ASSUMED,
            markdown_table(assumptions()),
            "",
        )
    )


_HEAD = (
    "# Figure 4 of AHWA-LoRA, simulated",
    "",
    "Li, Ferro, Lammie, Le Gallo, Boybat and Rajendran (Neuromorphic Computing and Engineering",
    "6(1) 014011, 2026) ask what adapters of rank 8 cost beside an analog tile, and how many",
    "tokens a cluster should take at a time. This is their study on the machine `ahwa_lora_2026`.",
    "Everything here is written by one command:",
    "",
    "    hybridsim validate paper --out reports/ahwa_lora_2026",
    "",
    "The full text of the paper was not at hand. Its figures are quoted from summaries of it;",
    "what each panel draws apart from them, and which case each published figure belongs to, is",
    "inferred.",
    "",
)
_READINGS = (
    "Simulated by tokens is the machine as it is: activations arrive one row per token. By",
    "features they arrive as one row per feature (`cluster.x_layout=feature_major`), so that the",
    "engine can take A^T X^T; early, it does so while the tile still integrates the batch.",
    "",
)
_NOT_CLOSER = (
    "No constant was chosen to meet a published figure. The array is that of a branch of RedMulE",
    "that bears the name of the paper's co-first author; whether the paper used it is not public.",
    "[docs/latency_study.md](../../docs/latency_study.md) shows other machines near both.",
    "",
)
_OVERHEAD = (
    "Left X by tokens and the direct order, right X by features and the swapped order.",
    "",
)
_BALANCE = (
    "What a token takes on the tile (grey), and on the cluster when it adapts t tokens at a time.",
    "A pipeline hides the adapters where the cluster's line is below the tile's. The absolute",
    "latencies of the published panel are not public, so nothing is compared here.",
    "",
)
_MEMORY = (
    "A and B once, and one batch of X, U and Y, 2 B per number. The two larger published figures",
    "come out exactly, the two smaller ones if they were rounded up. At 128 tokens a 512x128",
    "layer does not fit 128 KiB, which is why its line in panel c ends at 64.",
    "",
)
_ASSUMED = (
    "Fields of the machine that the publications do not give, as its file says. The figures are",
    f"for {SEQUENCE_LENGTH} tokens and the matrix engine alone; both are assumed.",
    "",
)


def _anchor_rows(anchors: pd.DataFrame) -> pd.DataFrame:
    layer = anchors["network"].str.removeprefix("layer_")
    return pd.DataFrame(
        {
            "anchor": anchors["source"],
            "published": [f"{value:.0f} %" for value in anchors["published_percent"]],
            "by tokens": _percents(anchors["by_tokens_percent"]),
            "by features": _percents(anchors["by_features_percent"]),
            "by features, early": _percents(anchors["early_percent"]),
            "case": layer + " at " + anchors["integration_time"],
            "batch": anchors["batch"],
        }
    )


def _percents(values: "pd.Series[float]") -> list[str]:
    return [f"{value:.1f} %" for value in values]


def _memory_rows(memory: pd.DataFrame) -> pd.DataFrame:
    told = memory.dropna(subset=["published_kib"])
    return pd.DataFrame(
        {
            "anchor": "Fig. 4b: " + told["layer"] + " at t = " + told["batch"].astype(str),
            "published": [f"{value:g} KiB" for value in told["published_kib"]],
            "simulated": [f"{value:.3f} KiB" for value in told["kib"]],
            "bytes": told["bytes"],
        }
    )


def _best_rows(best: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": best["network"].str.removeprefix("layer_"),
            "integration time": best["integration_time"],
            "X": best["x_layout"].str.replace("_", "-"),
            "batch": best["batch"],
            "overhead": [f"{value:.1f} %" for value in best["overhead_percent"]],
            "times all-analog": [f"{value:.2f}" for value in best["ratio"]],
            "bound by": best["bound"].str.replace("_", " "),
        }
    )
