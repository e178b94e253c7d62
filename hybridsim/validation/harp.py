"""HARP's published latencies beside those of the simulator, row by row.

Source: Ferro, Benmeziane, Boybat, HARP, IEEE TPDS 37(9) 2026, DOI 10.1109/TPDS.2026.3706975, and
the result files of its repository. A row that the simulator cannot run as it stands is marked
``unsupported`` with the reason; nothing is guessed for it.
"""

import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from hybridsim.arch import Machine, load_machine
from hybridsim.csv_files import Row, read_table
from hybridsim.engines import engine
from hybridsim.errors import InputError, UnsupportedError
from hybridsim.library import MACHINES, NETWORKS, network_names, network_path
from hybridsim.mapping import place
from hybridsim.plan import Timeline
from hybridsim.schedulers import Job, Schedule, make_scheduler
from hybridsim.simulate import MOST_TOKENS
from hybridsim.spec_files import read_json_mapping
from hybridsim.workload import Head, Network, load_network, network_from_config

MACHINE = "harp_2026"
TABLE = MACHINES / MACHINE / "results" / "harp_results.csv"
"""The published rows that come with hybridsim."""
COLUMNS = ("figure", "model", "seq_len", "config", "chunk", "other_params", "latency_ms")
"""Columns that a table must have; others are kept as they are."""

PLATFORMS = {
    "mobilebert": ("mobilebert", "mobilebert"),
    "bertb": ("bert_base", "bert_base"),
    "bertl": ("bert_large", "bert_large"),
    "gpt2": ("gpt2", "gpt2"),
    "t5encoder": ("t5_small_encoder", "t5"),
}
"""HARP's name of a network, in small letters and digits -> bundled network, and variant of the
machine. Source: Table III."""
_HEADS: dict[str, Head] = {"gpt2": "lm_head"}
"""Heads that HARP's graphs have."""
STRATEGIES = {
    "serial": "serial",
    "ilpar": "il_par",
    "ilpipe": "il_pipe",
    "xlpipe": "xl_pipe",
    "ilxlpipe": "il_xl_pipe",
    "xbpipe": "xb_pipe",
}
_WHOLE_LAYERS = ("serial", "il_par", "il_pipe")
OBJECTIVES = {"latency": "latency", "area": "area", "area_latency_balance": "balance"}
"""HARP's optimisation level -> ``tile.sharing``."""
_CLUSTERS_USED = {("mobilebert", "area"): 1, ("mobilebert", "balance"): 2}
"""Clusters that HARP uses under an objective, where its energies show it. Source: Fig. 7."""
_RESULTS = {"tile_tiers", "tile_tier_slots", "digital_mj", "avg_w", "tops", "area_mm2", "tdp_w"}
"""Parameters of a row that are results of HARP, not settings."""
_LINK_WIDTH = re.compile(r"link_?(width|bits|width_?bits|bit_?width)(_per_cycle)?")
_SRAM_MIB = re.compile(r"sram_?(size_?)?(mib|tiles)")
"""How a row may call the width of the link in bits, and the SRAM in tiles of 1 MiB."""
_NOTES = {"chunk sweep"}
"""Remarks that say nothing about the run."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row as a run."""

    network: str
    variant: str
    overrides: tuple[tuple[str, str | int], ...]
    strategy: str
    chunk: int | str
    tokens: int


