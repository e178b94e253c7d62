"""``hybridsim alternatives``: adapters, reprogrammed tiles, or a chip per task."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from hybridsim.arch import load_machine
from hybridsim.cli._options import Arch, Json, Settings, Tokens, Workload
from hybridsim.cli._settings import by_target, with_adapters
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.errors import InputError
from hybridsim.library import network_path
from hybridsim.service import Alternatives, compare_alternatives
from hybridsim.strategies import make_scheduler
from hybridsim.units import format_bytes, format_energy, format_ps
from hybridsim.workload import load_network


@ends_cleanly
def alternatives(
    workload: Workload,
    arch: Arch,
    tasks: Annotated[
        str, typer.Option(help="Numbers of tasks, with commas.")
    ] = "1,2,4,8,16,32,64",
    tokens: Tokens = None,
    scheduler: Annotated[str, typer.Option(help="Pipeline strategy.")] = "token_parallel",
    set_: Settings = None,
    json_: Json = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Several tasks: adapters, tiles written anew for each, or a chip for each."""
    groups = by_target(set_ or [])
    network = with_adapters(load_network(network_path(workload)), groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    strategy = make_scheduler(scheduler, groups["scheduler"])
    with working("simulating", json_ or csv_):
        found = compare_alternatives(network, machine, _numbers(tasks), strategy, tokens)
    if json_:
        rows = found.table.astype(object).where(found.table.notna(), None)
        print_json({"facts": found.facts, "table": rows.to_dict("records")})
    elif csv_:
        typer.echo(found.table.to_csv(index=False), nl=False)
    else:
        out().print(render(found))


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 8 and 0 < int(part) <= 10**6 for part in parts):
        raise InputError(f"--tasks: found {text[:60]!r}; write numbers as in 1,2,4,8")
    return [int(part) for part in parts]


def render(found: Alternatives) -> RenderableType:
    """Return the table, and below it what one sequence and one switch cost."""
    table = plain_table(
        "tasks", "way", "parameters", "tiles", "stored", "area", "switch", "energy",
        right="tasks|parameters|tiles|stored|area|switch|energy",
    )  # fmt: skip
    for row in found.table.to_dict("records"):
        area = row["area_mm2"]
        table.add_row(
            str(row["tasks"]),
            str(row["way"]).replace("_", " "),
            f"{row['parameters'] / 1e6:.1f} M",
            str(row["tiles"]),
            format_bytes(row["stored_bytes"]),
            "?" if area is None or area != area else f"{area:.0f} mm2",
            _range(row["switch_least_ps"], row["switch_most_ps"]),
            _energy(row["switch_pj"]),
        )
    return Group(table, "", *_facts(found.facts))


def _range(least: Any, most: Any) -> str:
    if most is None or most != most:
        return "?"
    if least and least != most:
        return f"{format_ps(int(least))}+"
    return format_ps(int(most)) if most else "-"


def _energy(pj: Any) -> str:
    return "?" if pj is None or pj != pj else format_energy(round(pj * 1e6)) if pj else "-"


def _facts(facts: dict[str, Any]) -> list[str]:
    lines = [
        f"a sequence: {format_ps(facts['sequence_ps'])} with adapters, "
        f"{format_ps(facts['all_analog_ps'])} without",
        f"tiles anew: {format_ps(facts['reprogram_least_ps'])} if all are written at once, "
        f"{format_ps(facts['reprogram_most_ps'])} one by one",
    ]
    if facts["even_after_least"] is not None:
        lines.append(
            f"in time, adapters win below {facts['even_after_least']:.1f} to "
            f"{facts['even_after_most']:.0f} sequences between two switches"
        )
    else:
        lines.append("in time, adapters never lose: a sequence takes no longer with them")
    if facts["even_after_energy"] is not None:
        lines.append(f"in energy, below {facts['even_after_energy']:.1f} sequences")
    return lines
