"""``hybridsim validate``: the models against measurements, the paper, and HARP's latencies."""

import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape

from hybridsim.boundary.writing import check_file, check_place, write_all
from hybridsim.cli._commands import Command
from hybridsim.cli._options import Json, Quiet, Verbose
from hybridsim.cli._terminal import (
    Sentence,
    Telling,
    ends_cleanly,
    err,
    out,
    plain_table,
    print_json,
)
from hybridsim.errors import InputError, SpecError

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.validation.rtl import Comparison

FIGURES = (".png", ".svg", ".pdf")
MOST_NOTES = 8
"""Notes on rows that are printed."""

app = typer.Typer(
    help="The models against cycles measured on RTL, and against published figures.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Csv = Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")]


@app.command("harp", cls=Command)
@ends_cleanly
def harp(
    table: Annotated[
        Path | None,
        typer.Option("--table", help="CSV with the columns of the bundled results."),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option("--before", help="What --csv printed in another version, to compare with."),
    ] = None,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """HARP's published latencies and energies, run again."""
    # only here, as pandas and the engines take a second to import
    from hybridsim.validation.harp import summary
    from hybridsim.validation.harp_energy import compare_energies, energy_summary
    from hybridsim.validation.harp_kinds import errors_before, kinds, read_before

    telling = Telling(verbose, quiet)
    earlier = None if before is None else read_before(before)
    silent = csv_ or json_ or quiet
    with telling.working("simulating", silent):
        compared = compare_energies(table)
    told = summary(compared) | energy_summary(compared)
    by_kind = kinds(compared, None if earlier is None else errors_before(earlier, compared))
    telling.say("rows", f"{told['simulated']} of {told['rows']} simulated")
    telling.end()
    if csv_:
        typer.echo(compared.to_csv(index=False), nl=False)
    elif json_:
        print_json({"summary": told, "kinds": _records(by_kind), "rows": _records(compared)})
    elif not quiet:
        _print_harp(compared.to_dict("records"), told, by_kind)


@app.command("rtl", cls=Command)
@ends_cleanly
def rtl(
    table: Annotated[
        list[Path] | None,
        typer.Option("--table", help="CSV of measured rows; all bundled ones if not given."),
    ] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", help="Machine whose cluster answers.")
    ] = None,
    csv_: Csv = False,
    json_: Json = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Also draw it: a .png, .svg or .pdf file.")
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="What 90 % intervals cover, and how wide they are.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Every measured row of RTL beside the model's answer."""
    telling = Telling(verbose, quiet)
    if figure is not None:
        _check_figure(figure)
    from hybridsim.validation.rtl import APPENDED, compare_with_rtl

    silent = csv_ or json_ or quiet
    with telling.working("comparing", silent):
        comparison = compare_with_rtl(table, machine)
    telling.say("rows", f"{len(comparison.records()):,}")
    telling.end()
    if figure is not None:
        _draw(comparison.points(), figure)
    if intervals:
        _tell_intervals(comparison, csv_, json_)
    elif csv_:
        print_csv((*comparison.columns, *APPENDED), comparison.records())
    elif json_:
        print_json(
            {
                "rows": comparison.records(),
                "summary": _records(comparison.summary()),
                "outcomes": _records(comparison.outcomes()),
                "reasons": _records(comparison.reasons()),
            }
        )
    elif not quiet:
        _print_rtl(comparison)


@app.command("paper", cls=Command)
@ends_cleanly
def paper(
    csv_: Csv = False,
    json_: Json = False,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.md, figures and the table.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """The paper's latency study, and its published overheads."""
    telling = Telling(verbose, quiet)
    if out_ is not None:
        check_place(out_)
    from hybridsim.validation.paper import best_batches, both_layouts, with_best
    from hybridsim.validation.paper_anchors import anchors_table, readings_table

    silent = csv_ or json_ or quiet
    with telling.working("simulating", silent):
        study = with_best(both_layouts())
        best, anchors = best_batches(study), anchors_table(readings_table())
    telling.say("cases", len(study))
    if out_ is not None:
        from hybridsim.validation.paper_report import report_files  # matplotlib is slow to import

        with telling.working("drawing", silent):
            write_all(out_, report_files(study, anchors))
    telling.end()
    rows = _records(study)
    if csv_:
        print_csv(list(study.columns), rows)
    elif json_:
        print_json({"study": rows, "anchors": _records(anchors)})
    elif not quiet:
        _print_paper(best, anchors)


def print_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as CSV on standard output and nothing else; None is an empty cell."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)


def _check_figure(path: Path) -> None:
    """Refuse a figure that could not be written, before any work is done."""
    if path.suffix.lower() not in FIGURES:
        raise SpecError("--figure", str(path), f"write a name that ends in {', '.join(FIGURES)}")
    check_file(path, "--figure")


def _draw(points: "pd.DataFrame", path: Path) -> None:
    if points.empty:
        raise InputError("--figure: no row was compared, so there is nothing to draw")
    from hybridsim.report.figures.validation import save_rtl_figure  # matplotlib is slow to import

    save_rtl_figure(points, path)
    err().print(f"drawn: {escape(str(path))}", soft_wrap=True)


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a table with Python's own values; None where there is nothing."""
    return [
        {str(name): value for name, value in row.items()}
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]


def _percent(value: Any) -> str:
    return "-" if value is None or value != value else f"{value:.2f}"


def _print_rtl(comparison: "Comparison") -> None:
    figures = ("median", "p90", "p99", "worst", "bias")
    heads = ("rows", "compared", *figures)
    table = plain_table("measured", "half", *heads, right="|".join(heads))
    for row in comparison.summary().to_dict("records"):
        numbers = [_percent(row[f"{name}_percent"]) for name in figures]
        counts = [f"{row['rows']:,}", f"{row['compared']:,}"]
        first = row["half"] == "all"
        table.add_row(escape(row["group"]) if first else "", row["half"], *counts, *numbers)
    console = out()
    console.print(table)
    console.print("\nerrors in percent of the measured cycles; bias is signed, the others are not")
    outcomes = comparison.outcomes()
    if outcomes[["works", "fails"]].to_numpy().sum():
        jobs = plain_table("engine in RTL", "model: works", "fails", right="model: works|fails")
        for row in outcomes.to_dict("records"):
            jobs.add_row(row["measured"], f"{row['works']:,}", f"{row['fails']:,}")
        console.print()
        console.print(jobs)
    reasons = comparison.reasons()
    if len(reasons):
        listed = plain_table("rows", "without an answer, because", right="rows")
        for row in reasons.to_dict("records"):
            listed.add_row(f"{row['rows']:,}", escape(row["reason"]))
        console.print()
        console.print(listed)
    console.print()
    for line in _totals(comparison):
        console.print(line)


def _totals(comparison: "Comparison") -> list[Sentence]:
    """Return what comes of all jobs and of all kernels; of each group where there is no total."""
    from hybridsim.validation.rtl import TOTALS

    figures = comparison.summary()
    known = figures[(figures["half"] == "all") & (figures["compared"] > 0)]
    total = known[known["group"].isin(TOTALS)]
    return [
        Sentence(
            f"{row['group']}: {row['compared']:,} of {row['rows']:,} rows compared, "
            f"{row['exact']:,} right to the cycle; median error {row['median_percent']:.2f} %, "
            f"99 % within {row['p99_percent']:.2f} %, worst {row['worst_percent']:.2f} %",
            2,
        )
        for row in _records(total if len(total) else known)
    ]


def _tell_intervals(comparison: "Comparison", csv_: bool, json_: bool) -> None:
    """Print what intervals from the fitted half cover, by kernel and by regime."""
    from hybridsim.certainty.residuals import bundled_residuals
    from hybridsim.validation.certainty import coverage, judged

    rows = judged(comparison, bundled_residuals())
    by_group, by_regime = (_records(coverage(rows, by)) for by in ("group", "regime"))
    if json_:
        print_json({"by_kernel": by_group, "by_regime": by_regime})
        return
    if csv_:
        print_csv(list(by_regime[0]), by_regime)
        return
    heads = ("rows", "covered", "median error", "half width")
    for told, name in ((by_group, "group"), (by_regime, "regime")):
        table = plain_table(name, "half", *heads, right="|".join(heads))
        for row in told:
            figures = [_percent(row[f"{key}_percent"]) for key in _COVERAGE]
            table.add_row(escape(row[name]), row["half"], f"{row['rows']:,}", *figures)
        out().print(table)
        out().print()
    out().print("all but rows in percent; errors and half widths of the simulated cycles")


_COVERAGE = ("covered", "median_error", "median_half_width")


def _print_paper(best: "pd.DataFrame", anchors: "pd.DataFrame") -> None:
    heads = ("network", "integration", "t", "X", "batch", "over %", "bound by")
    table = plain_table(*heads, right="t|batch|over %")
    for row in best.to_dict("records"):
        table.add_row(
            escape(row["network"]),
            row["integration_time"],
            str(row["sequence_length"]),
            row["x_layout"].replace("_", "-"),
            str(int(row["batch"])),
            f"{row['overhead_percent']:.1f}",
            str(row["bound"]),
        )
    console = out()
    console.print(table)
    console.print()
    readings = ("published", "X by tokens", "by features", "and early")
    table = plain_table("anchor", "network", "at", *readings, right="|".join(readings))
    columns = ("published", "by_tokens", "by_features", "early")
    for row in anchors.to_dict("records"):
        figures = [f"{row[f'{name}_percent']:.1f} %" for name in columns]
        network = row["network"].removeprefix("layer_")
        table.add_row(row["anchor"], escape(network), row["integration_time"], *figures)
    console.print(table)
    for row in anchors.to_dict("records"):
        console.print(f"\n{row['anchor']}: {escape(row['why'])}")


def _print_harp(rows: list[dict[Any, Any]], told: dict[str, Any], by_kind: "pd.DataFrame") -> None:
    shown = plain_table(
        "fig", "network", "SL", "strategy", "batch", "HARP (ms)", "ours (ms)", "error (%)",
        right="fig|SL|batch|HARP (ms)|ours (ms)|error (%)",
    )  # fmt: skip
    for row in rows:
        ran = not row["reason"]
        shown.add_row(
            escape(str(row["figure"])),
            escape(str(row["model"])),
            escape(str(row["seq_len"])),
            escape(_run_as(row)),
            escape(str(row["chunk"]).replace("(attention)", "")),
            f"{float(row['latency_ms']):.5f}" if ran else "-",
            f"{row['simulated_ms']:.5f}" if ran else "-",
            f"{row['error_percent']:+.3f}" if ran else "-",
        )
    console = out()
    console.print(shown)
    if told["energies"]:
        console.print("", _energies(rows), sep="\n")
    console.print("", _kinds(by_kind), sep="\n")
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


def _run_as(row: dict[Any, Any]) -> str:
    """Return the strategy of a row, and what its network is mapped for where the row says it."""
    said = re.search(r"opt_level=(\w+)", str(row["other_params"]))
    text = f"{row['config']} {said[1]}" if said else str(row["config"])
    return re.sub(r"[_:]", " ", text.replace("area_latency_balance", "balance"))


def _energies(rows: list[dict[Any, Any]]) -> RenderableType:
    """Return the energies of the rows that have some, with their errors part by part."""
    shown = plain_table(
        "fig", "network", "strategy", "HARP (mJ)", "ours (mJ)", "error (%)",
        "digital", "analog",
        right="fig|HARP (mJ)|ours (mJ)|error (%)|digital|analog",
    )  # fmt: skip
    for row in rows:
        if row["energy_error_percent"] != row["energy_error_percent"]:  # nothing to compare
            continue
        errors = (row[f"{part}_error_percent"] for part in ("energy", "digital", "analog"))
        shown.add_row(
            escape(str(row["figure"])),
            escape(str(row["model"])),
            escape(_run_as(row)),
            f"{float(row['energy_mJ']):.5f}",
            f"{row['simulated_energy_mJ']:.5f}",
            *("-" if error != error else f"{error:+.3f}" for error in errors),
        )
    return shown


def _kinds(by_kind: "pd.DataFrame") -> RenderableType:
    """Return the errors of each kind of row, and what they were before if that is known."""
    was = "latency_worst_before" in by_kind.columns
    figures = [
        ("latency, median (%)", "latency_median"),
        ("worst", "latency_worst"),
        *([("before", "latency_worst_before")] if was else []),
        ("energy, worst (%)", "energy_worst"),
        *([("before", "energy_worst_before")] if was else []),
    ]
    heads = [head for head, _ in figures]
    shown = plain_table("kind", "rows", *heads, right="|".join(["rows", *heads]))
    for row in by_kind.to_dict("records"):
        shown.add_row(
            escape(row["kind"]), str(row["rows"]), *(_percent(row[name]) for _, name in figures)
        )
    return shown
