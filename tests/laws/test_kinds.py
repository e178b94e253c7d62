"""Several kinds of tiles and clusters on one machine: the laws of what it answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine, machine_with, taken_as_usual
from hybridsim.engines import engine
from hybridsim.explanation import changed_machine, changes_of
from hybridsim.mapping import place
from hybridsim.measure.occupancy import tcdm_occupancy
from hybridsim.measure.usage import usage
from hybridsim.simulation import execute, job_of
from hybridsim.strategies import make_strategy
from hybridsim.sweeps.blocks import Blocks
from hybridsim.sweeps.inputs import read_inputs
from hybridsim.sweeps.study import read_study
from hybridsim.work import price

TOKENS = 16
STRATEGIES = ("layer_serial", "token_parallel", "cross_layer", "network", "xl_pipe")
NETWORK, PAPER = hybridsim.load("minilm_l6", "ahwa_lora_2026")
LAYERS = [op.name for op in NETWORK.matrices]
EQUAL: dict[str, Any] = {
    "tiles": {"other": {}}, "clusters": {"more": {}},
    "mapping": {"layers": {"*": "tile", "*output*": "other"},
                "adapters": {"*": "cluster"}},
}  # fmt: skip
FAST = {"clock": {"frequency": "1 GHz"}}


def paper(**overrides: Any) -> Machine:
    return load_machine("ahwa_lora_2026", overrides)


def run(machine: Machine, strategy: str, engine_name: str = "compiled") -> hybridsim.Result:
    return hybridsim.simulate(NETWORK, machine, make_strategy(strategy), TOKENS, engine_name)


def of_kinds(parts: dict[str, int]) -> dict[str, int]:
    """Return part -> sum of all its kinds."""
    found: dict[str, int] = {}
    for name, value in parts.items():
        part = name.partition(":")[0]
        found[part] = found.get(part, 0) + value
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_equal_kinds_give_the_result_of_one(strategy: str) -> None:
    one, two = run(PAPER, strategy), run(paper(**EQUAL), strategy)
    assert two.latency_ps == one.latency_ps
    assert two.yardstick_ps == one.yardstick_ps
    for mine, other in zip(two.layers, one.layers, strict=True):
        assert (mine.latency_ps, mine.batch, mine.unit) == (
            other.latency_ps, other.batch, other.unit,
        )  # fmt: skip
    assert one.energy is not None
    assert two.energy is not None
    assert of_kinds(two.energy.component_aj) == one.energy.component_aj
    assert two.energy.component_aj["tile:other"] > 0
    assert two.energy.op_aj == one.energy.op_aj
    assert two.energy.total_aj == one.energy.total_aj


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_kind_has_a_row_of_its_own(strategy: str) -> None:
    rules = {**EQUAL["mapping"], "adapters": {"*": "more", "*query": "cluster"}}
    result = run(paper(**{**EQUAL, "mapping": rules}), strategy)
    whole = strategy in ("network", "xl_pipe")
    unit = "cluster" if whole else "matrix_engine"
    for part in ("tile", "tile:other", unit, f"{unit}:more"):
        assert part in result.utilization, part
        assert part in result.elasticity, part
    assert {layer.placed_on for layer in result.layers} == {"tile", "other"}
    assert {layer.adapter_on for layer in result.layers} == {"cluster", "more"}
    assert result.area is not None
    assert {"tile:other", "cluster:more"} <= set(result.area.component_um2)
    assert hybridsim.Result.from_json(result.to_json()) == result


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.sampled_from(["tile", "wide", "small"]), min_size=3, max_size=3),
    st.lists(st.sampled_from(["cluster", "fast", "cores"]), min_size=3, max_size=3),
    st.sampled_from(STRATEGIES),
)
def test_engines_agree_and_energies_sum_over_kinds(
    tiles: list[str], clusters: list[str], strategy: str
) -> None:
    names = ("*", "*output*", "*query*")
    machine = paper(
        tiles={"wide": {"rows": 768, "integration_time": "512 ns"}, "small": {"columns": 128}},
        clusters={"fast": {**FAST, "count": 2}, "cores": {"tcdm": {"size": "256 KiB"}}},
        mapping={
            "layers": dict(zip(names, tiles, strict=True)),
            "adapters": dict(zip(names, clusters, strict=True)),
        },
    )
    compiled, reference = (run(machine, strategy, name) for name in ("compiled", "reference"))
    assert compiled.latency_ps == reference.latency_ps
    energy = compiled.energy
    assert energy is not None
    assert energy.not_counted == ()
    assert sum(energy.op_aj.values()) == sum(energy.component_aj.values())
    # an MVM takes by the weight, whatever holds it
    one = run(PAPER, strategy).energy
    assert one is not None
    assert of_kinds(energy.component_aj)["tile"] == one.component_aj["tile"]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(STRATEGIES[:2]), st.integers(1, 4000), st.integers(1, 4000))
def test_a_slower_kind_never_makes_a_fixed_plan_shorter(strategy: str, a: int, b: int) -> None:
    fast, slow = sorted((a, b))
    machine = paper(**EQUAL)
    plan = make_strategy(strategy).schedule(job_of(NETWORK, machine, make_strategy(strategy), 16))
    makespans = []
    for time in (fast, slow):
        kinds = {**EQUAL["tiles"], "other": {"integration_time": f"{time} ns"}}
        on = machine.model_copy(update={"tiles": kinds})
        times = price(plan.plan.works, on).time_ps
        makespans.append(engine("compiled")(plan.plan, times).makespan)
    assert makespans[0] <= makespans[1]


def test_layers_of_different_kinds_have_their_own_times_energies_and_areas() -> None:
    slow = {"tiles": {"other": {"integration_time": "1 us"}}, "energy.tiles": {
        "other": {"mac": "1 pJ/MAC"}}, "area.tiles": {"other": "2 mm2"}}  # fmt: skip
    machine = paper(**{**EQUAL, **slow}, **{"energy.tile.mac": "100 fJ/MAC"})
    result = run(machine, "all_analog")
    usual = {layer.name: layer for layer in run(PAPER, "all_analog").layers}
    vector = PAPER.tile.mvm_ps(384, 384, 1)
    for layer in result.layers:
        more = (10**6 - PAPER.tile.integration_time) * TOKENS
        expected = usual[layer.name].latency_ps + more * (layer.placed_on == "other")
        assert layer.latency_ps == expected, (layer.name, vector)
    other = {layer.name for layer in result.layers if layer.placed_on == "other"}
    assert result.energy is not None
    for op in NETWORK.matrices:
        each = 10**6 if op.name in other else 10**5  # aJ
        assert result.energy.op_aj[op.name] == TOKENS * each * op.in_features * op.out_features
    tiles = place(NETWORK, machine).used_tiles
    assert isinstance(tiles, dict)
    assert result.area is not None
    assert result.area.component_um2["tile:other"] == 2 * 10**6 * tiles["other"]


def test_adapters_run_on_the_clusters_that_they_are_given_to() -> None:
    rules = {"layers": {"*": "tile"}, "adapters": {"*": "more"}}
    machine = paper(**{**EQUAL, "clusters": {"more": FAST}, "mapping": rules})
    done = execute(NETWORK, machine, make_strategy("token_parallel"), TOKENS)
    table = usage(done.schedule.plan, done.timeline)
    assert table.loc["cluster0.matrix_engine", "busy_ps"] == 0
    assert table.loc["more.cluster0.matrix_engine", "busy_ps"] > 0
    twice = load_machine("ahwa_lora_2026", {"cluster.clock.frequency": "1 GHz"})
    assert done.result.latency_ps == run(twice, "token_parallel").latency_ps


@pytest.mark.parametrize("strategy", ["network", "xl_pipe"])
def test_a_layer_on_clusters_takes_no_tile_and_the_engine_multiplies_it(strategy: str) -> None:
    digital = paper(mapping={"layers": {"*.query": "cluster"}}, **{"energy.sram": None})
    before, after = run(PAPER, strategy), run(digital, strategy)
    assert run(digital, strategy, "reference").latency_ps == after.latency_ps
    layers = {layer.name: layer for layer in after.layers}
    queries = [name for name in layers if name.endswith(".query")]
    assert after.tiles == before.tiles - len(queries)
    assert {layers[name].placed_on for name in queries} == {"cluster"}
    assert after.energy is not None
    assert before.energy is not None
    aj, usual = after.energy.component_aj, before.energy.component_aj
    weights = sum(op.weights for op in NETWORK.matrices if op.name in queries)
    tile = PAPER.energy and PAPER.energy.tile
    assert tile is not None
    assert usual["tile"] - aj["tile"] == TOKENS * (tile.mac or 0) * weights
    assert aj["matrix_engine"] > usual["matrix_engine"]
    assert after.energy.macs == before.energy.macs


def test_layers_on_clusters_come_from_the_dram_where_the_sram_is_full() -> None:
    memory = {"sram": {"size": "1 MiB"}, "dram": {"bandwidth": "1 GiB/s"}}
    rules = {"layers": {"*.query": "cluster"}}
    small, large = (
        paper(memory={**memory, "sram": {"size": size}, "activation_width": "16 bit"},
              mapping=rules)
        for size in ("1 MiB", "64 MiB")
    )  # fmt: skip
    slow, fast = run(small, "network"), run(large, "network")
    assert slow.latency_ps > fast.latency_ps
    assert any("come from the DRAM" in note for note in slow.notes)
    assert not any("come from the DRAM" in note for note in fast.notes)
    without = paper(memory={**memory, "dram": None, "activation_width": "16 bit"}, mapping=rules)
    with pytest.raises(hybridsim.InputError, match=r"find no room .* no DRAM; raise memory.sram"):
        run(without, "network")


def test_strategies_for_layers_leave_digital_ones_to_those_for_networks() -> None:
    machine = paper(mapping={"layers": {"*.query": "cluster"}})
    says = r"query is left to clusters .* such as network"
    with pytest.raises(hybridsim.InputError, match=says):
        run(machine, "token_parallel")


def test_a_kind_is_an_axis_of_a_sweep(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(f"""
name: kinds
question: What does an integration time buy, of one kind of tiles and of the other?
machine: kinds.yaml
network: minilm_l6
tokens: {TOKENS}
strategy: token_parallel
axes:
  tiles.other.integration_time: [64 ns, 10 us]
  tile.integration_time: [128 ns, 10 us]
