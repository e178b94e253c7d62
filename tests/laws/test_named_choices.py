"""What is left open is never beaten by what could have been named: batch, unit, operand order."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim import Machine, Network, make_strategy, simulate
from hybridsim.errors import InputError
from hybridsim.simulation import job_of
from hybridsim.strategies import Job
from hybridsim.strategies.networks.running import makespan_of
from tests.sampling import every

UNITS = {
    "either": ("matrix_engine", "cores"),
    "best": ("matrix_engine", "cores", "both", "balanced"),
}
NAMES = ("token_parallel", "early_xa", "multi_cluster", "separate_add", "layer_serial", "swapped")


def random_case(seed: int) -> tuple[Network, Machine, str, dict[str, Any], int]:
    """A machine of 1 to 8 clusters, a strategy that leaves something open, and tokens."""
    draw = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[draw.integers(len(values))]

    overrides = {
        "cluster.count": int(draw.integers(1, 9)),
        "cluster.clock.frequency": one_of("200 MHz", "400 MHz", "500 MHz", "1 GHz"),
        "cluster.cores.count": one_of(1, 2, 4, 8),
        "cluster.tcdm.size": one_of("64 KiB", "128 KiB", "1 MiB"),
        "cluster.dma.bytes_per_cycle": one_of("8 B/cycle", "64 B/cycle"),
        "link.width": f"{one_of(2, 8, 32, 64)} B/cycle",
        "tile.integration_time": one_of("32 ns", "128 ns", "256 ns", "1 us"),
        "tile.output_buffers": one_of(1, 2),
        "tile.columns": one_of(64, 512),
        "tile.count": "as_needed",
        "cluster.x_layout": one_of("token_major", "feature_major"),
    }
    name = one_of(*NAMES)
    options: dict[str, Any] = {}
    if name != "layer_serial":
        options["clusters"] = one_of(1, "all", "best", "best")
        options["buffers"] = one_of(1, 2, 3)
    if name in ("token_parallel", "early_xa", "multi_cluster", "layer_serial"):
        options["unit"] = one_of("matrix_engine", "cores", "either", "best")
        options["order"] = one_of("natural", "best")
    network, machine = hybridsim.load(one_of("layer_512x128", "layer_128x128"),
                                      "ahwa_lora_2026", overrides)  # fmt: skip
    return network, machine, name, options, int(draw.integers(1, 150))


@pytest.mark.parametrize("seed", every(3, range(8)))
def test_nothing_that_is_named_beats_what_is_left_open(seed: int) -> None:
    """Batches, units, operand orders and clusters; every batch of a block: test_blocks."""
    network, machine, name, options, tokens = random_case(seed)
    try:
        chosen = simulate(network, machine, make_strategy(name, options), tokens).latency_ps
    except InputError:
        return  # nothing fits
    draw, ran = np.random.default_rng(seed), 0
    counts = range(1, machine.cluster.count + 1) if machine.cluster else ()
    open_to = {
        "unit": UNITS.get(options.get("unit", ""), ()),
        "order": ("natural", "direct", "swapped") if options.get("order") == "best" else (),
        "clusters": counts if options.get("clusters") == "best" else (),
        "batch": range(1, min(tokens, 100) + 1),
    }
    for _ in range(8):
        named = {key: draw.choice(np.array(own)).item() for key, own in open_to.items() if own}
        try:
            own = simulate(network, machine, make_strategy(name, options | named), tokens)
        except InputError:
            continue
        assert chosen <= own.latency_ps, named
        ran += 1
    assert ran


NETWORKS = ("xl_pipe", "il_xl_pipe", "xb_pipe", "network")


def random_network(seed: int, names: tuple[str, ...]) -> tuple[Job, Any, dict[str, Any], str]:
    """An encoder of some tokens on a machine of 1 to 8 clusters, and an open strategy."""
    draw = np.random.default_rng([seed, 7])

    def one_of(*values: Any) -> Any:
        return values[draw.integers(len(values))]

    overrides = {
        "cluster.count": int(draw.integers(1, 9)),
        "cluster.clock.frequency": one_of("300 MHz", "400 MHz", "1 GHz"),
        "cluster.cores.count": one_of(2, 8),
        "cluster.tcdm.size": one_of("96 KiB", "128 KiB", "1 MiB"),
        "cluster.matrix_engine.array_width": one_of(8, 12),
        "link.width": f"{one_of(1, 8, 64)} B/cycle",
        "link.count": one_of(1, 2),
        "tile.integration_time": one_of("32 ns", "256 ns", "2 us"),
        "tile.columns": one_of(128, 512),
        "tile.count": "as_needed",
    }
    bundle = one_of("ahwa_lora_2026", "ahwa_lora_2026", "harp_2026")
    if bundle == "harp_2026":
        overrides = {key: overrides[key] for key in ("cluster.count", "link.width", "link.count")}
    network, machine = hybridsim.load("minilm_l6", bundle, overrides)
    name, options = one_of(*names), dict[str, Any]()
    if name in NETWORKS:
        options |= {"unit": one_of("matrix_engine", "matrix_engine", "cores", "best")}
        options |= {"early_xa": one_of(True, False), "split": one_of(True, True, False)}
        options |= {"flash": one_of("needed", "needed", "always")}
    else:
        options |= {
            "unit": one_of("matrix_engine", "either", "best"),
            "clusters": one_of(1, "all"),
        }
        options |= {"early_xa": one_of(True, False)}
    if one_of(True, False, False):
        network = network.without_adapters()
    strategy = make_strategy(name, options)
    return job_of(network, machine, strategy, int(draw.integers(2, 32))), strategy, options, name


@pytest.mark.parametrize("seed", every(3, range(8)))
def test_no_batch_beats_the_bound_of_a_whole_network_nor_the_one_that_is_chosen(seed: int) -> None:
    """All batches, and how long adapters stay, against brute force."""
    job, strategy, _, _ = random_network(seed, NETWORKS)
    choices = strategy.candidates(job)
    bounds = strategy.bounds_ps(job, choices)
    ran = {}
    for choice, bound in zip(choices, bounds.tolist(), strict=True):
        try:
            ran[choice] = makespan_of(job, strategy.decide_for(job, choice))
        except InputError:
            continue
        assert bound <= ran[choice], choice
    assert {batch for batch, _, _ in choices} == {*range(1, job.rows + 1), "all"}
    if not ran:
        return  # nothing fits
    found = strategy.fastest(job)
    assert found.time_ps == min(ran.values())
    assert found.what == strategy.decide_for(job, min(ran, key=lambda own: ran[own]))


@pytest.mark.parametrize(("prefetch", "seed"), every(3, product([False, True], range(4))))
def test_no_batch_nor_unit_that_is_named_beats_a_stream(seed: int, prefetch: bool) -> None:
    """With fetches ahead as well, though these go from one stretch into the next."""
    job, _, options, name = random_network(seed, ("cross_layer",))
    options |= {"prefetch_weights": prefetch}
    network, machine, strategy = job.mapping.network, job.machine, make_strategy(name, options)
    try:
        chosen = simulate(network, machine, strategy, job.tokens).latency_ps
    except InputError:
        return  # nothing fits
    ran, units = 0, UNITS.get(options["unit"], (options["unit"],))
    for batch in range(1, job.tokens + 1, 3):
        for unit in units:
            named = make_strategy(name, options | {"batch": batch, "unit": unit})
            try:
                own = simulate(network, machine, named, job.tokens)
                assert chosen <= own.latency_ps, (batch, unit)
            except InputError:
                continue
            ran += 1
    assert ran


@pytest.mark.parametrize("array", [(4, 8), (4, 12)])
@pytest.mark.parametrize("time", ["128 ns", "512 ns"])
def test_an_operand_order_left_open_is_as_fast_as_any(array: tuple[int, int], time: str) -> None:
    """The best of both orders was slower than X A where an estimate chose it."""
    height, width = array
    overrides = {
        "cluster.matrix_engine.array_height": height,
        "cluster.matrix_engine.array_width": width,
        "tile.integration_time": time,
    }
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026", overrides)
    best, *others = (
        simulate(network, machine, make_strategy("token_parallel", {"order": order})).latency_ps
        for order in ("best", "natural", "direct", "swapped")
    )
    assert best == min(others)


def test_units_of_whole_networks_left_open_are_as_fast_as_any() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    best, *others = (
        simulate(network, machine, make_strategy("xb_pipe", {"unit": unit}), 64).latency_ps
        for unit in ("best", "matrix_engine", "cores", "both")
    )
    assert best <= min(others)


@pytest.mark.parametrize("name", ["token_parallel", "early_xa", "separate_add"])
def test_auto_is_as_fast_as_any_batch_left_open(name: str) -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026", {"cluster.count": 2})
    auto, own = (simulate(network, machine, make_strategy(n), 100) for n in ("auto", name))
    assert auto.latency_ps <= own.latency_ps


def test_a_rank_that_is_larger_never_looks_faster() -> None:
    """Rank 16 does not fill other rows of the engine than rank 4 does."""
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    found = [
        simulate(network.with_adapters(rank=rank), machine, make_strategy("early_xa"), 128)
        for rank in (4, 16)
    ]
    assert found[0].latency_ps <= found[1].latency_ps


def test_an_earlier_start_is_never_behind() -> None:
    network, machine = hybridsim.load(
        "layer_512x128",
        "ahwa_lora_2026",
        {"cluster.count": 4, "cluster.clock.frequency": "400 MHz"},
    )
    late, early = (
        simulate(network, machine, make_strategy(name, {"clusters": "all"})).latency_ps
        for name in ("token_parallel", "early_xa")
    )
    assert early <= late
