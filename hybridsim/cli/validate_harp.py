"""``hybridsim validate harp``: HARP's published latencies beside the simulator's."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape

from hybridsim.cli._options import Json, Quiet, Verbose
from hybridsim.cli._telling import Telling
from hybridsim.cli._terminal import ends_cleanly, out, plain_table, print_json, working
from hybridsim.errors import InputError

MOST_NOTES = 8
"""Notes on rows that are printed."""


@ends_cleanly
def validate_harp(
    table: Annotated[
        Path | None,
        typer.Option("--table", help="CSV with the columns of the bundled results."),
    ] = None,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run each published result of HARP and tell how far the simulator is from it."""
    # only here, as pandas and the engines take a second to import
    from hybridsim.validation.harp import summary
    from hybridsim.validation.harp_energy import compare_energies, energy_summary

    telling = Telling(verbose, quiet)
    if csv_ and json_:
        raise InputError("--csv and --json are both given; one of them would do")
    silent = csv_ or json_ or quiet or verbose
    with working("simulating", silent), telling.stage("simulating"):
        compared = compare_energies(table)
    told = summary(compared) | energy_summary(compared)
    telling.say("rows", f"{told['simulated']} of {told['rows']} simulated")
    telling.end()
    if csv_:
        typer.echo(compared.to_csv(index=False), nl=False)
    elif json_:
        rows = compared.astype(object).where(compared.notna(), None)
        print_json({"summary": told, "rows": rows.to_dict("records")})
    elif not quiet:
        _print(compared.to_dict("records"), told)


def _print(rows: list[dict[Any, Any]], told: dict[str, Any]) -> None:
    shown = plain_table(
        "fig", "network", "SL", "strategy", "chunk", "HARP (ms)", "ours (ms)", "error (%)",
        right="fig|SL|chunk|HARP (ms)|ours (ms)|error (%)",
    )  # fmt: skip
    for row in rows:
        ran = not row["reason"]
        shown.add_row(
            escape(str(row["figure"])),
            escape(str(row["model"])),
            escape(str(row["seq_len"])),
            escape(str(row["config"])),
            escape(str(row["chunk"]).replace("(attention)", "")),
            f"{float(row['latency_ms']):.5f}" if ran else "-",
            f"{row['simulated_ms']:.5f}" if ran else "-",
            f"{row['error_percent']:+.3f}" if ran else "-",
        )
    console = out()
    console.print(shown)
    if told["energies"]:
        console.print("", _energies(rows), sep="\n")
    for reason in dict.fromkeys(row["reason"] for row in rows if row["reason"]):
        console.print(escape(reason))
    notes = dict.fromkeys(f"{row['model']}: {row['notes']}" for row in rows if row["notes"])
    for note in list(notes)[:MOST_NOTES]:
        console.print(escape(note))
    if len(notes) > MOST_NOTES:
        console.print(f"and {len(notes) - MOST_NOTES} more notes; --csv and --json have all")
    if told["simulated"]:
        console.print(
            f"\n{told['simulated']} of {told['rows']} rows simulated, "
            f"{told['within_2_percent']} within 2 %, {told['within_0.2_percent']} within 0.2 %; "
            f"mean absolute error {told['mean_absolute_error_percent']:.3f} %, largest "
            f"{told['largest_absolute_error_percent']:.2f} % ({escape(told['worst_row'])})"
        )


def _energies(rows: list[dict[Any, Any]]) -> RenderableType:
    """Return the energies of the rows that have some, with their errors part by part."""
    shown = plain_table(
        "fig", "network", "strategy", "HARP (mJ)", "ours (mJ)", "error (%)",
        "digital (%)", "analog (%)",
        right="fig|HARP (mJ)|ours (mJ)|error (%)|digital (%)|analog (%)",
    )  # fmt: skip
    for row in rows:
        if row["energy_error_percent"] != row["energy_error_percent"]:  # nothing to compare
            continue
        errors = (row[f"{part}_error_percent"] for part in ("energy", "digital", "analog"))
        shown.add_row(
            escape(str(row["figure"])),
            escape(str(row["model"])),
            escape(str(row["config"])),
            f"{float(row['energy_mJ']):.5f}",
            f"{row['simulated_energy_mJ']:.5f}",
            *("-" if error != error else f"{error:+.3f}" for error in errors),
        )
    return shown
