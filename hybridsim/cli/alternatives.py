"""``hybridsim alternatives``: adapters, reprogrammed tiles, or a chip per task."""

from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType

from hybridsim.arch import load_machine
from hybridsim.boundary.values import whole
from hybridsim.cli._options import Arch, Json, Settings, Tokens, Workload, by_target, network_of
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.service import Alternatives, compare_alternatives
from hybridsim.strategies import make_strategy
from hybridsim.units import format_bytes, format_energy, format_ps


@ends_cleanly
def alternatives(
    workload: Workload,
    arch: Arch,
    tasks: Annotated[
        str, typer.Option(help="Numbers of tasks, with commas.")
    ] = "1,2,4,8,16,32,64",
    tokens: Tokens = None,
    strategy: Annotated[str, typer.Option(help="Strategy.")] = "token_parallel",
    set_: Settings = None,
    json_: Json = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Several tasks: adapters, tiles written anew for each, or a chip for each."""
    groups = by_target(set_)
    network = network_of(workload, groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    chosen = make_strategy(strategy, groups["strategy"])
    with working("simulating", json_ or csv_):
        found = compare_alternatives(network, machine, _numbers(tasks), chosen, tokens)
    if json_:
        rows = found.table.astype(object).where(found.table.notna(), None)
        print_json({"facts": found.facts, "table": rows.to_dict("records")})
    elif csv_:
        typer.echo(found.table.to_csv(index=False), nl=False)
    else:
        out().print(render_alternatives(found))


def _numbers(text: str) -> list[int]:
    return [whole(part, "--tasks", 1, 10**6) for part in text.split(",")]


def render_alternatives(found: Alternatives) -> RenderableType:
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
        f"{format_ps(facts['yardstick_ps'])} without",
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
