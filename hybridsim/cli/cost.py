"""``hybridsim cost``: one question to one component model."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.markup import escape

from hybridsim.arch import load_machine, parse_override
from hybridsim.cli._options import Arch, Json
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json
from hybridsim.cost import QUESTIONS, ask
from hybridsim.cost_table import answer_table, flat
from hybridsim.csv_files import read_table
from hybridsim.errors import InputError
from hybridsim.units import format_bytes, format_ps


@ends_cleanly
def cost(
    arch: Arch,
    component: Annotated[
        str, typer.Argument(metavar="PART", help=f"One of {', '.join(QUESTIONS)}.")
    ],
    operation: Annotated[
        str, typer.Argument(metavar="OPERATION", help="What it should do, as in gemm.")
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="As in m=128 n=512 k=8.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="path=value: a field of the machine.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="CSV whose columns are the arguments: print it answered."),
    ] = None,
    json_: Json = False,
) -> None:
    """Cycles or bytes of one operation on one part of MACHINE."""
    machine = load_machine(arch, dict(parse_override(text) for text in set_ or []))
    values = _values(arguments or [])
    if table is not None:
        if json_:
            raise InputError("--table and --json: give one of them; a table is answered as CSV")
        answered = answer_table(machine, component, operation, read_table(table), values)
        csv.writer(sys.stdout, lineterminator="\n").writerows(answered.lines())
        return
    answer = plain(ask(machine, component, operation, values))
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


def _print(answer: dict[str, Any]) -> None:
    rest = {key: value for key, value in answer.items() if key not in ("ways", "energies")}
    if "energies" in answer:
        _print_energies(answer["energies"])
    if "ways" in answer:
        _print_ways(answer["ways"], answer["winner"])
    table = plain_table("", "value")
    table.show_header = False
    for key, value in flat(rest).items():
        table.add_row(escape(key), escape(_text(value)))
    out().print(table)


def _print_ways(ways: dict[str, dict[str, Any]], winner: str | None) -> None:
    """Print the ways to compute an adapter side by side, the winner marked."""
    table = plain_table(
        "way", "cycles", "per token", "time", "TCDM", "longest kernel",
        right="cycles|per token|time|TCDM",
    )  # fmt: skip
    for name, way in ways.items():
        shown = _short(name) + (" *" if name == winner else "")
        if way["cycles"] is None:
            table.add_row(shown, "-", "-", "-", "-", escape(way["reason"]))
            continue
        longest, cycles = max(way["kernels"].items(), key=lambda kernel: int(kernel[1]))
        table.add_row(
            shown,
            f"{way['cycles']:,}",
            f"{way['cycles_per_token']:.1f}",
            format_ps(way["time_ps"]),
            format_bytes(way["tcdm_bytes"]) + ("" if way["fits"] else " !"),
            escape(f"{_short(longest.partition(': ')[2])} {cycles:,}"),
        )
    out().print(table, "* the fastest   ! does not fit the TCDM", "", sep="\n")


def _print_energies(ways: dict[str, dict[str, Any]]) -> None:
    """Print what the ways to compute an adapter draw side by side, part by part [nJ/token]."""
    parts = sorted({part for way in ways.values() for part in way["parts_nj_per_token"]})
    heads = ["nJ/token", "x analog", *(_short(part) for part in parts)]
    table = plain_table("way", *heads, right="|".join(heads))
    for name, way in ways.items():
        own = way["parts_nj_per_token"]
        ratio = way["times_analog"]
        table.add_row(
            _short(name),
            f"{way['nj_per_token']:.2f}",
            "-" if ratio is None else f"{ratio:.2f}",
            *(f"{own[part]:.2f}" if part in own else "-" for part in parts),
        )
    out().print(table, "")


def _short(name: str) -> str:
    return name.replace("matrix_engine", "engine").replace("_", " ")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