objectives: {{latency_ps: minimise}}
keep: [latency_ps, energy_pj]
""")
    (tmp_path / "kinds.yaml").write_text(
        "extends: ahwa_lora_2026\n"
        "tiles: {other: {}}\n"
        "mapping: {layers: {'*': tile, '*output*': other}}\n"
    )
    inputs = read_inputs(read_study(study))
    found = Blocks(inputs).evaluate(np.arange(4))["latency_ps"]
    expected = []
    for other in ("64 ns", "10 us"):
        for usual in ("128 ns", "10 us"):
            times = {"tiles.other.integration_time": other, "tile.integration_time": usual}
            machine = load_machine(str(tmp_path / "kinds.yaml"), times)
            expected.append(run(machine, "token_parallel").latency_ps)
    assert [*found] == expected
    assert len(set(expected)) == 4


def test_a_macro_keeps_the_adapters_that_are_given_to_it_for_good() -> None:
    """The place of adapters in HaLoRA and PRIMAL; others pass through the usual cluster."""
    part = Path(__file__).parents[2] / "examples/hybridsim_examples/adapter_macro.py"
    macro = {"matrix_engine": {"part": f"{part}:AdapterMacro"}, "tcdm": {"size": "4 MiB"}}
    rules = {"adapters": {"*": "macro", "*query": "cluster"}}
    roomy = paper(clusters={"macro": macro}, mapping=rules, **{"cluster.tcdm.size": "4 MiB"})
    strategy = make_strategy("network", {"keep_adapters": "network"})
    done = execute(NETWORK, roomy, strategy, TOKENS)
    queries, others = (
        sum(
            own.parameters
            for op in NETWORK.adapted_layers
            if (own := NETWORK.adapter(op)) and op.name.endswith("query") == is_query
        )
        for is_query in (True, False)
    )
    assert done.schedule.kept_bytes == 2 * queries
    assert done.schedule.kept_of_kinds == {"macro": 2 * others}
    assert not any(work.label == "load a b" for work in done.schedule.plan.works)
    table = tcdm_occupancy(done)
    kept = table.groupby("cluster")["bytes"].max()
    assert kept["macro.clusters"] >= 2 * others
    small = machine_with(roomy, {"clusters.macro.tcdm.size": "128 KiB"})
    with pytest.raises(hybridsim.InputError, match=r"take .* of TCDM"):
        hybridsim.simulate(NETWORK, small, strategy, TOKENS)


# --- what is told of kinds, and what would help -------------------------------------------------


def test_what_kinds_draw_and_take_as_the_usual_one_is_told() -> None:
    """Of what energy and area say nothing; a kind that they name is not among them."""
    machine = paper(
        tiles={"wide": {"rows": 768}, "small": {"columns": 128}},
        clusters={"fast": FAST},
        **{
            "energy.tiles": {"wide": {"mac": "150 fJ/MAC"}},
            "area.tiles": {"small": "1 mm2"},
            "area.clusters": {"fast": "2 mm2"},
        },
    )
    notes = run(machine, "layer_serial").notes
    assert (
        "energy says nothing of tiles.small, clusters.fast: taken to draw what the usual kind does"
    ) in notes
    assert "area says nothing of tiles.wide: taken to be as large as the usual kind" in notes
    assert not [note for note in run(PAPER, "layer_serial").notes if "usual kind" in note]
    silent = paper(clusters={"fast": FAST}).model_copy(update={"energy": None, "area": None})
    assert taken_as_usual(silent) == ()


def test_each_kind_has_changes_that_would_help_of_its_own() -> None:
    machine = paper(tiles={"wide": {"rows": 768}}, clusters={"fast": FAST})
    usual = {change.name for change in changes_of(PAPER)}
    changes = {change.name: change for change in changes_of(machine)}
    assert usual < changes.keys()
    for name in changes.keys() - usual:
        changed = changed_machine(machine, changes[name])
        kinds = (changed.tile_of("wide"), changed.cluster_of("fast"))
        same = (machine.tile_of("wide"), machine.cluster_of("fast"))
        assert sum(a != b for a, b in zip(kinds, same, strict=True)) == 1, name
        assert (changed.tile, changed.cluster) == (machine.tile, machine.cluster), name
    faster = changed_machine(machine, changes["cluster clock of fast x 2"]).cluster_of("fast")
    assert faster is not None
    assert faster.clock.frequency == 2 * 10**9
