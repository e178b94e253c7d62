"""``hybridsim generate``: the prompt, then token by token."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from hybridsim.arch import load_machine
from hybridsim.boundary.kinds import Kind
from hybridsim.boundary.writing import write_all
from hybridsim.cli._folders import check_out
from hybridsim.cli._options import (
    Arch,
    Engine,
    HeadOption,
    Json,
    NoAdapters,
    Quiet,
    Settings,
    by_target,
    network_of,
)
from hybridsim.cli._terminal import (
    Sentence,
    ends_cleanly,
    noted,
    out,
    plain_table,
    print_json,
    working,
)
from hybridsim.generation import generate, strategy_for
from hybridsim.measure.generation import Generation, Phase, PhaseEnergy
from hybridsim.measure.interval import between, sure
from hybridsim.units import format_bytes, format_energy, format_ps, format_share

KIND = Kind("generation", ("generation.json",))
KINDS = (KIND,)
"""What a folder of this command holds."""


@ends_cleanly
def generate_command(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Bundled decoder, YAML file or config.json.")
    ],
    machine: Arch,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 512,
    new: Annotated[int, typer.Option(help="Tokens to generate.")] = 128,
    sequences: Annotated[int, typer.Option(help="Equal sequences that run together.")] = 1,
    strategy: Annotated[str, typer.Option(help="A strategy for whole networks.")] = "network",
    engine: Engine = "compiled",
    set_: Settings = None,
    no_adapters: NoAdapters = False,
    head: HeadOption = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for generation.json and tokens.csv.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time to first token, time per token and overhead of adapters when NETWORK generates text."""
    check_out(out_, KIND)
    groups = by_target(set_)
    with working("generating", quiet or json_):
        chosen = strategy_for(groups["strategy"], strategy)
        loaded = network_of(network, groups["adapters"], no_adapters, head)
        result = generate(
            loaded,
            load_machine(machine, groups["machine"]),
            prompt=prompt,
            new=new,
            sequences=sequences,
            strategy=chosen,
            engine=engine,
        )
    if out_ is not None:
        write_all(
            out_, {"generation.json": result.to_json() + "\n", "tokens.csv": result.to_csv()}
        )
    if json_:
        print_json(result.document())
    elif not quiet:
        out().print(render(result))


def render(result: Generation) -> RenderableType:
    """Return a generation as a table per phase, and the answer below it."""
    known = result.prefill.energy is not None
    energy = ("energy/token",) if known else ()
    table = plain_table(
        "phase", "latency", "yardstick", "over", *energy, "spent on (critical path)",
        right="latency|yardstick|over|energy/token",
    )  # fmt: skip
    phases = [("prefill", result.prefill)]
    if result.decode is not None:
        phases.append(("decode, mean", result.decode))
    for name, phase in phases:
        table.add_row(
            name,
            format_ps(phase.latency_ps),
            format_ps(phase.yardstick_ps),
            f"{phase.overhead_percent:.1f} %",
            *((_energy(phase),) if known else ()),
            Sentence(_shares(phase)),
        )
    return Group(table, "", *_summary(result))


def _energy(phase: Phase) -> str:
    if phase.energy is None:
        return ""
    return format_energy(round(phase.energy.per_token_pj * 10**6))


def _shares(phase: Phase) -> str:
    found = list(phase.critical_path_share.items())[:4]
    return ", ".join(f"{name} {format_share(share)}" for name, share in found if share >= 0.005)


def _summary(result: Generation) -> list[Sentence]:
    cache = result.cache
    lines = [
        f"{result.network} on {result.machine}, {result.sequences} x "
        f"({result.prompt} + {result.new}) tokens, {result.strategy}:",
        f"  first token  {format_ps(result.time_to_first_token_ps)}"
        f"{sure(result.prefill.interval, 'latency')}",
    ]
    if result.token_ps:
        first, last = result.token_ps[0], result.token_ps[-1]
        lines.append(f"  per token    {format_ps(first)} at first, {format_ps(last)} at last")
    if result.decode is not None and result.decode.interval is not None:
        mean = format_ps(result.decode.latency_ps)
        lines.append(f"  mean token   {mean}{sure(result.decode.interval, 'latency')}")
    lines += [
        f"  in all       {format_ps(result.latency_ps)}{_ends(result)}  (yardstick "
        f"{format_ps(result.yardstick_ps)}, without adapters)",
        f"  overhead     {result.overhead_percent:.1f} %",
        f"  throughput   {result.tokens_per_s:.1f} tokens/s, decode alone "
        f"{result.decode_tokens_per_s:.1f}",
        f"  KV cache     {format_bytes(cache.total_bytes)} at the end, in {cache.where}",
    ]
    phases = (("prefill", result.prefill), ("decode", result.decode))
    for name, phase in phases:
        if phase is not None and phase.interval is not None:
            said = phase.interval.overhead
            lines.append(f"  overhead     {name} {phase.overhead_percent:.2f} % ({said})")
    intervals = [phase.interval for _, phase in phases if phase and phase.interval]
    names = sorted({name for each in intervals for name in each.not_in_interval})
    if names:
        lines.append(f"  assumed      {', '.join(names)}: not measured on RTL, so not in the 90 %")
    for name, phase in phases:
        if phase is not None and phase.energy is not None:
            lines.append(f"  energy       {name} {_energy_line(phase.energy)}")
    return [Sentence(line, 15 * (number > 0)) for number, line in enumerate(lines)] + [
        *map(noted, result.notes)
    ]


def _ends(result: Generation) -> str:
    ends = result.interval_ps
    return "" if ends is None else f" (90 %: {between(*ends, format_ps)})"


def _energy_line(energy: PhaseEnergy) -> str:
    yardstick = format_energy(round(energy.yardstick_per_token_pj * 10**6))
    text = (
        f"{format_energy(energy.total_aj)}, {energy.tops_per_watt:.2f} TOPS/W; a token without "
        f"adapters {yardstick}, {energy.yardstick_tops_per_watt:.2f} TOPS/W"
    )
    if energy.not_counted:
        names = ", ".join(name.replace("_", " ") for name in energy.not_counted)
        text += f"; unknown and left out: {names}"
    return text
