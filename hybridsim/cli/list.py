"""``hybridsim list``: what is bundled, read off the files without importing or checking them."""

import re
from collections.abc import Iterable
from pathlib import Path

from rich.markup import escape

import hybridsim
from hybridsim.cli._options import Json
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.library import network_sources, variant_names
from hybridsim.outside import offered

ENTRY = "of an entry point"
"""What is said of what another package offers; it is not imported for that."""
_STRATEGIES = Path(hybridsim.__file__).parent / "strategies"
_NAMED = re.compile(r'^    "(\w+)": ([A-Z]\w+),$', re.MULTILINE)
_CLASS = re.compile(r'^class (\w+)\([^\n]*\):\n    """(.*?)(?:\n\n|""")', re.M | re.S)


@ends_cleanly
def list_bundled(json_: Json = False) -> None:
    """What is bundled: machines with their variants, networks, strategies."""
    machines, networks, strategies = variant_names(), network_sources(), strategy_summaries()
    strategies |= {name: ENTRY for name in offered("strategy") if name not in strategies}
    parts = offered("part")
    if json_:
        print_json(
            {
                "machines": machines,
                "networks": [*networks],
                "strategies": sorted(strategies),
                "parts": parts,
            }
        )
        return
    _print_list("machine", "variants, as in name:variant", machines.items())
    _print_list("network", "source", [(name, [text]) for name, text in networks.items()])
    summaries = [(name, [text]) for name, text in sorted(strategies.items())]
    _print_list("strategy", "what overlaps", summaries)
    if parts:
        _print_list("part", "from", [(name, [ENTRY]) for name in parts])


def _print_list(what: str, about: str, rows: Iterable[tuple[str, list[str]]]) -> None:
    table = plain_table(what, about)
    for name, texts in rows:
        table.add_row(name, escape(" ".join(texts)))
    out().print(table, "")


def strategy_summaries() -> dict[str, str]:
    """Return strategy -> the first sentence of its docstring, on one line."""
    said: dict[str, str] = {}
    for path in sorted(_STRATEGIES.glob("*/*.py")):
        for name, text in _CLASS.findall(path.read_text(encoding="utf-8")):
            said[name] = " ".join(text.split()).split(". ")[0].rstrip(".")
    registry = (_STRATEGIES / "__init__.py").read_text(encoding="utf-8")
    return {name: said[kind] for name, kind in _NAMED.findall(registry)}
