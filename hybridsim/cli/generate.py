"""``hybridsim generate``: the prompt, then token by token."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine
from hybridsim.cli._options import (
    Arch,
    Engine,
    Json,
    NoAdapters,
    Quiet,
    Settings,
    by_target,
    check_folder,
    network_of,
    write_all,
)
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.generation import generate, strategy_for
from hybridsim.measure.generation import Generation, Phase, PhaseEnergy
from hybridsim.units import format_bytes, format_energy, format_ps


@ends_cleanly
def generate_command(
    network: Annotated[str, typer.Argument(help="Bundled decoder, YAML file or config.json.")],
    machine: Arch,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 512,
    new: Annotated[int, typer.Option(help="Tokens to generate.")] = 128,
    sequences: Annotated[int, typer.Option(help="Equal sequences that run together.")] = 1,
    strategy: Annotated[str, typer.Option(help="A strategy for whole networks.")] = "network",
    engine: Engine = "compiled",
    set_: Settings = None,
    no_adapters: NoAdapters = False,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for generation.json and tokens.csv.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time to first token, time per token and overhead of adapters when NETWORK generates text."""
    if out_ is not None:
        check_folder(out_)
    groups = by_target(set_)
    with working("generating", quiet or json_):
        chosen = strategy_for(groups["strategy"], strategy)
        loaded = network_of(network, groups["adapters"], no_adapters)
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
            _shares(phase),
        )
    return Group(table, "", *_summary(result))


def _energy(phase: Phase) -> str:
    if phase.energy is None:
        return ""
    return format_energy(round(phase.energy.per_token_pj * 10**6))


def _shares(phase: Phase) -> str:
    found = list(phase.critical_path_share.items())[:4]
    return ", ".join(f"{name} {share:.0%}" for name, share in found if share >= 0.005)


def _summary(result: Generation) -> list[str]:
    cache = result.cache
    lines = [
        f"{escape(result.network)} on {escape(result.machine)}, {result.sequences} x "
        f"({result.prompt} + {result.new}) tokens, {escape(result.strategy)}:",
        f"  first token  {format_ps(result.time_to_first_token_ps)}",
    ]
    if result.token_ps:
        first, last = result.token_ps[0], result.token_ps[-1]
        lines.append(f"  per token    {format_ps(first)} at first, {format_ps(last)} at last")
    lines += [
        f"  in all       {format_ps(result.latency_ps)}  (yardstick "
        f"{format_ps(result.yardstick_ps)}, without adapters)",
        f"  overhead     {result.overhead_percent:.1f} %",
        f"  throughput   {result.tokens_per_s:.1f} tokens/s, decode alone "
        f"{result.decode_tokens_per_s:.1f}",
        f"  KV cache     {format_bytes(cache.total_bytes)} at the end, in {cache.where}",
    ]
    for name, phase in (("prefill", result.prefill), ("decode", result.decode)):
        if phase is not None and phase.energy is not None:
            lines.append(f"  energy       {name} {_energy_line(phase.energy)}")
    return lines + [f"  {escape(note)}" for note in result.notes]


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