def compare(table: Path | None = None) -> pd.DataFrame:
    """Return the rows of a table with what the simulator says.

    The bundled table unless another with the same columns is given. Added columns:
    ``simulated_ms`` and ``error_percent``, both empty where ``reason`` says why there is no run.

    Raises:
        SpecError: The file is no such table.
    """
    found = read_table(table or TABLE)
    found.require(COLUMNS)
    rows = []
    for row in found.rows:
        answer: dict[str, Any] = {"simulated_ms": None, "error_percent": None, "reason": ""}
        try:
            case = read_case(row.cells)
            published = _number(row, "latency_ms")
            simulated = simulated_ms(case)
            answer["simulated_ms"] = round(simulated, 9)
            answer["error_percent"] = (simulated / published - 1) * 100
        except InputError as error:
            answer["reason"] = f"unsupported: {error}"
        rows.append(row.cells | answer)
    columns = [*found.columns, "simulated_ms", "error_percent", "reason"]
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
        UnsupportedError: The network, the strategy or a parameter is not known here.
    """
    network, variant = _platform(cells["model"])
    strategy = STRATEGIES.get(_plain(cells["config"]))
    if strategy is None:
        raise UnsupportedError(f"config {cells['config']!r} is none of the six strategies")
    tokens = cells["seq_len"].strip()
    if not tokens.isdecimal() or not 1 <= int(tokens) <= MOST_TOKENS:
        raise UnsupportedError(f"seq_len {tokens!r} is no number of tokens")
    overrides = tuple(_overrides(network, cells["other_params"]))
    return Case(
        network, variant, overrides, strategy, _chunk(strategy, cells["chunk"]), int(tokens)
    )


def simulated_ms(case: Case) -> float:
    """Return the latency of a case, without adapters [ms].

    Raises:
        InputError: The network does not fit the machine.
    """
    return executed(case)[2].makespan / 1e9


def executed(case: Case) -> tuple[Job, Schedule, Timeline]:
    """Return what a case is, how it is scheduled, and when its tasks run.

    Raises:
        InputError: The network does not fit the machine.
    """
    network, _ = _loaded(case.network, case.variant, case.overrides)
    options = {} if case.strategy in _WHOLE_LAYERS else {"chunk": case.chunk}
    job = Job(_placed(case.network, case.variant, case.overrides), case.tokens)
    most = network.max_sequence_length
    if most and case.tokens > most:
        raise UnsupportedError(f"{network.name} takes at most {most} tokens")
    schedule = make_scheduler(case.strategy, options).schedule(job)
    return job, schedule, engine("fast")(schedule.plan)


def _platform(model: str) -> tuple[str, str]:
    known = PLATFORMS.get(_plain(model))
    if known is None:
        raise UnsupportedError(f"no bundled network is HARP's {model!r}")
    if known[0] not in network_names():
        raise UnsupportedError(f"the network {known[0]} is not bundled")
    return known


def _chunk(strategy: str, text: str) -> int | str:
    """Return the chunk of a row; strategies of whole layers have none, or search it themselves."""
    text = text.strip().lower()
    if strategy in _WHOLE_LAYERS:
        if text in ("", "all") or text.startswith("auto"):
            return "all"
        raise UnsupportedError(f"{strategy} has no chunk of tokens, but the row gives {text!r}")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if text in ("best", "auto"):
        return "best"
    if (found := re.fullmatch(r"(?:best|auto)\((\d{1,6})\)", text)) and int(found[1]):
        return int(found[1])  # what HARP's own search found
    raise UnsupportedError(f"chunk {text!r} is no number of tokens")


def _overrides(network: str, text: str) -> Iterator[tuple[str, str | int]]:
    """Yield what the parameters of a row change on the machine."""
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = part.partition("=")
        if not equals:
            if part.lower() not in _NOTES:
                raise UnsupportedError(f"parameter {part!r} is not known")
            continue
        given[key.strip().lower()] = value.strip()
    level = given.pop("opt_level", "latency")
    if level not in OBJECTIVES:
        raise UnsupportedError(f"opt_level {level!r} is none of {', '.join(OBJECTIVES)}")
    objective = OBJECTIVES[level]
    clusters = given.pop("pmca_red_used", None)
    if objective != "latency" and clusters is None:
        if (network, objective) not in _CLUSTERS_USED:
            raise UnsupportedError(f"how many clusters HARP uses for {level} is not published")
        clusters = str(_CLUSTERS_USED[network, objective])
    yield "tile.sharing", objective
    if clusters is not None:
        yield "cluster.count", _whole("pmca_red_used", clusters)
    for key, value in given.items():
        if key in _RESULTS:
            continue
        if _LINK_WIDTH.fullmatch(key):
            width = _whole(key, value)
            if width % 8:
                raise UnsupportedError(f"parameter {key}={value} is no whole number of bytes")
            yield "link.width", f"{width} b/cycle"
        elif _SRAM_MIB.fullmatch(key):
            yield "memory.sram.size", f"{_whole(key, value)} MiB"
        else:
            raise UnsupportedError(f"parameter {key}={value} has no counterpart here")


def _whole(key: str, value: str) -> int:
    match = re.fullmatch(r"(\d{1,9})\s*(b|bit|bits|b/cycle|MiB)?", value)
    if match is None or not int(match[1]):
        raise UnsupportedError(f"parameter {key}={value} is no number of 1 or more")
    return int(match[1])


def _number(row: Row, column: str) -> float:
    try:
        value = float(row.cells[column])
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UnsupportedError("no latency is published for it")
    return value


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=32)
def _loaded(
    network: str, variant: str, overrides: tuple[tuple[str, str | int], ...]
) -> tuple[Network, Machine]:
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
def _placed(network: str, variant: str, overrides: tuple[tuple[str, str | int], ...]) -> Any:
    return place(*_loaded(network, variant, overrides))
