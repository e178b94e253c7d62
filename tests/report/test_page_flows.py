"""Flows, the map of tiles, and two results: what pages show, before it is drawn."""

import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import load_machine, machine_with
from hybridsim.difference import difference, head_of, intervals_apart
from hybridsim.measure.energy import energy_of_run
from hybridsim.measure.numerics import analog_noise_of
from hybridsim.report.page.cells import short_names
from hybridsim.report.page.charts import PARTS, part_color
from hybridsim.report.page.energy import energy_parts
from hybridsim.report.page.gantt import gantt
from hybridsim.report.page.sankey import HEIGHT, kinds_of_ops, sankey, time_flows
from hybridsim.report.page.tile_map import map_data, tile_map
from hybridsim.simulation import Run, execute, load
from hybridsim.strategies import make_strategy

CASES = (
    ("layer_512x128", "ahwa_lora_2026", "token_parallel"),
    ("distilbert", "ahwa_lora_2026", "layer_serial"),
    ("distilbert", "harp_2026:bert_base", "xb_pipe"),
)


@pytest.fixture(scope="module", params=CASES, ids=[" ".join(case) for case in CASES])
def run(request: pytest.FixtureRequest) -> Run:
    network, machine, strategy = request.param
    return execute(*load(network, machine), make_strategy(strategy, {}), tokens=32)


NAMES = st.lists(st.text("ab.", min_size=1, max_size=14), max_size=30)


@given(NAMES, st.integers(4, 12))
def test_names_that_are_cut_stay_apart(names: list[str], most: int) -> None:
    found = short_names(names, most)
    assert [*found] == [*dict.fromkeys(names)]
    assert len({*found.values()}) == len(found)
    assert all(len(label) <= most for label in found.values())
    assert all(found[name] == name for name in names if len(name) <= most)


# --- flows --------------------------------------------------------------------------------------


def test_the_time_that_flows_to_parts_is_the_time_they_are_busy(run: Run) -> None:
    plan = run.schedule.plan
    flows = time_flows(plan, run.timeline)
    expected: dict[str, int] = {}
    for task in range(len(plan)):  # the definition
        for resource in plan.uses_of(task):
            kind = plan.resources[resource].kind
            expected[kind] = expected.get(kind, 0) + int(run.timeline.duration[task])
    assert flows.groupby("part")["amount"].sum().to_dict() == expected


def test_the_energy_that_flows_is_that_of_the_run(run: Run) -> None:
    energy = energy_of_run(run.job, run.schedule, run.timeline)
    assert energy is not None
    flows = energy_parts(energy)
    assert sum(flows["amount"]) == energy.total
    by_part: dict[str, int] = {}
    for part, aj in zip(flows["part"], flows["amount"], strict=True):
        by_part[part] = by_part.get(part, 0) + aj
    known = {
        part: energy.by_component.get(part, 0) + energy.static.get(part, 0) for part in by_part
    }
    assert by_part == known


