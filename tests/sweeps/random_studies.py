"""Random studies, small enough to shrink: networks, machines, strategies, and what is varied."""

from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.specs import validate
from hybridsim.sweeps.axes import expand_axes
from hybridsim.sweeps.inputs import Inputs
from hybridsim.sweeps.study import Study, fixed_settings
from hybridsim.workload import AdapterSpec, Network, network_from_config
from tests.digest.networks import CONFIGS

MACHINE_AXES: dict[str, list[str]] = {
    "tile.integration_time": ["1 ps", "1.5 ns", "128 ns", "2 us"],
    "cluster.clock.frequency": ["333333333 Hz", "500 MHz", "1 GHz"],
    "cluster.dma.bytes_per_cycle": ["1 B/cycle", "8 B/cycle", "512 b/cycle"],
    "cluster.tcdm.size": ["4 KiB", "24 KiB", "128 KiB", "1000 B"],
    "link.clock.frequency": ["77 MHz", "500 MHz"],
    "link.width": ["1 B/cycle", "64 B/cycle"],
    "link.latency": ["0 cycles", "50 cycles"],
}
"""Fields of every machine here that can be columns, some with a value that makes no machine."""
MORE_AXES: dict[str, list[Any]] = {
    "memory.dram.bandwidth": ["1 GB/s", "800 MiB/s"],
    "chips.link.latency": ["0 ns", "3 us"],
    "cluster.count": [1, 3],
    "cluster.matrix_engine.array_height": [2, 4],
    "cluster.x_layout": ["token_major", "feature_major"],
    "tile.count": ["as_needed", 3],
    "link.count": [1, 2],
    "cluster.tcdm.size": ["64 b"],
}
"""Fields that not every machine has, that are no columns, or a value in another unit."""


KINDS: dict[str, Any] = {
    "tiles": {"low": {"rows": 48}, "slow": {"integration_time": "700 ns", "columns": 40}},
    "clusters": {
        "fast": {"clock": {"frequency": "1 GHz"}, "count": 2},
        "roomy": {"tcdm": {"size": "256 KiB"}, "matrix_engine": None},
    },
    "energy.tiles": {"slow": {"mac": "300 fJ/MAC"}},
    "area.clusters": {"fast": "3 mm2"},
}
"""Kinds that say what columns are of, and kinds that follow the usual one in it."""
RULES: dict[str, dict[str, Any]] = {
    "of_chains": {"layers": {"*": "tile", "*0": "slow", "*2": "low"},
                  "adapters": {"*": "cluster", "*0": "fast", "*3": "roomy"}},
    "of_one": {"layers": {"*": "slow"}, "adapters": {"*": "fast"}},
    "of_bert": {"layers": {"*": "low", "*query*": "slow", "*output*": "tile"},
                "adapters": {"*": "fast", "*value*": "cluster"}},
    "digital": {"layers": {"*": "tile", "*query*": "cluster"},
                "adapters": {"*": "cluster", "*value*": "fast"}},
    "open": {"adapters": {"*": "fast"}},
}  # fmt: skip


def machines() -> dict[str, Any]:
    """Return the machines of random studies, by name."""
    wide = {"tile.count": "as_needed", "tile.rows": 64, "tile.columns": 96}
    return {
        "one": load_machine("ahwa_lora_2026"),
        "many": load_machine("ahwa_lora_2026", {**wide, "cluster.count": 5, "link.count": 2}),
        "small": load_machine("ahwa_lora_2026", {**wide, "cluster.tcdm.size": "16 KiB"}),
        "harp": load_machine("harp_2026:bert_base"),
        "engines": load_machine("ahwa_lora_2026", {"cluster.matrix_engine": None}),
        "chips": load_machine(
            "llm_2026", {"tile.count": 4, "chips.count": 4, "cluster.count": 3}
        ),
        **{f"kinds_{name}": load_machine("ahwa_lora_2026", {**KINDS, **wide, "mapping": rules})
           for name, rules in RULES.items()},
    }  # fmt: skip


MACHINES = machines()


def whole_networks() -> dict[str, Network]:
    """Return small whole networks, by name."""
    found = {}
    for name in ("small_bert", "small_llama"):
        config, head, rank = CONFIGS[name]
        found[name] = network_from_config(
            config, name=name, source="made up", head=head, adapters=AdapterSpec(rank=rank)
        )
    return found


NETWORKS = whole_networks()

