"""Energy of runs: sums, naive counts, and what is unknown."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim import make_strategy
from hybridsim.arch import Machine, load_machine
from hybridsim.measure.charge import exact_sum, over_time, shared_out
from hybridsim.measure.energy import RunEnergy, energy_of_run, peak_power_w, power_curve
from hybridsim.report.page.energy import power_steps
from hybridsim.simulation import Run, execute
from hybridsim.strategies import ADAPTER_STRATEGIES

AHWA, HARP = "ahwa_lora_2026", "harp_2026"
UNIT_STRATEGIES = sorted(set(ADAPTER_STRATEGIES) - {"auto"})
CASES = [("layer_512x128", AHWA, name) for name in UNIT_STRATEGIES]
CASES += [("mobilebert", HARP, name) for name in ("token_parallel", "serial", "xb_pipe")]
CASES += [("minilm_l6", f"{AHWA}:static_tenth", "multi_cluster"), ("minilm_l6", AHWA, "xb_pipe")]


def run_of(
    network: str,
    machine: str | Machine,
    strategy: str = "token_parallel",
    tokens: int = 128,
    **options: Any,
) -> Run:
    net, parts = hybridsim.load(network, machine if isinstance(machine, str) else AHWA)
    parts = parts if isinstance(machine, str) else machine
    return execute(net, parts, make_strategy(strategy, options), tokens)


def energy(run: Run) -> RunEnergy:
    found = energy_of_run(run.job, run.schedule, run.timeline)
    assert found is not None
    return found


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def run(request: pytest.FixtureRequest) -> Run:
    return run_of(*request.param)


def test_totals_are_the_sums_of_the_tasks(run: Run) -> None:
    found, told = energy(run), run.result.energy
    assert told is not None
    work = sum(found.by_task.tolist())
    assert work == sum(found.by_component.values()) == sum(found.by_op.values())
    assert work == sum(sum(found.of_tasks(part).tolist()) for part in found.by_component)
    assert work == sum(told.op_aj.values()) == sum(told.component_aj.values())
    assert told.total_aj == found.total == work + sum(told.static_aj.values())
    assert told.total_pj == pytest.approx(told.analog_pj + told.digital_pj + told.static_pj)
    assert (found.by_task >= 0).all()


def test_power_over_time_integrates_to_the_energy(run: Run) -> None:
    found = energy(run)
    curve = power_curve(found)
    time = curve["duration_ps"]
    assert curve["time_ps"].iloc[0] == 0
    assert time.sum() == run.timeline.makespan
    for part, aj in found.by_component.items():
        assert (curve[f"{part}_w"] * time).sum() * 1e6 == pytest.approx(aj, rel=1e-9)
    assert (curve["power_w"] * time).sum() * 1e6 == pytest.approx(found.total, rel=1e-9)
    told = run.result.energy
    assert told is not None
    assert told.peak_power_w == peak_power_w(found)
    assert curve["power_w"].max() == pytest.approx(told.peak_power_w)
    assert told.average_power_w <= told.peak_power_w
    assert told.tdp_w is not None
    assert told.edp_js == pytest.approx(found.total * 1e-18 * run.timeline.makespan * 1e-12)


def test_the_result_tells_its_energy_per_layer(run: Run) -> None:
    told = run.result.energy
    assert told is not None
    frame = run.result.to_frame()
    others = run.result.ops_frame()
    whole = frame["energy_pj"].sum() + others["energy_pj"].sum()
    assert whole == pytest.approx(told.analog_pj + told.digital_pj, rel=1e-9)
    assert (frame["energy_pj"] > 0).all()
    assert type(run.result).from_json(run.result.to_json()).energy == told


@pytest.mark.parametrize("strategy", UNIT_STRATEGIES)
@pytest.mark.parametrize("batch", [7, 32])
def test_events_are_those_of_the_definition(strategy: str, batch: int) -> None:
    """One attojoule per MAC of the engine and per byte; the same whatever the batch."""
    none = dict.fromkeys(("cores_power", "engine_power", "engine_idle_mac", "dma_byte"))
    changes = {f"energy.cluster.{name}": value for name, value in none.items()}
    changes |= {"energy.cluster.engine_mac": "1 aJ/MAC", "energy.cluster.tcdm_byte": None}
    changes |= {"energy.link": {"byte_hop": "1 aJ/B"}, "energy.sram": {"byte": "1 aJ/B"}}
    machine = load_machine(AHWA, changes)
    found = energy(run_of("layer_512x128", machine, strategy, 100, batch=batch))
    crossing = 2 * (100 * (512 + 2 * 128) + 8 * (512 + 128))
    assert found.by_component["link"] == crossing
    assert found.by_component["sram"] == crossing
    if strategy not in ("split_cores", "cores"):
        assert found.by_component["matrix_engine"] == 100 * 8 * (512 + 128)


@pytest.mark.parametrize(
    "options", [{"prefetch_weights": True}, {"stream": True}, {"clusters": 2}]
)
def test_adapters_are_fetched_once_per_layer_and_cluster(options: dict[str, Any]) -> None:
    changes = {"energy.cluster.tcdm_byte": None, "energy.link": {"byte_hop": "1 aJ/B"}}
    machine = load_machine(AHWA, {**changes, "cluster.count": 2})
    run = run_of("minilm_l6", machine, "token_parallel", 64, **{"clusters": 1, **options})
    shapes = [(d.layer.op.in_features, d.layer.op.out_features) for d in run.schedule.layers]
    weights = sum(8 * (inner + outer) for inner, outer in shapes)
    tokens = sum(64 * (inner + 2 * outer) for inner, outer in shapes)
    expected = 2 * (tokens + weights * options.get("clusters", 1))
    assert energy(run).by_component["link"] == expected


def test_wide_layers_in_slices_move_the_same_bytes() -> None:
    machine = load_machine(AHWA, {"energy.link": {"byte_hop": "1 aJ/B"}})
    run = run_of("bert_base", machine, "token_parallel", 40)
    expected = sum(
        2 * (40 * (op.in_features + 2 * op.out_features) + 8 * (op.in_features + op.out_features))
        for op in (decided.layer.op for decided in run.schedule.layers)
    )
    assert energy(run).by_component["link"] == expected


def test_a_power_is_drawn_for_the_busy_time_of_each_part() -> None:
    """A naive walk over the tasks of a whole network under HARP's powers."""
    run = run_of("mobilebert", HARP, "il_xl_pipe", batch=16)
    plan, found, duration = run.schedule.plan, energy(run), run.timeline.duration
    power = {"link": 13_000, "dram": 2_500_000, "cluster": 258_000}
    busy = dict.fromkeys(power, 0)
    for task in range(len(plan)):
        for resource in plan.uses_of(task):
            kind = plan.resources[resource].kind
            if kind in busy:
                busy[kind] += int(duration[task])
    for kind, time in busy.items():
        assert found.by_component[kind] == power[kind] * time