FLOWS = st.lists(
    st.tuples(
        st.sampled_from([f"block{i}.{name}" for i in range(3) for name in "abcdefghijklmnop"]),
        st.sampled_from([*PARTS, "a_part_of_mine"]),
        st.integers(1, 10**24),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40)
@given(FLOWS)
def test_bars_of_all_three_columns_are_as_high_and_within_the_drawing(
    rows: list[tuple[str, str, int]],
) -> None:
    flows = pd.DataFrame(rows, columns=["op", "part", "amount"]).astype({"amount": object})
    found = sankey("energy", "", "", flows, lambda op: re.sub(r"\d+", "*", op), "mine")
    assert found is not None
    columns: dict[float, list[float]] = {}
    for node in found.nodes:
        columns.setdefault(node.x, []).append(node.height)
        assert 0 <= node.y <= node.y + node.height <= HEIGHT + 1e-6
    assert len(columns) == 3
    sums = [sum(heights) for heights in columns.values()]
    assert sums == pytest.approx([sums[0]] * 3)
    assert sum(found.columns["energy_aj"]) == sum(amount for _, _, amount in rows)  # type: ignore[arg-type]


def test_nothing_flows_where_nothing_is_known() -> None:
    nothing = pd.DataFrame(columns=["op", "part", "amount"])
    assert sankey("energy", "", "", nothing, str, "mine") is None


def test_ops_of_whole_networks_are_told_by_what_they_are() -> None:
    run = execute(
        *load("distilbert", "harp_2026:bert_base"), make_strategy("xb_pipe", {}), tokens=32
    )
    kind_of = kinds_of_ops(run.result)
    assert kind_of(run.result.layers[0].name) == "linear layer"
    assert {kind_of(op.name) for op in run.result.ops} == {op.kind for op in run.result.ops}


# --- tiles --------------------------------------------------------------------------------------


def area(path: str) -> int:
    """Return the tiles that an outline covers."""
    return sum(int(width) for width in re.findall(r"h(\d+)v1h-", path))


def test_the_map_has_every_tile_once(run: Run) -> None:
    found = tile_map(run.job.machine, run.schedule.plan, run.result)
    data = map_data(found)
    assert found.tiles == sum(r.parts for r in run.result.resources if r.kind == "tile")
    assert found.left_out == 0
    assert [area(group["path"]) for group in data["groups"]] == [g.tiles for g in found.groups]
    corners = re.findall(r"M(\S+) (\S+)h(\d+)", " ".join(g["path"] for g in data["groups"]))
    cells = {(float(x) + i, float(y)) for x, y, width in corners for i in range(int(width))}
    assert len(cells) == found.tiles
    assert all(0 <= x < data["width"] and 0 <= y < data["height"] for x, y in cells)


def test_the_map_says_which_ops_run_on_a_tile(run: Run) -> None:
    plan = run.schedule.plan
    found = {g.name: set(g.layers) for g in tile_map(None, plan, run.result).groups}
    for task in range(0, len(plan), 7):
        for resource in plan.uses_of(task):
            if plan.resources[resource].kind == "tile":
                assert plan.ops[plan.op[task]] in found[plan.resources[resource].name]


@pytest.mark.parametrize("floor", ["spread", "short"])
def test_tiles_are_drawn_at_the_nodes_of_a_mesh(floor: str) -> None:
    """Each tile once, at the node from which its bytes start, wherever annealing put it."""
    network, machine = load("distilbert", "llm_2026:mesh", {"mapping.floor": floor})
    machine = machine_with(
        machine,
        {"network_on_chip.rows": 3, "network_on_chip.columns": 4, "tile.count": 70,
         "chips.count": 1, "tile.tiers": 8},
    )  # fmt: skip
    run = execute(network, machine, make_strategy("network", {}), tokens=8)
    found = tile_map(machine, run.schedule.plan, run.result)
    data = map_data(found)
    assert len(data["chips"]) == 12
    cells = [
        (float(x), float(y))
        for group in data["groups"]
        for x, y in re.findall(r"M(\S+) (\S+)h1v1h-1z", group["path"])
    ]
    assert len(cells) == len(set(cells)) == found.tiles
    by_layer = {own.name: own.tiles for own in run.job.mapping.layers}
    for group, drawn in zip(found.groups, data["groups"], strict=True):
        nodes = {t * 12 // 70 for t in by_layer[group.layers[0]]}
        inside = {
            node
            for x, y in re.findall(r"M(\S+) (\S+)h1", drawn["path"])
            for node, box in enumerate(data["chips"])
            if box["x"] <= float(x) < box["x"] + box["w"]
            and box["y"] <= float(y) < box["y"] + box["h"]
        }
        assert inside <= nodes
        assert len(drawn["path"].split("M")) == group.tiles + 1


@pytest.mark.parametrize("copies", [1, 2])
def test_tiles_tell_their_copies_and_how_noisy_they_are_at_each_age(copies: int) -> None:
    network, machine = load("layer_512x128", "ahwa_lora_2026", {"mapping.copies": copies})
    run = execute(network, machine, tokens=4)
    noise = analog_noise_of(network, [0.0, 3600.0])
    result = run.result.model_copy(update={"analog_noise": noise})
    assert [layer.copies for layer in result.layers] == [copies]
    assert ("copies" in result.model_dump()["layers"][0]) == (copies > 1)
    data = map_data(tile_map(machine, run.schedule.plan, result))
    assert data["ages"] == ["0s", "1h"]
    for group in data["groups"]:
        assert group["copies"] == copies
        assert group["noise"] == [round(row.relative_error, 6) for row in noise.rows]


def test_several_chips_lie_apart() -> None:
    network, _ = load("distilbert", "ahwa_lora_2026")
    machine = machine_with(
        load_machine("llm_2026"),
        {"tile.count": 4, "chips.count": 8, "tile.rows": 512, "tile.columns": 512},
    )
    run = execute(network, machine, make_strategy("xl_pipe", {}), tokens=8)
    found = tile_map(machine, run.schedule.plan, run.result)
    data = map_data(found)
    chips = {layer.chip for layer in run.job.mapping.layers}
    assert {group.chip for group in found.groups} == chips
    assert len(data["chips"]) == len(chips) > 1
    for group in data["groups"]:
        box = data["chips"][group["chip"]]
        for x, y, width in re.findall(r"M(\S+) (\S+)h(\d+)", group["path"]):
            assert box["x"] <= float(x) <= float(x) + int(width) <= box["x"] + box["w"]
            assert box["y"] <= float(y) < box["y"] + box["h"]


# --- colours ------------------------------------------------------------------------------------


def test_an_action_has_the_colour_of_the_part_that_does_it() -> None:
    run = execute(*load("layer_512x128", "ahwa_lora_2026"))
    data = gantt(run.schedule.plan, run.timeline).data
    parts = dict(zip(data["actions"], data["part_of_action"], strict=True))
    assert parts["mvm"] == "tile"
    assert parts["load x"] == "dma"  # not the link, which it holds too
    assert parts["xa"] == "matrix_engine"


def test_an_action_of_two_parts_is_told_apart() -> None:
    run = execute(*load("layer_512x128", "ahwa_lora_2026"), make_strategy("auto", {}), tokens=64)
    data = gantt(run.schedule.plan, run.timeline).data
    parts = dict(zip(data["actions"], data["part_of_action"], strict=True))
    assert parts["xa (cores)"] == "cores"
    assert parts["xa (matrix engine)"] == "matrix_engine"
    assert "xa" not in parts


@settings(max_examples=20)
@given(st.text(min_size=1))
def test_any_part_has_a_colour(kind: str) -> None:
    assert part_color(kind) == part_color(kind)
    assert "var(--" in part_color(kind)


# --- two results --------------------------------------------------------------------------------


def test_a_result_differs_from_itself_in_nothing(run: Run) -> None:
    found = difference(run.result, run.result)
    assert not found.inputs
    assert all(figure.before == figure.after for figure in found.figures)
    assert all(op.before_ps == op.after_ps for op in found.ops)
    assert {op.name for op in found.ops} == {o.name for o in (*run.result.layers, *run.result.ops)}
    assert type(found).from_json(found.to_json()) == found


def test_parts_of_the_critical_paths_add_up_to_the_latencies(run: Run) -> None:
    found = difference(run.result, run.result)
    total = sum(part.critical_before_ps for part in found.parts)
    assert total == pytest.approx(run.result.latency_ps, rel=1e-6)


def test_what_went_in_differently_is_told_and_nothing_else() -> None:
    network, machine = load("layer_128x128", "ahwa_lora_2026")
    faster = machine_with(machine, {"cluster.clock.frequency": "1 GHz"})
    a = execute(network, machine).result
    b = execute(network, faster, make_strategy("token_parallel", {"batch": 16})).result
    found = difference(a, b)
    changed = {one.path: (one.before, one.after) for one in found.inputs}
    assert changed == {
        "machine.cluster.clock.frequency": ("500 MHz", "1 GHz"),
        "strategy.batch": ("", "16"),
    }
    latency = found.figures[0]
    assert (latency.before, latency.after) == (a.latency_ps, b.latency_ps)
    assert latency.change_percent == pytest.approx((b.latency_ps / a.latency_ps - 1) * 100)


@pytest.mark.parametrize(
    ("low", "high", "apart"), [(50, 90, True), (50, 100, False), (201, 220, True), (0, 500, False)]
)
def test_intervals_are_apart_where_they_share_no_time(low: int, high: int, apart: bool) -> None:
    result = execute(*load("layer_128x128", "ahwa_lora_2026")).result
    first = head_of(result, "a").model_copy(update={"latency_low_ps": 100, "latency_high_ps": 200})
    second = first.model_copy(update={"latency_low_ps": low, "latency_high_ps": high})
    assert intervals_apart(first, second) == intervals_apart(second, first) == apart
    assert intervals_apart(first, head_of(result, "b")) is None
