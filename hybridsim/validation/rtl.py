"""The models against cycles measured on RTL, row by row.

Two kinds of tables are known, by their columns: jobs of the matrix engine and kernels of the
cluster. A row is answered by the same equations and plans that a simulation uses. Where the
hardware hung or gave wrong numbers there is no true count: such a row has no error, only the
question whether the model knew.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd

from hybridsim.arch import Cluster, Machine, load_machine
from hybridsim.components.cycle_table import CORES_COLUMNS, ENGINE_COLUMNS, WORKED
from hybridsim.components.matrix_engine import HAZARDS, MOST, MatrixEngine
from hybridsim.components.redmule_cycles import Hazard
from hybridsim.components.snitch_rows import row_cycles
from hybridsim.cost import MOST_TILES, stream_cycles
from hybridsim.csv_files import Row, Table, read_table
from hybridsim.errors import InputError, SpecError, UnsupportedError
from hybridsim.library import MACHINES
from hybridsim.programs.lora_stream import MEASURED_KERNELS, LoraStream

APPENDED = ("simulated_cycles", "error_percent", "unsupported")
"""Columns that a comparison adds to those of the table."""
MACHINE = "ahwa_lora_2026"
"""The machine whose cluster answers, unless another one is named."""
HALVES = ("all", "fitted", "held back")
OUTCOMES = (WORKED, "wrong_result", "hung")
OPERATIONS = {"gemm_with_Y": True, "matmul_no_Y": False}
"""How a table calls a job with Y and one without."""
TOTALS = {
    "RedMulE, height 4": r"RedMulE 4x\d+( without Y)?",
    "cores and DMA": "gemm|dot|vadd|layernorm|softmax|dma",
}
"""Groups of groups: name -> pattern of the groups in it."""
LARGEST_ARRAY = {"array_height": 32, "array_width": 128, "pipe_regs": 8}
"""The largest arrays that are modelled here; replaying one takes a time that grows with it."""
MOST_CYCLES = 10**15
"""The largest measured count that is believed [cycles]."""

_LORA_KERNEL = re.compile(r"lora_.*\(tile (\d+) rows; y (single|double)-buffered\)")
_LORA_SHAPE = re.compile(r"T(\d+) d(\d+) o(\d+) r(\d+)")


@dataclass(frozen=True, slots=True)
class Compared:
    """One measured row and what the model says."""

    row: Row
    group: str
    """Kind of kernel, or engine with its array."""
    half: str
    """``fitted`` or ``held back``; empty for rows that no model was fitted beside."""
    measured: int | None
    """Cycles in RTL, or None where the job did not work."""
    simulated: int | None = None
    unsupported: str = ""
    """Why there is no simulated count, or empty."""
    outcome: str = WORKED
    foreseen: bool | None = None
    """Whether the model expects the job to fail; None for what cannot fail."""

    @property
    def error_percent(self) -> float | None:
        """Simulated against measured, in percent of measured; None where one is missing."""
        if self.simulated is None or self.measured is None:
            return None
        return round(100 * (self.simulated - self.measured) / self.measured, 4)


@dataclass(frozen=True)
class Comparison:
    """All rows of one or several tables, compared."""

    columns: tuple[str, ...]
    """Columns of the tables, each once."""
    rows: tuple[Compared, ...]

    def records(self) -> list[dict[str, Any]]:
        """Return every row as it was, with :data:`APPENDED`; None where there is nothing."""
        return [
            {name: compared.row.cells.get(name) for name in self.columns}
            | dict(
                zip(
                    APPENDED,
                    (compared.simulated, compared.error_percent, compared.unsupported),
                    strict=True,
                )
            )
            for compared in self.rows
        ]

    def points(self) -> pd.DataFrame:
        """Return a line per answered row: group, measured_cycles, simulated_cycles."""
        found = [
            (one.group, one.measured, one.simulated, one.error_percent)
            for one in self.rows
            if one.error_percent is not None
        ]
        names = ["group", "measured_cycles", "simulated_cycles", "error_percent"]
        return pd.DataFrame(found, columns=names)

    def summary(self) -> pd.DataFrame:
        """Return the errors by group and half.

        Columns: group, half, rows (in the table), compared, exact, median_percent, p90_percent,
        p99_percent, worst_percent (of absolute errors), bias_percent (mean of signed ones).
        """
        lines = []
        for group, members in self._groups().items():
            halves = HALVES if any(one.half for one in members) else HALVES[:1]
            for half in halves:
                chosen = [one for one in members if half in ("all", one.half)]
                if chosen:
                    lines.append({"group": group, "half": half, **error_figures(chosen)})
        return pd.DataFrame(lines)

    def _groups(self) -> dict[str, list[Compared]]:
        """Return the rows of every group and, if it has several, of every total."""
        groups: dict[str, list[Compared]] = {}
        for one in self.rows:
            groups.setdefault(one.group, []).append(one)
        totals = {}
        for name, pattern in TOTALS.items():
            inside = [group for group in groups if re.fullmatch(pattern, group)]
            if len(inside) > 1:
                totals[name] = [one for group in inside for one in groups[group]]
        return totals | groups

    def outcomes(self) -> pd.DataFrame:
        """Return how many jobs of the engine worked, and whether the model knew.

        Columns: measured (the status), works (in the model), fails (in the model).
        """
        jobs = [one for one in self.rows if one.foreseen is not None]
        lines = [
            {
                "measured": outcome,
                "works": sum(one.outcome == outcome and not one.foreseen for one in jobs),
                "fails": sum(one.outcome == outcome and bool(one.foreseen) for one in jobs),
            }
            for outcome in OUTCOMES
        ]
        return pd.DataFrame(lines)

    def reasons(self) -> pd.DataFrame:
        """Return why rows have no answer, and how many each: columns reason, rows."""
        counts: dict[str, int] = {}
        for one in self.rows:
            if one.unsupported:
                counts[one.unsupported] = counts.get(one.unsupported, 0) + 1
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        return pd.DataFrame(ordered, columns=["reason", "rows"])


def error_figures(rows: Sequence[Compared]) -> dict[str, Any]:
    """Return counts and error figures of some rows; None where nothing was compared."""
    signed = [one.error_percent for one in rows if one.error_percent is not None]
    size = sorted(map(abs, signed))

    def percentile(share: float) -> float:
        return size[ceil(share * len(size)) - 1]

    figures = {
        "rows": len(rows),
        "compared": len(size),
        "exact": sum(one.simulated == one.measured for one in rows if one.measured is not None),
    }
    names = ("median_percent", "p90_percent", "p99_percent", "worst_percent", "bias_percent")
    if not size:
        return figures | dict.fromkeys(names)
    found = (median(size), percentile(0.9), percentile(0.99), size[-1], fmean(signed))
    return figures | {name: round(value, 4) for name, value in zip(names, found, strict=True)}


def bundled_tables() -> dict[Path, str]:
    """Return the measured tables that come with hybridsim, with the machine of each."""
    return {path: path.parts[-3] for path in sorted(MACHINES.glob("*/cycles/*.csv"))}


def compare_with_rtl(
    tables: Iterable[str | Path] | None = None, machine: str | None = None
) -> Comparison:
    """Compare every row of the given tables, or of all bundled ones, with the model.

    ``machine`` answers for the rows of a cluster; a bundled table has its own machine, other
    tables :data:`MACHINE`. A row of the matrix engine names its array itself.

    Raises:
        SpecError: A file is missing, empty or no such table, or a cell holds no sensible value.
        UnsupportedError: The machine has no cluster, which the rows ask for.
    """
    bundled = {path.resolve(): name for path, name in bundled_tables().items()}
    chosen = list(bundled_tables()) if tables is None else [Path(table) for table in tables]
    columns: dict[str, None] = {}
    rows: list[Compared] = []
    for path in chosen:
        table = read_table(path)
        clash = [name for name in APPENDED if name in table.columns]
        if clash:
            raise SpecError(
                table.file, "", f"column {clash[0]} is one that is appended; rename it"
            )
        columns |= dict.fromkeys(table.columns)
        home = bundled.get(path.resolve())
        found = _compare(table, machine or home or MACHINE)
        rows += found if home else [replace(one, half="") for one in found]
    return Comparison(tuple(columns), tuple(rows))


def _compare(table: Table, machine: str) -> list[Compared]:
    """Tell the kind of a table by its columns, and compare its rows."""
    engine, cores = (
        sum(name in table.columns for name in kind) for kind in (ENGINE_COLUMNS, CORES_COLUMNS)
    )
    if engine > cores:
        table.require(ENGINE_COLUMNS)
        return compare_engine_rows(table)
    table.require(CORES_COLUMNS)
    return compare_cluster_rows(table, load_machine(machine))


def compare_engine_rows(table: Table) -> list[Compared]:
    """Compare jobs of the matrix engine; rows of one array are answered together."""
    jobs: dict[tuple[int, int, int, bool], list[int]] = {}
    rows = [_engine_row(row) for row in table.rows]
    for index, one in enumerate(rows):
        if not one.unsupported:
            height, width, pipe = (one.row.whole(name) for name in LARGEST_ARRAY)
            with_y = OPERATIONS[one.row.cells["op"]]
            jobs.setdefault((height, width, pipe, with_y), []).append(index)
    for (height, width, pipe, with_y), indices in jobs.items():
        answers = _engine_answers(
            height, width, pipe, with_y, [_sizes(rows[index].row) for index in indices]
        )
        for index, (cycles, code) in zip(indices, answers, strict=True):
            rows[index] = _answered(rows[index], cycles, Hazard(code))
    return rows


def _engine_row(row: Row) -> Compared:
    """Read one job; a shape or an array that the model cannot take is declined here."""
    status = row.cells.get("status", WORKED)
    if status not in OUTCOMES:
        raise row.problem("status", f"write one of {', '.join(OUTCOMES)}")
    array = {name: row.whole(name) for name in LARGEST_ARRAY}
    sizes = _sizes(row)
    operation = row.cells["op"]
    suffix = " without Y" if OPERATIONS.get(operation) is False else ""
    name = ",".join(row.cells[column] for column in ENGINE_COLUMNS[:-1])
    one = Compared(
        row,
        group=f"RedMulE {array['array_height']}x{array['array_width']}{suffix}",
        half=half_of(name),
        measured=row.whole("cycles", most=MOST_CYCLES) if status == WORKED else None,
        outcome=status,
    )
    if operation not in OPERATIONS:
        return replace(one, unsupported=f"op {operation[:40]!r} is not modelled")
    for column, most in LARGEST_ARRAY.items():
        if array[column] > most:
            return replace(one, unsupported=f"{column} above {most} is not modelled")
    if max(sizes) > MOST:
        return replace(one, unsupported=f"the engine has no sizes above {MOST}")
    return one


def _sizes(row: Row) -> tuple[int, int, int]:
    return row.whole("m"), row.whole("n"), row.whole("k")


def _engine_answers(
    height: int, width: int, pipe: int, with_y: bool, shapes: Sequence[tuple[int, int, int]]
) -> list[tuple[int, int]]:
    """Return unpadded cycles and hazard of every shape on an array with its own port."""
    engine = MatrixEngine(
        array_height=height,
        array_width=width,
        pipe_regs=pipe,
        port_width=f"{16 * height * (pipe + 1)} bit",
    )
    m, n, k = np.array(shapes, np.int64).T
    cycles = engine.raw_cycles(m, n, k, with_y)
    return list(zip(cycles.tolist(), engine.hazard(m, n, k, with_y).tolist(), strict=True))


def _answered(one: Compared, cycles: int, hazard: Hazard) -> Compared:
    foreseen = hazard is not Hazard.NONE
    if one.outcome == WORKED:
        return replace(one, simulated=cycles, foreseen=foreseen)
    said = HAZARDS[hazard] if foreseen else "nothing wrong (the model does not see it)"
    return replace(one, foreseen=foreseen, unsupported=f"{one.outcome} in RTL; model: {said}")


def compare_cluster_rows(table: Table, machine: Machine) -> list[Compared]:
    """Compare kernels, transfers, micro-benchmarks and adapter programs of a cluster.

    Raises:
        UnsupportedError: The machine has no cluster.
    """
    cluster = machine.cluster
    if cluster is None:
        raise UnsupportedError(f"{machine.name} has no cluster, which {table.file} is about")
    rows = []
    for row in table.rows:
        name = ",".join(row.cells[column] for column in CORES_COLUMNS[:-1])
        one = Compared(
            row,
            group=re.split("[:_]", row.cells["kernel"])[0],
            half="" if row.cells["kernel"].startswith("lora_") else half_of(name),
            measured=row.whole("cycles", most=MOST_CYCLES),
        )
        cycles, reason = _cluster_answer(cluster, row)
        rows.append(replace(one, simulated=cycles, unsupported=reason))
    return rows


def _cluster_answer(cluster: Cluster, row: Row) -> tuple[int | None, str]:
    """Return cycles, or the reason why there are none."""
    numbers = re.findall(r"\d+", row.cells["shape"])
    if any(len(number) > 6 or int(number) == 0 for number in numbers):
        raise row.problem("shape", "write sizes from 1 to 999999")
    count = str(cluster.cores.count)
    kernel, used = row.cells["kernel"], row.cells["cores"].removesuffix("+DMA")
    if not kernel.startswith(("dma:", "ubench:")) and used not in ("1", count):
        return None, f"ran on {used[:20]} cores; this cluster has {count}"
    answer: Callable[[Cluster, Row], tuple[int | None, str]]
    answer = _lora_answer if kernel.startswith("lora_") else _kernel_answer
    try:
        return answer(cluster, row)
    except InputError as error:
        return None, str(error)


def _kernel_answer(cluster: Cluster, row: Row) -> tuple[int | None, str]:
    cells = row.cells
    return row_cycles(
        cluster.cores,
        cluster.dma,
        cluster.offload,
        cluster.tcdm,
        kernel=cells["kernel"],
        shape=cells["shape"],
        precision=cells["precision"],
        cores_used=cells["cores"],
        note=cells.get("note", ""),
    )


def _lora_answer(cluster: Cluster, row: Row) -> tuple[int | None, str]:
    """Execute the plan of a measured adapter program."""
    stream, reason = stream_of(cluster, row)
    if stream is None:
        return None, reason
    if stream.tiles > MOST_TILES:
        return None, f"more than {MOST_TILES} tiles are not executed"
    return stream_cycles(stream), ""


def stream_of(cluster: Cluster, row: Row) -> tuple[LoraStream | None, str]:
    """Return the program of a measured adapter, or the reason why there is none."""
    program = _LORA_KERNEL.fullmatch(row.cells["kernel"])
    shape = _LORA_SHAPE.fullmatch(row.cells["shape"])
    if program is None or shape is None:
        return None, "no adapter program of this name and shape is known"
    precision = row.cells["precision"]
    if precision not in ("fp32", "fp16"):
        return None, f"precision {precision[:20]!r} is not one of the table's"
    tokens, into, out, rank = map(int, shape.groups())
    stream = LoraStream(
        cluster.model_copy(update={"precision": precision}),
        *(into, out, rank, tokens, int(program[1])),
        y_buffers=2 if program[2] == "double" else 1,
        kernels=MEASURED_KERNELS,
    )
    return stream, ""


def half_of(name: str) -> str:
    """Return the half that a row belongs to, by its name alone."""
    return "held back" if zlib.crc32(name.encode()) % 2 else "fitted"
