"""A result as a few lines of HTML, for notebooks."""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from hybridsim.units import format_bytes, format_ps

if TYPE_CHECKING:
    from hybridsim.measure.result import LayerResult, Result

MOST_SHOWN = 12
"""Layers that a notebook shows, those with the longest latency."""
_CELL = "text-align:right;padding:2px 8px"


def result_html(result: "Result") -> str:
    """Return the answer, what bounds it and the slowest layers; no script, no style sheet.

    Colours are those of the notebook, so it reads in light and dark.
    """
    shares = ", ".join(
        f"{escape(kind.replace('_', ' '))} {share:.0%}"
        for kind, share in result.critical_path_share.items()
        if share >= 0.005
    )
    rows = sorted(result.layers, key=lambda layer: -layer.latency_ps)[:MOST_SHOWN]
    left = len(result.layers) - len(rows)
    head = ("layer", "shape", "batch", "latency", "overhead", "bound by")
    heads = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in head)
    body = "".join(_row(layer) for layer in rows)
    more = f"<p>and {left:,} layers that take less</p>" if left else ""
    return (
        f"<div><p><strong>{escape(result.network)} on {escape(result.machine)}</strong>: "
        f"{format_ps(result.latency_ps)} for {result.tokens} tokens, "
        f"{result.overhead_percent:.1f} % more than the yardstick, "
        f"{format_ps(result.yardstick_ps)} "
        f"{'without adapters' if result.ops else 'all-analog'} "
        f"({escape(result.strategy)})<br>bound by {shares or 'nothing'} of the critical path; "
        f"{format_bytes(result.tcdm_bytes)} of TCDM{_covers(result)}</p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}</div>"
    )


def _covers(result: "Result") -> str:
    return f"<br>covers {escape(result.covers.text)}" if result.covers else ""


def _row(layer: "LayerResult") -> str:
    return (
        f'<tr><th scope="row" style="text-align:left">{escape(layer.name)}</th>'
        + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in _cells(layer))
        + "</tr>"
    )


def _cells(layer: "LayerResult") -> Iterator[str]:
    yield f"{layer.in_features} x {layer.out_features}"
    yield str(layer.batch) if layer.rank else "-"
    yield format_ps(layer.latency_ps)
    yield f"{layer.overhead_percent:.1f} %"
    yield layer.bound.replace("_", " ")
