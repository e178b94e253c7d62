"""Layers on several sets of tiles: what copies change, and what they leave alone."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import MappingRules, load_machine
from hybridsim.engines import Engine, makespan_ps
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, SpecError
from hybridsim.mapping import Mapping, place
from hybridsim.mapping.copies import copies_of, crossbars_for, vectors_of
from hybridsim.strategies import Job, make_strategy
from hybridsim.sweeps.blocks import Blocks
from hybridsim.sweeps.whole_runs import WholeRuns
from hybridsim.units import ceil_div
from hybridsim.validation.strategies import layer
from hybridsim.work import mvm, price
from hybridsim.workload import Network
from tests.sweeps.random_studies import inputs_of

ENGINES = [engine_by_name(name) for name in ("compiled", "reference")]
MACHINE = load_machine("ahwa_lora_2026")
STRATEGIES = ["token_parallel", "xb_pipe", "auto"]


def network_of(name: str) -> Network:
    return hybridsim.load(name, MACHINE.name)[0]


def run(network: str, copies: object, strategy: str = "token_parallel", **more: Any) -> Any:
    rules = {"mapping.copies": copies} | more.pop("machine", {})
    given = hybridsim.load(network, "ahwa_lora_2026", rules)
    return hybridsim.simulate(*given, make_strategy(strategy), tokens=more.pop("tokens", 16))


def mapped(copies: object, **more: object) -> Mapping:
    rules: dict[str, Any] = {"mapping.copies": copies}
    rules |= {name.replace("__", "."): value for name, value in more.items()}
    return place(*hybridsim.load("minilm_l6", "ahwa_lora_2026", rules))


# ---- what they change


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_copy_is_no_copy(strategy: str) -> None:
    once, as_before = run("minilm_l6", 1, strategy), run("minilm_l6", {"*.output": 1}, strategy)
    assert once.latency_ps == as_before.latency_ps
    assert once.energy.component_aj == as_before.energy.component_aj
    assert "mapping" not in load_machine("ahwa_lora_2026", {"mapping.copies": 1}).to_text()


@given(st.integers(1, 300), st.integers(1, 40))
def test_tokens_in_turn_take_as_long_as_the_largest_share(tokens: int, copies: int) -> None:
    one, several = (mvm(((512, 128),), tokens, count) for count in (1, copies))
    time = price([one, several], MACHINE).time_ps
    assert time[1] * tokens == time[0] * ceil_div(tokens, copies)
    assert several.tokens == tokens


@pytest.mark.parametrize("engine", ENGINES, ids=["compiled", "reference"])
@given(st.integers(1, 90), st.integers(1, 30), st.sampled_from([1, 2, 3]), st.data())
@settings(max_examples=20, deadline=None)
def test_more_copies_never_make_a_fixed_plan_slower(
    engine: Engine, tokens: int, batch: int, clusters: int, data: st.DataObject
) -> None:
    fewer = data.draw(st.integers(1, 8))
    more = data.draw(st.integers(fewer, 12))
    network = layer(512, 300).with_adapters(rank=8)
    options = {"batch": min(batch, tokens), "clusters": clusters}
    found = []
    for copies in (fewer, more):
        rules = {"mapping.copies": copies, "cluster.count": 3}
        job = Job(place(network, load_machine("ahwa_lora_2026", rules)), tokens)
        schedule = make_strategy("token_parallel", options).schedule(job)
        time_ps = price(schedule.plan.works, job.machine).time_ps
        found.append(makespan_ps(schedule.plan, time_ps, schedule.dispatch, engine))
    assert found[1] <= found[0]


@pytest.mark.parametrize("strategy", ["all_analog", "xb_pipe"])
def test_layers_bound_by_their_tiles_are_as_many_times_faster(strategy: str) -> None:
    """What a longer run takes more is its steady pace: MVMs alone, 300 us each."""
    slow = {"tile.integration_time": "300 us"}
    network = network_of("layer_512x128").without_adapters()

    def pace(copies: int) -> int:
        machine = load_machine("ahwa_lora_2026", slow | {"mapping.copies": copies})
        took = [
            hybridsim.simulate(network, machine, make_strategy(strategy), tokens=n).latency_ps
            for n in (120, 240)
        ]
        return took[1] - took[0]

    assert [pace(1) / pace(copies) for copies in (2, 3, 4)] == pytest.approx([2, 3, 4], rel=1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_energy_of_mvms_is_that_of_the_tokens_and_area_that_of_the_tiles(strategy: str) -> None:
    one, three = run("minilm_l6", 1, strategy), run("minilm_l6", 3, strategy)
    assert three.energy.component_aj["tile"] == one.energy.component_aj["tile"]
    assert three.tiles == 3 * one.tiles
    assert three.occupancy == one.occupancy


def test_adapters_do_the_same_work_on_any_number_of_copies() -> None:
    strategy = make_strategy("token_parallel", {"batch": 8})
    found = [
        hybridsim.simulate(
            *hybridsim.load("layer_512x128", "ahwa_lora_2026", {"mapping.copies": copies}),
            strategy, tokens=64,
        )
        for copies in (1, 4)
    ]  # fmt: skip
    assert found[0].energy.digital_pj == found[1].energy.digital_pj


@pytest.mark.parametrize("sharing", ["exclusive", "packed", "latency", "area", "balance"])
def test_copies_of_a_layer_never_share_a_crossbar(sharing: str) -> None:
    mapping = mapped({"*.query": 3, "intermediate": 2}, tile__sharing=sharing, tile__rows=1024,
                     tile__columns=1024)  # fmt: skip
    for own in mapping.layers:
        assert len({block.crossbar for block in own.blocks}) == len(own.blocks)
        assert sum(block.devices for block in own.blocks) == own.copies * own.op.weights
    copies = {own.name.split(".", 1)[1]: own.copies for own in mapping.layers}
    assert copies["attention.self.query"] == 3
    assert copies["intermediate"] == 2
    assert copies["output"] == 1


def test_the_last_pattern_that_fits_counts() -> None:
    copies = copies_of(network_of("minilm_l6"), machine({"*": 2, "block0.*": 3, "output": 1}))
    assert copies["block0.intermediate"] == 3
    assert copies["block1.intermediate"] == 2
    assert "block1.output" not in copies


# ---- balanced


def machine(copies: Any, tiles: int | None = None, **more: Any) -> Any:
    rules = MappingRules(copies=copies, tiles=tiles)
    return MACHINE.model_copy(update={"mapping": rules} | more)


@given(
    st.lists(
        st.tuples(st.sampled_from([64, 600, 1100]), st.sampled_from([64, 520])), min_size=1,
        max_size=3,
    ),
    st.integers(0, 14),
    st.integers(1, 9),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_no_other_copies_for_the_same_tiles_have_a_faster_slowest_layer(
    shapes: list[tuple[int, int]], more: int, tokens: int
) -> None:
    ops = [
        op.model_copy(update={"name": f"l{i}"})
        for i, shape in enumerate(shapes)
        for op in layer(*shape).ops
    ]
    network = Network(name="some", source="made up", ops=tuple(ops), sequence_length=tokens)
    need = [crossbars_for(MACHINE.tile, op) for op in network.matrices]
    slow = MACHINE.tile.model_copy(
        update={"periphery": MACHINE.tile.periphery.model_copy(update={"lanes": 4})}
    )
    asked = machine("balanced", sum(need) + more, tile=slow)
    found = copies_of(network, asked)

    def slowest(copies: tuple[int, ...]) -> int:
        return max(
            ceil_div(vectors_of(network, op), k) * slow.mvm_ps(*op.matrices[1:], 1)
            for op, k in zip(network.matrices, copies, strict=True)
        )

    every = [range(1, 2 + more // own) for own in need]
    fitting = [k for k in product(*every) if np.dot(k, need) <= sum(need) + more]
    ours = tuple(found.get(op.name, 1) for op in network.matrices)
    assert np.dot(ours, need) <= sum(need) + more
    assert slowest(ours) == min(map(slowest, fitting))


# ---- sweeps


@pytest.mark.parametrize("strategy", ["token_parallel", "xb_pipe", "early_xa"])
def test_copies_are_an_axis_like_any_other(strategy: str) -> None:
    study = inputs_of(
        network_of("layer_512x128"), "one", {"kind": strategy},
        {
            "mapping.copies": [1, 3, "balanced"],
            "mapping.tiles": [5],
            "tile.integration_time": ["64 ns", "300 ns"],
        },
        40, ["latency_ps", "yardstick_ps", "tiles", "energy_pj"],
    )  # fmt: skip
    every = np.arange(len(study))
    found, expected = Blocks(study).evaluate(every), WholeRuns(study).evaluate(every)
    for name in ("latency_ps", "yardstick_ps", "tiles", "energy_pj"):
        assert list(found[name]) == list(expected[name])
    assert set(found["tiles"]) == {1, 3, 5}


# ---- bad input


@pytest.mark.parametrize(
    ("copies", "more", "match"),
    [
        ({"*.up": 2}, {}, r"mapping.copies.\*.up: fits no layer of minilm_l6; .*would do"),
        (0, {}, "mapping.copies: "),
        (2000, {}, "2,000; at most 1,024 would do"),
        ("twice", {}, "mapping.copies: "),
        ("balanced", {}, "mapping.tiles: is missing"),
        ("balanced", {"mapping__tiles": 50}, "needs 60 crossbars .* mapping.tiles=50 has 50"),
        ("balanced", {"tile__sharing": "area"}, "tile.sharing=area; exclusive, or numbers"),
        (2, {"tile__count": 100}, "needs 120 crossbars"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    copies: object, more: dict[str, object], match: str
) -> None:
    with pytest.raises((SpecError, CapacityError), match=match):
        mapped(copies, **more)