def test_a_cluster_that_is_known_as_a_whole_draws_while_any_unit_works() -> None:
    """The union of the tasks of its units, counted picosecond by picosecond at the edges."""
    run = run_of("minilm_l6", "harp_2026:bert_base", "token_parallel", 48)
    plan, line = run.schedule.plan, run.timeline
    units = {"cores", "dma", "matrix_engine"}
    spans: dict[str, list[tuple[int, int]]] = {}
    for task in range(len(plan)):
        for resource in plan.uses_of(task):
            if plan.resources[resource].kind in units:
                name = plan.resources[resource].name.split(".")[0]
                spans.setdefault(name, []).append((int(line.start[task]), int(line.end[task])))
    working = 0
    for own in spans.values():
        edges = sorted({edge for span in own for edge in span})
        working += sum(b - a for a, b in pairwise(edges) if any(s <= a and b <= e for s, e in own))
    assert energy(run).by_component["cluster"] == 258_000 * working


def test_what_is_busy_and_what_is_there_are_apart() -> None:
    plain = energy(run_of("minilm_l6", AHWA))
    static = energy(run_of("minilm_l6", f"{AHWA}:static_tenth"))
    assert not plain.static
    assert static.by_component == plain.by_component
    makespan = static.timeline.makespan
    assert static.static == {"tile": 7_000 * 60 * makespan, "cluster": 25_800 * makespan}


@pytest.mark.parametrize(("network", "machine"), [("minilm_l6", AHWA), ("minilm_l6", HARP)])
def test_more_tokens_draw_more(network: str, machine: str) -> None:
    changes = {"tile.count": "as_needed"}
    parts = load_machine(machine, changes)
    totals = [
        energy(run_of(network, parts, "token_parallel", tokens, batch=8)).total
        for tokens in (1, 8, 9, 40, 64)
    ]
    assert totals == sorted(set(totals))


def test_without_adapters_nothing_digital_is_drawn() -> None:
    told = run_of("minilm_l6", AHWA, "all_analog").result.energy
    assert told is not None
    assert set(told.component_aj) == {"tile"}
    assert told.total_pj == told.yardstick_pj
    assert told.overhead_percent == 0
    assert told.macs == 128 * 10_616_832
    adapted = run_of("minilm_l6", AHWA).result.energy
    assert adapted is not None
    assert adapted.yardstick_pj == told.total_pj < adapted.total_pj
    assert adapted.macs == told.macs + 128 * 331_776


