"""Write the tables of docs/strategies.md anew: ``python docs/generate_strategies.py``.

Everything between the markers ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` is replaced.
"""

import re
from pathlib import Path

import pandas as pd

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
    whole = {"network": _markdown(network_overheads().round(1))} if networks else {}
    return {
        "anchors": _markdown(anchors.round({"best_case": 4, "worst_case": 2})),
        "layers": _markdown(layer_overheads().round(1)),
        "limits": _markdown(limits().round(0)),
        **whole,
    }


def _markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown; a case that does not fit has a dash."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |"]
    lines.append("|" + "---|" * len(table.columns))
    for row in table.itertuples(index=False):
        cells = ["-" if pd.isna(value) else str(value) for value in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(page: str, parts: dict[str, str]) -> str:
    """Return the page with the text between each pair of markers replaced."""
    for name, text in parts.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        page, found = re.subn(pattern, rf"\g<1>{text}\n\g<2>", page, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"{PAGE.name} has no place for {name}")
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
