"""``hybridsim cost``: one question to one component model."""

from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from hybridsim.arch import load_machine, parse_override
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.cost import QUESTIONS, Answer, ask
from hybridsim.errors import InputError


@ends_cleanly
def cost(
    arch: Annotated[str, typer.Argument(help="Bundled machine or YAML file, maybe :variant.")],
    component: Annotated[str, typer.Argument(help=f"One of {', '.join(QUESTIONS)}.")],
    operation: Annotated[str, typer.Argument(help="What it should do, as in gemm.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="key=value, as in m=128 n=512 k=8.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="path=value: a field of the machine.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Cycles or bytes of one operation on one part of ARCH."""
    machine = load_machine(arch, dict(parse_override(text) for text in set_ or []))
    answer = plain(ask(machine, component, operation, _values(arguments or [])))
    if json_:
        print_json(answer)
    else:
        _print(answer)


def plain(value: Any) -> Any:
    """Return NumPy numbers as Python's, in any depth."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _values(arguments: list[str]) -> dict[str, str]:
    values = {}
    for text in arguments:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"found {text[:40]!r}; write key=value, as in m=128")
        if name in values:
            raise InputError(f"{name} is given twice; once would do")
        values[name] = value
    return values


def _print(answer: Answer) -> None:
    table = plain_table("", "", right="")
    table.show_header = False
    for key, value in _flat(answer):
        table.add_row(escape(key), escape(_text(value)))
    out().print(table)


def _flat(tree: Answer, above: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in tree.items():
        name = f"{above}.{key}" if above else key
        rows += _flat(value, name) if isinstance(value, dict) else [(name, value)]
    return rows


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