CHAIN_STRATEGIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "all_analog": {},
    "layer_serial": {"unit": st.sampled_from(["matrix_engine", "best"])},
    "token_parallel": {
        "unit": st.sampled_from(["matrix_engine", "cores", "both", "balanced", "either", "best"]),
        "order": st.sampled_from(["natural", "direct", "swapped", "best"]),
        "early_xa": st.booleans(),
        "add": st.sampled_from(["fused", "separate"]),
        "first_batch": st.none() | st.integers(1, 4),
        "last_batch": st.none() | st.integers(1, 4),
        "clusters": st.sampled_from([1, "all", 2, "best"]),
        "prefetch_weights": st.sampled_from([False, False, False, True]),
        "stream": st.sampled_from([False, False, False, True]),
    },
    "multi_cluster": {"early_xa": st.booleans(), "unit": st.sampled_from(["either", "both"])},
    "split_cores": {},
    "cross_layer": {"prefetch_weights": st.booleans()},
}
"""Strategies for single layers and options that they leave open."""
NETWORK_STRATEGIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "network": {
        "batch": st.sampled_from([5, 8, "all", "best"]),
        "dispatch": st.sampled_from(["online", "reserved"]),
        "keep_adapters": st.sampled_from(["best", "layer", "batch"]),
        "share_adapters": st.sampled_from(["never", "best"]),
        "where.add": st.sampled_from(["cores", "best"]),
        "unit": st.sampled_from(["matrix_engine", "both", "best"]),
        "early_xa": st.booleans(),
    },
    "serial": {},
    "il_par": {},
    "il_pipe": {},
    "xl_pipe": {"batch": st.sampled_from([8, "best"])},
    "il_xl_pipe": {"batch": st.sampled_from([8])},
    "xb_pipe": {"batch": st.sampled_from([8, 16])},
    "token_parallel": {"batch": st.none() | st.integers(1, 16)},
}
"""Strategies that are tried on whole networks, and options that they leave open."""

WIDTHS = st.sampled_from([12, 16, 100, 128, 300])


@st.composite
def chains(draw: st.DrawFn) -> Network:
    """Up to four linear layers, each of which reads the one before; not all have an adapter."""
    widths = draw(st.lists(WIDTHS, min_size=2, max_size=5))
    ops = [
        {"name": f"l{i}", "kind": "linear", "in_features": n, "out_features": m,
         "inputs": [f"l{i - 1}"] if i else []}
        for i, (n, m) in enumerate(pairwise(widths))
    ]  # fmt: skip
    text: dict[str, Any] = {
        "name": "chain", "source": "this test", "sequence_length": 8, "ops": ops,
        "adapters": {"rank": draw(st.sampled_from([1, 4, 12])), "targets": ["l*"]},
    }  # fmt: skip
    if draw(st.booleans()) and len(ops) > 1:
        text["adapters"]["targets"] = [draw(st.sampled_from(["l0", "l1"]))]
    return validate(Network, text, "chain")


@st.composite
def strategies(draw: st.DrawFn, known: dict[str, dict[str, st.SearchStrategy[Any]]]) -> Any:
    """A strategy as a study has it."""
    kind = draw(st.sampled_from(sorted(known)))
    options = {name: draw(value) for name, value in known[kind].items()}
    return {"kind": kind} | {name: value for name, value in options.items() if value is not None}


@st.composite
def axes(draw: st.DrawFn, strategy: dict[str, Any], tokens: list[int]) -> dict[str, list[Any]]:
    """Up to four axes of two or three values, columns mostly."""
    possible = dict(MACHINE_AXES)
    possible |= {"tokens": tokens, "adapters.rank": [1, 2, 8, 40], "adapters": ["own", "none"]}
    possible |= {"adapters.ranks.?*": [3, 5, 8]}
    if draw(st.integers(0, 3)) == 0:
        possible |= MORE_AXES
    if (
        strategy["kind"] not in ("all_analog", *NETWORK_STRATEGIES)
        or strategy["kind"] == "token_parallel"
    ):
        possible |= {"strategy.batch": [1, 3, 8, 128], "strategy.buffers": [1, 2, 3]}
    names = draw(st.lists(st.sampled_from(sorted(possible)), min_size=1, max_size=4, unique=True))
    return {
        name: draw(st.lists(st.sampled_from(possible[name]), min_size=1, max_size=3, unique=True))
        for name in names
    }


def inputs_of(
    network: Network, machine: str, strategy: dict[str, Any], given: dict[str, list[Any]],
    tokens: int, keep: list[str],
) -> Inputs:  # fmt: skip
    """Return a study as workers get it; unlike one read from a file, its values are not tried."""
    study = Study(
        name="random", machine="m", network="n", tokens=None if "tokens" in given else tokens,
        strategy=strategy, axes=given, objectives={"latency_ps": "minimise"}, keep=tuple(keep),
    )  # fmt: skip
    return Inputs(
        study, expand_axes(given, "random"), fixed_settings(study), {"m": MACHINES[machine]},
        {"n": network},
    )  # fmt: skip


MEASURED = [
    "latency_ps", "yardstick_ps", "tcdm_bytes", "batch", "buffers", "tasks", "tiles", "crossbars",
]  # fmt: skip
EVERY = [
    *MEASURED, "energy_pj", "area_mm2", "occupancy", "throughput_tokens_per_s",
    "layer_by_layer_ps",
]  # fmt: skip
