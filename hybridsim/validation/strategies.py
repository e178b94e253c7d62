"""Strategies on the paper's layers, beside the overheads that its pipeline is known for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hybridsim.arch import load_machine
from hybridsim.library import network_path
from hybridsim.programs import BALANCED, CHOICES, LoraProgram, on_machine
from hybridsim.simulation import simulate
from hybridsim.strategies import Strategy, make_strategy
from hybridsim.validation.paper import INTEGRATION_TIMES, MACHINE
from hybridsim.validation.paper_anchors import ANCHORS
from hybridsim.workload import Linear, Network, load_network

TOKENS = 128
"""The length of a sequence; see docs/latency_study.md for why."""
SHAPES = ((128, 128), (512, 128), (128, 512))
"""Input and output length of MobileBERT's layers but for one."""
RANK = 8
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "token_parallel (the paper's)": ("token_parallel", {}),
    "early_xa": ("early_xa", {}),
    "separate_add": ("separate_add", {}),
    "separate_add, cores, ramp to 1": (
        "separate_add",
        {"unit": "cores", "batch": 16, "last_batch": 1},
    ),
    "swapped": ("swapped", {}),
    "split_cores": ("split_cores", {}),
    "early_xa, both": ("early_xa", {"unit": "both"}),
    "early_xa, balanced": ("early_xa", {"unit": "balanced"}),
    "auto, layer after layer": ("auto", {"across_layers": False}),
}
"""What is run on each layer: name in the table -> strategy and options."""
WHOLE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "cross_layer": ("cross_layer", {}),
    "auto": ("auto", {}),
}
"""What only makes sense on a network."""
TWO_CLUSTERS = {"cluster.count": 2}
BY_FEATURES = {"cluster.x_layout": "feature_major"}
"""With X by features the paper's pipeline comes nearest to both anchors (latency study)."""
OPEN_DEFAULT = {"cluster.matrix_engine.array_width": 12}
"""The default array of the open RTL."""


@dataclass(frozen=True, slots=True)
class Case:
    """A machine and a strategy under a name."""

    name: str
    strategy: Strategy
    changes: Mapping[str, Any]


def layer(inner: int, outer: int) -> Network:
    """Return a network of one linear layer with an adapter of rank 8."""
    op = Linear(name="linear", in_features=inner, out_features=outer)
    network = Network(name=f"layer_{inner}x{outer}", source="MobileBERT", ops=(op,))
    return network.with_adapters(rank=RANK)


def layer_overheads() -> pd.DataFrame:
    """Return one row per strategy and layer shape: overhead [%] at each integration time.

    Columns: strategy, layer, and one per integration time.
    """
    rows = []
    for name, (kind, options) in STRATEGIES.items():
        for shape in SHAPES:
            overheads = [
                _overhead(layer(*shape), time, make_strategy(kind, options), {})
                for time in INTEGRATION_TIMES
            ]
            row = {"strategy": name, "layer": f"{shape[0]}x{shape[1]}"}
            rows.append(row | dict(zip(INTEGRATION_TIMES, overheads, strict=True)))
    return pd.DataFrame(rows)


def network_overheads(network: str = "mobilebert") -> pd.DataFrame:
    """Return one row per strategy: overhead [%] of all linear layers of a network.

    Columns: strategy, and one per integration time.
    """
    net = load_network(network_path(network))
    rows = []
    for name, (kind, options) in {**STRATEGIES, **WHOLE}.items():
        overheads = [
            _overhead(net, time, make_strategy(kind, options), {}) for time in INTEGRATION_TIMES
        ]
        rows.append({"strategy": name} | dict(zip(INTEGRATION_TIMES, overheads, strict=True)))
    return pd.DataFrame(rows)


def against_anchors() -> pd.DataFrame:
    """Return the two published anchors beside what strategies reach, as ratios to all-analog.

    Columns: strategy, machine, best_case (128x128 at 512 ns), worst_case (512x128 at 128 ns). The
    first row is the publication.
    """
    best, worst = ANCHORS
    rows: list[dict[str, Any]] = [
        {
            "strategy": "published (Li et al. 2026, Fig. 4c)",
            "machine": "not public",
            "best_case": 1 + best.overhead_percent / 100,
            "worst_case": 1 + worst.overhead_percent / 100,
        }
    ]
    for case in _cases():
        square = _overhead(layer(128, 128), "512 ns", case.strategy, case.changes)
        wide = _overhead(layer(512, 128), "128 ns", case.strategy, case.changes)
        strategy, _, machine = case.name.partition(" on ")
        rows.append(
            {
                "strategy": strategy,
                "machine": machine,
                "best_case": 1 + square / 100,
                "worst_case": 1 + wide / 100,
            }
        )
    return pd.DataFrame(rows)


def _cases() -> Iterator[Case]:
    machines: dict[str, Mapping[str, Any]] = {
        "4 x 8 array": {},
        "4 x 8 array, two clusters": TWO_CLUSTERS,
        "4 x 8 array, X by features": BY_FEATURES,
        "4 x 12 array": OPEN_DEFAULT,
    }
    for machine, changes in machines.items():
        for kind in ("token_parallel", "auto"):
            yield Case(f"{kind} on {machine}", make_strategy(kind), changes)


def limits() -> pd.DataFrame:
    """Return the fewest nanoseconds per token that a cluster takes for each layer, by unit.

    Over all batches up to 128 tokens of which one fits the scratchpad; a unit's time is that of
    the busiest part, without transfers. Columns: layer, and one per way to compute.
    """
    machine = load_machine(MACHINE)
    cluster = machine.cluster
    assert cluster is not None
    rows = []
    for shape in SHAPES:
        row: dict[str, Any] = {"layer": f"{shape[0]}x{shape[1]}"}
        for choice in on_machine((*CHOICES, BALANCED), machine):
            least = None
            for tokens in range(4, TOKENS + 1, 4):
                program = LoraProgram(*shape, RANK, tokens, choice)
                if program.tcdm_bytes(cluster, 1) > cluster.tcdm.size:
                    break
                busy: dict[str, int] = {}
                for kernel in program.on(cluster).kernels:
                    cycles = cluster.cycles(kernel.work)
                    busy[kernel.unit] = busy.get(kernel.unit, 0) + cycles
                each = cluster.to_ps(max(busy.values())) / tokens / 1000
                least = each if least is None else min(least, each)
            row[str(choice)] = least
        rows.append(row)
    return pd.DataFrame(rows)


def _overhead(
    network: Network, time: str, strategy: Strategy, changes: Mapping[str, Any]
) -> float:
    """Return the overhead of a run over all-analog layers in turn, as the paper has it [%]."""
    machine = load_machine(MACHINE, {"tile.integration_time": time, **changes})
    found = simulate(network, machine, strategy, TOKENS).layer_by_layer_percent
    assert found is not None
    return found
