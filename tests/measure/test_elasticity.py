"""What bounds a run is what gains most when it is made faster and all is run again."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim import Machine, Network, Strategy, make_strategy
from hybridsim.arch.machine import Cluster
from hybridsim.engines import engine
from hybridsim.engines import execute as in_order
from hybridsim.measure.elasticity import elasticities
from hybridsim.simulation import execute
from hybridsim.work import Work, price
from tests.sampling import every

CASES = 100
LAYERS = (
    "token_parallel",
    "early_xa",
    "multi_cluster",
    "separate_add",
    "layer_serial",
    "cross_layer",
)
NETWORKS = ("xb_pipe", "xl_pipe")


def random_case(seed: int) -> tuple[Network, Machine, Strategy, int]:
    """A machine of 1 to 8 clusters, a strategy on it, and tokens."""
    draw = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[draw.integers(len(values))]

    whole = seed % 10 == 0  # plans of whole networks take long on the reference engine
    overrides = {
        "cluster.count": int(draw.integers(1, 9)),
        "cluster.clock.frequency": one_of("200 MHz", "400 MHz", "500 MHz", "1 GHz"),
        "cluster.cores.count": one_of(1, 2, 4, 8),
        "cluster.dma.bytes_per_cycle": one_of("8 B/cycle", "32 B/cycle", "64 B/cycle"),
        "link.width": f"{one_of(1, 2, 8, 32, 64)} B/cycle",
        "link.count": one_of(1, 1, 2),
        "tile.integration_time": one_of("32 ns", "128 ns", "256 ns", "1 us"),
        "tile.output_buffers": one_of(1, 2),
    }
    name = "mobilebert" if whole else one_of("layer_512x128", "layer_128x128")
    network, machine = hybridsim.load(name, "ahwa_lora_2026", overrides)
    strategy = one_of(*NETWORKS) if whole else one_of(*LAYERS)
    options: dict[str, Any] = {}
    if strategy in LAYERS and draw.random() < 0.5:
        options["batch"] = int(draw.integers(4, 33))
    if strategy in LAYERS and strategy != "layer_serial":
        options["unit"] = one_of("matrix_engine", "cores", "balanced", "best")
        options["clusters"] = one_of(1, "all")
    if strategy == "separate_add":
        options["unit"] = "cores"
    return network, machine, make_strategy(strategy, options), 8 if whole else 64


@dataclass(frozen=True)
class Rerun:
    """A machine with fields changed where it has one for the part, and otherwise its equation."""

    machine: Machine
    part: str

    def time_ps(self, work: Work) -> Any:
        unit = work.part == self.part or (self.part == "dma" and work.kind == "transfer")
        if self.part in ("cores", "matrix_engine", "dma") and unit:
            return Sped.of(self.machine).time_ps(work)
        return with_faster(self.machine, self.part).time_ps(work)


class Sped:
    """A machine whose cluster has another clock: for works of one unit that is the unit's."""

    @staticmethod
    def of(machine: Machine) -> Machine:
        cluster = machine.cluster
        assert isinstance(cluster, Cluster)
        return machine.model_copy(update={"cluster": cluster.at(faster_clock(cluster.clock))})


def faster_clock(clock: hybridsim.units.Clock) -> hybridsim.units.Clock:
    return clock.model_copy(update={"frequency": clock.frequency * 11 // 10})


def with_faster(machine: Machine, part: str) -> Machine:
    """Change the fields that say how fast a part is."""
    if part == "tile":
        tile = machine.tile
        periphery = tile.periphery.model_copy(update={"clock": faster_clock(tile.periphery.clock)})
        time = -(-tile.integration_time * 10 // 11)
        changed = tile.model_copy(update={"integration_time": time, "periphery": periphery})
        return machine.model_copy(update={"tile": changed})
    if part == "link":
        link = machine.link.model_copy(update={"clock": faster_clock(machine.link.clock)})
        return machine.model_copy(update={"link": link})
    if part == "cluster":
        return Sped.of(machine)
    return machine


@pytest.mark.parametrize("tenth", every(4, range(10)))
def test_the_named_part_has_the_largest_gain_when_all_is_run_again(tenth: int) -> None:
    """Decisions as they are, laid out anew on the changed machine, on the other engine."""
    ran = 0
    for seed in range(tenth * CASES // 10, (tenth + 1) * CASES // 10):
        network, machine, strategy, tokens = random_case(seed)
        try:
            run = execute(network, machine, strategy, tokens)
        except hybridsim.CapacityError:
            continue
        again = strategy.decide(run.job).lay_out(run.job)
        plan = again.plan
        before = run.result.latency_ps
        gains = {}
        for part in run.result.elasticity:
            time_ps = price(plan.works, Rerun(machine, part)).time_ps
            _, timeline = in_order(plan, time_ps, again.dispatch, engine("reference"))
            after = timeline.makespan
            gains[part] = (before / after - 1) * 10
        # clocks and times are rounded to whole hertz and picoseconds
        assert gains == pytest.approx(dict(run.result.elasticity), abs=2e-3), seed
        best = max(gains.values())
        assert gains[run.result.bound] >= best - 2e-3 or best < 2e-3, seed
        ran += 1
    assert ran >= 8


def test_a_narrow_link_is_called_by_its_name() -> None:
    """A wider DMA changes nothing there."""
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026", {"link.width": "1 B/cycle"})
    found = hybridsim.simulate(network, machine)
    assert found.bound == "link"
    assert {layer.bound for layer in found.layers} == {"link"}
    assert found.elasticity["dma"] < 0.01 < 0.9 < found.elasticity["link"]


def test_every_layer_of_a_whole_network_is_bound_by_something() -> None:
    network, machine = hybridsim.load("mobilebert", "ahwa_lora_2026")
    found = hybridsim.simulate(network, machine, make_strategy("xb_pipe"), 16)
    assert all(layer.bound in found.elasticity for layer in found.layers)
    assert all(layer.elasticity[layer.bound] > 0 for layer in found.layers)


def test_layers_alike_have_equal_elasticities_and_those_of_a_layer_alone_are_the_run() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    found = hybridsim.simulate(network, machine, tokens=64)
    assert found.layers[0].elasticity == found.elasticity
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    found = hybridsim.simulate(network, machine, tokens=16)
    by_shape: dict[tuple[int, int], list[dict[str, float]]] = {}
    for layer in found.layers:
        key = layer.in_features, layer.out_features
        by_shape.setdefault(key, []).append(layer.elasticity)
    assert all(own == rows[0] for rows in by_shape.values() for own in rows)


def test_one_part_alone_has_an_elasticity_of_one() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    found = hybridsim.simulate(network, machine, make_strategy("all_analog"), 64)
    assert found.elasticity == {"tile": pytest.approx(1, abs=1e-6)}
    assert found.bound == "tile"


def test_an_empty_plan_is_bound_by_nothing() -> None:
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    run = execute(network, machine, tokens=64)
    empty = replace(run.schedule, plan=hybridsim.plan.PlanBuilder(()).build())
    found = elasticities(empty, machine, engine("compiled"))
    assert (found.run, found.ops) == ({}, {})
