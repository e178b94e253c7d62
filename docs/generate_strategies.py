"""Write the tables of docs/strategies.md anew: ``python docs/generate_strategies.py``.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

from pathlib import Path

from hybridsim.report.markdown import markdown_table, refilled
from hybridsim.validation.strategies import (
    against_anchors,
    layer_overheads,
    limits,
    network_overheads,
)

PAGE = Path(__file__).parent / "strategies.md"


def tables(networks: bool = True) -> dict[str, str]:
    """Return marker name -> Markdown table; whole networks take most of the time."""
    anchors = against_anchors()
    whole = {"network": markdown_table(network_overheads().round(1))} if networks else {}
    return {
        "anchors": markdown_table(anchors.round({"best_case": 4, "worst_case": 2})),
        "layers": markdown_table(layer_overheads().round(1)),
        "limits": markdown_table(limits().round(0)),
        **whole,
    }


if __name__ == "__main__":
    PAGE.write_text(refilled(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