def test_a_machine_that_draws_nothing_draws_nothing() -> None:
    zero = {"tile": {"mac": "0 aJ/MAC"}, "cluster": {"cores_power": "0 W"}, "link": None}
    zero["cluster"] |= {"engine_mac": "0 aJ/MAC", "tcdm_byte": "0 aJ/B"}  # type: ignore[operator]
    told = run_of("layer_128x128", load_machine(AHWA, {"energy": zero})).result.energy
    assert told is not None
    assert told.total_aj == told.peak_power_w == told.tops_per_watt == 0
    assert told.not_counted == ("link",)


@pytest.mark.parametrize(
    ("part", "terms"),
    [
        ("cores", ["cores_power"]),
        ("matrix_engine", ["engine_power", "engine_mac", "engine_idle_mac"]),
        ("dma", ["dma_byte"]),
        ("tcdm", ["tcdm_byte"]),
    ],
)
def test_a_part_of_a_cluster_without_a_term_draws_nothing(part: str, terms: list[str]) -> None:
    """In adapters, and in attention, whose tasks take a whole cluster."""
    machine = load_machine(AHWA, {f"energy.cluster.{term}": None for term in terms})
    found = energy(run_of("minilm_l6", machine, "xb_pipe", tokens=8)).by_component
    assert found.get(part, 0) == 0
    assert sum(found.values()) > 0


def test_what_is_unknown_is_said_and_not_zero() -> None:
    result = run_of("layer_128x128", load_machine(AHWA, {"energy": None, "area": None})).result
    assert result.energy is None
    assert result.area is None
    assert "energy_pj" not in result.to_frame().columns
    part = run_of("layer_128x128", load_machine(AHWA, {"energy.tile": None})).result.energy
    assert part is not None
    assert part.not_counted == ("tile",)
    assert part.analog_pj == 0
    assert part.tdp_w is None
    assert "unknown and left out: tile" in part.summary


def test_siblings_on_a_crossbar_each_draw_their_own() -> None:
    """Q and K of MobileBERT share a task; both 128 x 128, so both draw the same."""
    net, machine = hybridsim.load("mobilebert", HARP)
    run = execute(net.without_adapters(), machine, make_strategy("serial"), 128)
    assert run.schedule.carried_by
    each = run.result.energy
    assert each is not None
    query, key = (each.op_aj[f"block3.attention.self.{name}"] for name in ("query", "key"))
    plan = run.schedule.plan
    own = plan.op == plan.ops.index("block3.attention.self.query")
    moves = own & plan.which(lambda work: work.kind == "move")
    assert key == 128 * (4_000 * 350_000 + 35_000 * 38_000)
    assert query - 13_000 * int(run.timeline.duration[moves].sum()) == key


@given(st.integers(0, 10**30), st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_what_is_shared_out_adds_up(total: int, weights: list[int]) -> None:
    parts = shared_out(total, np.array(weights))
    assert sum(parts.tolist()) == total
    assert (parts >= 0).all()
    if len(set(weights)) == 1:
        assert parts.max() - parts.min() <= len(weights) + total * 1e-12


@given(st.lists(st.integers(0, 2**62), max_size=20))
def test_sums_beyond_64_bits_are_exact(values: list[int]) -> None:
    assert exact_sum(np.array(values, np.int64)) == sum(values)


def test_energies_beyond_64_bits_are_exact() -> None:
    """They stop no latency: 1 kW for two seconds, and what several tasks share."""
    assert over_time(10**9, np.array([2 * 10**12, 1])).tolist() == [2 * 10**21, 10**9]
    assert shared_out(3 * 2**63, np.array([1, 2])).tolist() == [2**63, 2**64]


def test_a_run_may_draw_more_than_64_bits_hold() -> None:
    """Every part at its most: the sums by part, by op and by task stay one number."""
    changes = {"energy.tile.mac": "1000 nJ/MAC", "energy.cluster.engine_mac": "1000 nJ/MAC"}
    run = run_of("layer_512x128", load_machine(AHWA, changes), tokens=4096)
    found = energy(run)
    assert found.total > 2**64
    assert sum(found.by_op.values()) == sum(found.by_component.values())
    assert sum(found.by_task.tolist()) == sum(found.by_component.values())
    assert power_steps(found)["power_w"].max() <= peak_power_w(found) * 1.001


@settings(max_examples=8)
@given(st.integers(1, 200), st.sampled_from([128, 256, 512]))
def test_analog_energy_is_tokens_times_one_vector(tokens: int, time: int) -> None:
    """93.46 fJ for each of 512 x 128 devices, at any integration time."""
    run = run_of("layer_512x128", f"{AHWA}:{time}ns", "all_analog", tokens)
    assert energy(run).total == tokens * 512 * 128 * 93_460
