"""``hybridsim compare``: strategies side by side on one machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.markup import escape

from hybridsim.arch import load_machine
from hybridsim.cli._options import (
    Arch,
    Batch,
    FiguresOption,
    Json,
    Past,
    Quiet,
    Settings,
    Tokens,
    Verbose,
    Workload,
    by_target,
    check_figures,
    check_folder,
    network_of,
    write_all,
)
from hybridsim.cli._terminal import (
    Sentence,
    Telling,
    ends_cleanly,
    out,
    plain_table,
    print_json,
    working,
)
from hybridsim.errors import InputError, SpecError
from hybridsim.units import format_bytes, format_energy, format_ps

if TYPE_CHECKING:
    import pandas as pd

    from hybridsim.comparison import Comparison
    from hybridsim.report.figures.style import Format

FIGURES = (".png", ".svg", ".pdf")
"""Endings of the files that a plot can be written to."""


@ends_cleanly
def compare(
    workload: Workload,
    arch: Arch,
    strategies: Annotated[
        str | None,
        typer.Option("--strategies", help="Names, as in a,b; all with adapters by default."),
    ] = None,
    tokens: Tokens = None,
    past: Past = 0,
    batch: Batch = None,
    set_: Settings = None,
    csv_: Annotated[bool, typer.Option("--csv", help="Print all columns as CSV.")] = False,
    json_: Json = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw it: a .png, .svg or .pdf file.")
    ] = None,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Folder for page.html, comparison.csv and .json.")
    ] = None,
    figures: FiguresOption = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Strategies side by side for WORKLOAD on ARCH: latency, use, memory, where time is lost."""
    telling = Telling(verbose, quiet)
    if csv_ and json_:
        raise InputError("--csv and --json: give one of them")
    kind = check_figures(figures, out_)
    if plot is not None:
        _check_plot(plot)
    if out_ is not None:
        check_folder(out_)
    groups = by_target(set_, batch)
    network = network_of(workload, groups["adapters"])
    machine = load_machine(arch, groups["machine"])
    # pandas takes a second to import, which --help need not wait for
    from hybridsim.comparison import compare as side_by_side
    from hybridsim.report.page.chart_data import Activities

    telling.say("network", network.name)
    telling.say("machine", f"{machine.name}, {machine.description}")
    silent, seen = quiet or csv_ or json_ or verbose, Activities()
    with working("comparing", silent), telling.stage("simulating"):
        names = None if strategies is None else [name.strip() for name in strategies.split(",")]
        keep = None if out_ is None else seen.add
        found = side_by_side(
            network, machine, names, tokens, groups["strategy"], past, keep, intervals=True
        )
    for row in found.rows:
        done = row["problem"] or format_ps(row["latency_ps"])
        telling.say("strategy", f"{row['strategy']}: {done}")
    with telling.stage("writing"):
        _write(found, seen.to_frame(), out_, plot, kind)
    telling.end()
    if csv_:
        typer.echo(found.to_frame().to_csv(index=False), nl=False)
    elif json_:
        print_json(document(found))
    elif not quiet:
        out().print(render(found))


def _check_plot(plot: Path) -> None:
    """Refuse a file that no plot can be written to, before anything is run.

    Raises:
        InputError: Its name ends in no kind of picture, or its folder does not exist.
    """
    if plot.suffix.lower() not in FIGURES:
        raise InputError(f"--plot: found {plot.name!r}; a name in {', '.join(FIGURES)} would do")
    if not plot.absolute().parent.is_dir():
        raise InputError(f"--plot: there is no folder {plot.parent}; an existing one would do")


def document(found: "Comparison") -> dict[str, Any]:
    """Return a comparison as one document."""
    return {
        "network": found.network,
        "machine": found.machine,
        "tokens": found.tokens,
        "best": found.best,
        **({"notes": list(found.notes)} if found.notes else {}),
        "strategies": list(found.rows),
    }


