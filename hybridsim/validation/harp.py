"""HARP's published latencies beside those of the simulator, row by row.

Source: Ferro, Benmeziane, Boybat, HARP, IEEE TPDS 37(9) 2026, DOI 10.1109/TPDS.2026.3706975, and
the result files of its repository. A row that the simulator cannot run is marked ``unsupported``
with the reason; what a row leaves open is told in its notes.
"""

from collections.abc import Mapping as MappingType
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.arch import Machine, load_machine
from hybridsim.csv_files import Row, read_table
from hybridsim.engines import engine
from hybridsim.errors import InputError, UnsupportedError
from hybridsim.library import MACHINES, NETWORKS, network_path
from hybridsim.mapping import Mapping, place
from hybridsim.plan import Timeline
from hybridsim.simulation import MOST_TOKENS
from hybridsim.specs import read_json_mapping
from hybridsim.strategies import Job, Schedule, carry_out, make_strategy
from hybridsim.validation.harp_decoder import counted
from hybridsim.validation.harp_rows import T5_DECODER, WHOLE_LAYERS, Case, read_row
from hybridsim.workload import Head, Network, load_network, network_from_config

MACHINE = "harp_2026"
TABLE = MACHINES / MACHINE / "results" / "harp_results.csv"
"""The published rows that come with hybridsim."""
COLUMNS = ("figure", "model", "seq_len", "config", "chunk", "other_params", "latency_ms")
"""Columns that a table must have; others are kept as they are."""

_Overrides = tuple[tuple[str, str | int], ...]
_HEADS: dict[str, Head] = {"gpt2": "lm_head", T5_DECODER: "lm_head"}
"""Heads that HARP's graphs have and the bundled networks do not."""


def compare(table: Path | None = None) -> pd.DataFrame:
    """Return the rows of a table with what the simulator says.

    The bundled table unless another with the same columns is given. Added columns:
    ``simulated_ms`` and ``error_percent``, both empty where ``reason`` says why there is no run,
    and ``notes``, what was taken for something that the row leaves open.

    Raises:
        SpecError: The file is no such table.
    """
    found = read_table(table or TABLE)
    found.require(COLUMNS)
    rows = []
    for row in found.rows:
        answer: dict[str, Any] = {"simulated_ms": None, "error_percent": None} | {
            "reason": "",
            "notes": "",
        }
        try:
            case = read_case(row.cells)
            answer["notes"] = "; ".join(case.notes)
            published = _number(row, "latency_ms")
            simulated, notes = _simulated(case)
            answer["notes"] = "; ".join((*case.notes, *notes))
            answer["simulated_ms"] = round(simulated, 9)
            answer["error_percent"] = (simulated / published - 1) * 100
        except InputError as error:
            answer["reason"] = f"unsupported: {error}"
        rows.append(row.cells | answer)
    columns = [*found.columns, "simulated_ms", "error_percent", "reason", "notes"]
    frame = pd.DataFrame(rows, columns=columns)
    numbers = ["simulated_ms", "error_percent"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def summary(compared: pd.DataFrame) -> dict[str, Any]:
    """Return how many rows ran, and how far they are from the published latencies."""
    error = compared["error_percent"].dropna().abs()
    rows = compared.to_dict("records")
    worst = max(
        (row for row in rows if not row["reason"]),
        key=lambda row: abs(row["error_percent"]),
        default=None,
    )
    return {
        "rows": len(compared),
        "simulated": len(error),
        "unsupported": len(compared) - len(error),
        "mean_absolute_error_percent": float(error.mean()) if len(error) else None,
        "median_absolute_error_percent": float(error.median()) if len(error) else None,
        "largest_absolute_error_percent": float(error.max()) if len(error) else None,
        "within_0.2_percent": int((error <= 0.2).sum()),
        "within_2_percent": int((error <= 2).sum()),
        "worst_row": None if worst is None else _described(worst),
    }


def _described(row: MappingType[Any, Any]) -> str:
    return f"figure {row['figure']}: {row['model']} {row['config']} {row['chunk']}".strip()


def read_case(cells: MappingType[str, str]) -> Case:
    """Return the run that a row describes.

    Raises:
        UnsupportedError: The network, or a value of a parameter, is not known here.
    """
    return read_row(*(cells[name] for name in COLUMNS[1:-1]))


def simulated_ms(case: Case) -> float:
    """Return the latency of a case, without adapters [ms].

    Raises:
        InputError: The network does not fit the machine.
    """
    return _simulated(case)[0]


def _simulated(case: Case) -> tuple[float, tuple[str, ...]]:
    """Return the latency of a case [ms], and what the strategy notes of it."""
    _, schedule, timeline = executed(case)
    return timeline.makespan / 1e9, schedule.notes


def executed(case: Case) -> tuple[Job, Schedule, Timeline]:
    """Return what a case is, how it is scheduled, and when its tasks run.

    Raises:
        InputError: The network does not fit the machine, or there are too many tokens.
    """
    if case.tokens + case.past > MOST_TOKENS:
        raise UnsupportedError(f"{case.tokens + case.past} tokens are more than {MOST_TOKENS}")
    options = dict(case.options)
    if case.strategy not in WHOLE_LAYERS:
        options["batch"] = case.batch
    placed, note = _placed(case.network, case.variant, case.overrides, case.tokens, case.past)
    if case.past and not placed.network.remembers:
        raise UnsupportedError(f"{case.network} keeps no keys and values")
    job = Job(placed, case.tokens, past=case.past)
    schedule = make_strategy(case.strategy, options).schedule(job)
    done = carry_out(schedule, job.machine, engine("compiled"))
    return job, replace(done.schedule, notes=done.schedule.notes + note), done.timeline


def _number(row: Row, column: str) -> float:
    try:
        value = float(row.cells[column])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UnsupportedError("no latency is published for it")
    return value


@lru_cache(maxsize=32)
def _loaded(network: str, variant: str, overrides: _Overrides) -> tuple[Network, Machine]:
    if network in _HEADS:
        file = NETWORKS / "hf" / network / "config.json"
        config, source = read_json_mapping(file), "config.json of the Hugging Face hub"
        loaded = network_from_config(
            config, name=network, source=source, file=str(file), head=_HEADS[network]
        )
    else:
        loaded = load_network(network_path(network)).without_adapters()
    return loaded, load_machine(f"{MACHINE}:{variant}", dict(overrides))


@lru_cache(maxsize=32)
def _placed(
    network: str, variant: str, overrides: _Overrides, tokens: int, past: int
) -> tuple[Mapping, tuple[str, ...]]:
    """Return a network on its machine, and what to tell of what HARP counts there."""
    loaded, machine = _loaded(network, variant, overrides)
    found = counted(loaded, machine, tokens, past)
    if found is None:
        return _placed_as_it_is(network, variant, overrides), ()
    if found.sram is not None:
        room = {"memory.sram.size": f"{found.sram} B"}
        machine = load_machine(f"{MACHINE}:{variant}", dict(overrides) | room)
    return place(found.network, machine), (found.note,)


@lru_cache(maxsize=32)
def _placed_as_it_is(network: str, variant: str, overrides: _Overrides) -> Mapping:
    return place(*_loaded(network, variant, overrides))