def _write(
    found: "Comparison",
    activity: "pd.DataFrame",
    folder: Path | None,
    plot: Path | None,
    kind: "Format | None",
) -> None:
    if folder is not None:
        import json

        from hybridsim.report.page.comparison import ACTIVITY, comparison_page
        from hybridsim.report.page.shell import PAGE

        text = json.dumps(document(found), indent=2, ensure_ascii=False) + "\n"
        table = found.to_frame().to_csv(index=False)
        files: dict[str, str | bytes] = {"comparison.csv": table, "comparison.json": text}
        files |= {ACTIVITY: activity.to_csv(index=False)}
        files |= {PAGE: comparison_page(document(found), activity)}
        if kind is not None:
            # Matplotlib only where something is drawn
            from hybridsim.report.figures.comparison import comparison_files

            files |= comparison_files(found.to_frame(), kind)
        write_all(folder, files)
    if plot is not None:
        # Matplotlib only where something is drawn
        from hybridsim.report.figures.comparison import save_comparison_figure

        try:
            save_comparison_figure(found.to_frame(), plot)
        except OSError as error:
            raise SpecError("--plot", str(plot), f"cannot be written: {error.strerror}") from None


def render(found: "Comparison") -> RenderableType:
    """Return a comparison as a table of at most 80 columns, and what it says below."""
    known = any("energy_pj" in row for row in found.rows)
    ran = [row for row in found.rows if not row["problem"]]
    apart = any(_apart(row) for row in ran)
    parts = _parts(found)
    heads = [
        "strategy", "latency", *(["energy"] if known else []), "over",
        *(["by layer"] if apart else []), "TCDM", *parts.values(),
        "loses to" if known or apart else "loses time to",
    ]  # fmt: skip
    table = plain_table(*heads, right="|".join(heads[1:-1]), may_go=f"TCDM|{heads[-2]}")
    for row in found.rows:
        cells = _cells(row, parts, known) if not row["problem"] else {}
        name, last = escape(row["strategy"]), cells.get("loses to", "cannot run")
        table.add_row(name, *(cells.get(head, "-") for head in heads[1:-1]), last)
    names = [*parts.values()]
    said = [
        f"{found.network} on {found.machine}, {found.tokens} tokens; best: {found.best}",
        f"{names[0]} to {names[-1]}: shares of the critical path; last column: why the units idle",
        *(["by layer: over all-analog layers in turn, as the paper defines it"] if apart else []),
        *found.covers,
        *found.notes,
        *(f"{row['strategy']}: {row['problem']}" for row in found.rows if row["problem"]),
    ]
    return Group(table, "", *(Sentence(text, 2) for text in said))


def _cells(row: dict[str, Any], parts: dict[str, str], known: bool) -> dict[str, str]:
    """Return the cells of a strategy that ran, by the heads of their columns."""
    size = format_bytes(row["tcdm_bytes"]) if row["tcdm_bytes"] else "-"
    over = f"{row['overhead_percent']:.1f} %"
    by_layer = row.get("layer_by_layer_percent")
    if known:  # one column more asks for shorter ones
        size = size if len(size) < 9 else f"{row['tcdm_bytes'] / 1024:.0f} KiB"
        over = over if len(over) < 7 else f"{row['overhead_percent']:.0f} %"
    return {
        "latency": format_ps(row["latency_ps"]),
        "energy": format_energy(round(row["energy_pj"] * 10**6)) if "energy_pj" in row else "-",
        "over": over,
        "by layer": "-" if by_layer is None else f"{by_layer:.1f} %",
        "TCDM": size,
        **{name: f"{row.get(f'{kind}_critical', 0):.0%}" for kind, name in parts.items()},
        "loses to": _loss(row),
    }


def _apart(row: dict[str, Any]) -> bool:
    """Return whether the overhead of the paper is another one than that of a strategy."""
    by_layer = row.get("layer_by_layer_percent")
    return by_layer is not None and by_layer != row["overhead_percent"]


def _parts(found: "Comparison") -> dict[str, str]:
    """Return the kinds of parts whose shares are shown, and how they are called."""
    if any("cluster_critical" in row for row in found.rows):
        return {"tile": "tile", "cluster": "cluster", "link": "link", "dram": "DRAM"}
    return {"tile": "tile", "matrix_engine": "engine", "cores": "cores", "dma": "DMA"}


def _loss(row: dict[str, Any]) -> str:
    """Return the largest reason for which the multiplying units are idle, with its share."""
    reasons = {why: row[f"units_{why}"] for why in ("waiting", "blocked", "starved")}
    why = max(reasons, key=lambda name: reasons[name])
    return f"{why} {reasons[why]:.0%}" if reasons[why] >= 0.005 else "-"
