"""Whole networks over chips and networks on chip: closed forms, and laws on a small Llama."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Machine, load_machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.programs import CHOICES
from hybridsim.strategies import Job, NetworkStrategy, Schedule, TokenTemplate, make_strategy
from hybridsim.workload import AdapterSpec, Linear, Network, network_from_config
from tests.carried_out import assert_engines_agree, carried_out, durations

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 1024,
    "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip
NETWORK = network_from_config(
    CONFIG, name="small", source="test", head="lm_head", adapters=AdapterSpec(rank=8)
)
ONE_CHIP = {"chips": None, "tile.count": 100}
MESH = {"kind": "mesh", "rows": 2, "columns": 3, "clock": {"frequency": "500 MHz"},
        "width": "64 B/cycle", "hop": "2 cycles"}  # fmt: skip
TREE = {"kind": "tree", "arity": 2, "levels": 2, "clock": {"frequency": "500 MHz"},
        "width": "64 B/cycle", "hop": "2 cycles"}  # fmt: skip
MACHINES: dict[str, dict[str, Any]] = {
    "one chip": ONE_CHIP,
    "chips": {"tile.count": 2, "chips.count": 5, "cluster.count": 3},
    "chips of a mesh": {"tile.count": 2, "chips.count": 5, "network_on_chip": MESH},
    "a tree": {**ONE_CHIP, "network_on_chip": TREE},
    "little SRAM": {**ONE_CHIP, "memory.sram.size": "256 KiB"},
    "little SRAM on chips": {"tile.count": 2, "chips.count": 5, "memory.sram.size": "64 KiB"},
}


def machine(name: str) -> Machine:
    return load_machine("llm_2026", MACHINES[name])


def strategy(**options: Any) -> NetworkStrategy:
    usual = {"batch": 16, "kept_over_link": True, "adapters_by_capacity": True}
    found = make_strategy("network", usual | options)
    assert isinstance(found, NetworkStrategy)
    return found


def scheduled(name: str, tokens: int = 64, past: int = 0, **options: Any) -> Schedule:
    return strategy(**options).schedule(Job(place(NETWORK, machine(name)), tokens, past=past))


def tasks(plan: Plan, label: str) -> list[int]:
    if label not in plan.labels:
        return []
    return np.flatnonzero(plan.label == plan.labels.index(label)).tolist()


def two_layers() -> Network:
    ops = (
        Linear(name="a", in_features=512, out_features=512, bias=False),
        Linear(name="b", in_features=512, out_features=512, bias=False, inputs=("a",)),
    )
    return Network(name="two", source="test", ops=ops)


def latency(network: Network, there: Machine) -> int:
    plan = make_strategy("network", {"batch": "all"}).schedule(Job(place(network, there), 1)).plan
    return carried_out(plan, there).makespan


def test_from_chip_to_chip_by_hand() -> None:
    """MVM, link, hop, link, MVM: 484 ns (350 + 67 cycles of 2 ns) each; 512 B in 8 cycles.

    Two chips between: 3 hops of 100 ns + 512 B / 64 GB/s.
    """
    changes = {"tile.count": 1, "tile.tiers": 1, "chips.count": 4}
    there = load_machine("llm_2026", changes)
    assert latency(two_layers(), there) == 2 * 484_000 + 2 * 16_000 + 100_000 + 8_000
    ops = two_layers().ops
    between = tuple(
        Linear(name=f"between{i}", in_features=512, out_features=512, bias=False, inputs=("a",))
        for i in range(2)
    )
    network = Network(name="four", source="test", ops=(ops[0], *between, ops[1]))
    plan = make_strategy("network", {"batch": "all"}).schedule(Job(place(network, there), 1)).plan
    hops = [plan.name(task) for task in tasks(plan, "hop")]
    assert [name.split(":")[0] for name in hops] == ["between0"] + 2 * ["between1"] + 3 * ["b"]


def test_over_a_mesh_by_hand() -> None:
    """Tiles 0 and 1 of two stand on nodes 0 and 3 of 2 x 3: a hop of 2 cycles, and 8 for 512 B."""
    there = load_machine(
        "llm_2026", {"chips": None, "tile.count": 2, "tile.tiers": 1, "network_on_chip": MESH}
    )
    assert latency(two_layers(), there) == 2 * 484_000 + (2 + 8) * 2_000


def test_a_mesh_is_left_and_entered_at_its_first_node_by_hand() -> None:
    """Two tiles a chip, on nodes 0 and 3: a, b | c, d.

    a to b and c to d are one hop apart (2 cycles, and 8 for 512 B, of 2 ns), and so is b from
    node 0, where the other chip is 108 ns away; c stands there (a task lasts 1 ps at least).
    """
    changes = {"tile.count": 2, "tile.tiers": 1, "chips.count": 2, "network_on_chip": MESH}
    there = load_machine("llm_2026", changes)
    first, second = two_layers().ops
    more = [
        second.model_copy(update={"name": name, "inputs": (source,)})
        for name, source in (("c", "b"), ("d", "c"))
    ]
    network = Network(name="four", source="test", ops=(first, second, *more))
    took = latency(network, there)
    assert took == 4 * 484_000 + 3 * (2 + 8) * 2_000 + 108_000 + 1


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("past", [0, 200])
def test_the_engines_agree(name: str, past: int) -> None:
    plan = scheduled(name, tokens=1 if past else 40, past=past).plan
    assert_engines_agree(plan, machine(name))


@pytest.mark.parametrize("name", MACHINES)
def test_the_template_equals_a_layout_from_scratch(name: str) -> None:
    """Every past from 3 to 700 in steps, where the same operands lie in the SRAM."""
    job = Job(place(NETWORK, machine(name)), 1, past=300)
    template = TokenTemplate(strategy(), job, (16, "batch", CHOICES[:1]))
    found = 0
    for past in (3, 64, 299, 300, 301, 511, 512, 700):
        schedule = template.schedule_at(past)
        if schedule is None:
            continue
        found, plan = found + 1, schedule.plan
        fresh = scheduled(name, 1, past).plan
        assert [plan.works[i] for i in plan.work] == [fresh.works[i] for i in fresh.work]
        np.testing.assert_array_equal(plan.need, fresh.need)
        np.testing.assert_array_equal(plan.use, fresh.use)
        assert plan.ops == fresh.ops
        assert set(plan.works) == set(fresh.works)
        assert len(plan.works) == len(fresh.works)
    assert found >= 4


def test_a_template_is_not_used_where_operands_change_their_place() -> None:
    template = TokenTemplate(
        strategy(),
        Job(place(NETWORK, machine("little SRAM")), 1, past=2),
        (16, "batch", CHOICES[:1]),
    )
    assert template.schedule_at(3) is not None
    assert template.schedule_at(4000) is None


@given(past=st.integers(1, 3000), more=st.integers(1, 1000))
@settings(max_examples=8, deadline=None)
def test_more_past_never_costs_less(past: int, more: int) -> None:
    short, long = (
        carried_out(scheduled("one chip", 1, each).plan, machine("one chip")).makespan
        for each in (past, past + more)
    )
    assert short <= long


def test_everything_of_a_chip_stays_on_it() -> None:
    """Each task but hops uses parts of one chip; hops join neighbours."""
    plan = scheduled("chips").plan
    chip_of_tile = {
        name: layer.chip
        for layer in place(NETWORK, machine("chips")).layers
        for name in layer.tiles
    }
    for task in range(0, len(plan), 7):
        chips = set()
        for use in plan.uses_of(task):
            resource = plan.resources[use]
            if resource.kind == "tile":
                first = resource.name.removeprefix("tile").split(".")[0]
                chips.add(chip_of_tile[int(first)])
            elif resource.kind in ("link", "cluster", "dram"):
                chips.add(int(resource.name.split(".")[0].removeprefix("chip")))
        assert len(chips) <= 1


def test_adapters_that_the_sram_cannot_hold_come_from_the_dram() -> None:
    """Layer by layer, first come first held; every one of the others is fetched whole."""
    plan = scheduled("little SRAM").plan
    job = Job(place(NETWORK, machine("little SRAM")), 64)
    held = 0
    outside: list[str] = []
    for op in NETWORK.static_linear_layers:
        adapter = NETWORK.adapter(op)
        assert adapter is not None
        need = 2 * adapter.parameters
        if outside or held + need > 256 * 1024:
            outside.append(op.name)
        else:
            held += need
    fetched = {plan.ops[plan.op[task]] for task in tasks(plan, "fetch a b")}
    assert fetched == set(outside)
    assert outside
    dram = job.machine.memory.dram if job.machine.memory else None
    assert dram is not None
    lasted = durations(plan, job.machine)
    for task in tasks(plan, "fetch a b"):
        op = NETWORK.op(plan.ops[plan.op[task]])
        adapter = NETWORK.adapter(op)
        assert adapter is not None
        assert lasted[task] == dram.transfer_ps(2 * adapter.parameters)


def test_kept_keys_and_values_cross_the_link_where_that_is_charged() -> None:
    """2 x past x 2 heads x 32 elements of a byte, at 64 B per cycle of 2 ns."""
    plan = scheduled("one chip", 1, past=100).plan
    moved = tasks(plan, "move kv")
    assert len(moved) == 6
    assert set(durations(plan, machine("one chip"))[moved]) == {2 * 100 * 64 // 64 * 2_000}
    assert not tasks(scheduled("one chip", 1, past=100, kept_over_link=False).plan, "move kv")


def test_the_head_waits_for_the_last_batch() -> None:
    """It reads the last token alone, which is there when every batch is."""
    plan = scheduled("one chip").plan
    timeline = carried_out(plan, machine("one chip"))
    head = plan.op == plan.ops.index("lm_head")
    norm = plan.op == plan.ops.index("norm")
    assert timeline.start[head].min() >= timeline.end[norm].max()


def test_sequences_share_layers_and_not_keys() -> None:
    mapping = place(NETWORK, machine("one chip"))
    one, four = (Job(mapping, 1, past=99, sequences=n) for n in (1, 4))
    plans = [strategy(batch="all").schedule(job).plan for job in (one, four)]
    alone, together = (carried_out(plan, mapping.machine) for plan in plans)
    assert alone.makespan < together.makespan < 4 * alone.makespan
    moved = [tasks(plan, "move kv") for plan in plans]
    kept = [int(alone.duration[moved[0]].sum()), int(together.duration[moved[1]].sum())]
    assert kept[1] == 4 * kept[0]


def test_keys_that_outgrow_the_dram() -> None:
    there = load_machine(
        "llm_2026", ONE_CHIP | {"memory.dram.size": "1 MiB", "memory.sram.size": "1 KiB"}
    )
    with pytest.raises(CapacityError, match=r"keys and values of small take .* 1 MiB of DRAM"):
        strategy().schedule(Job(place(NETWORK, there), 1, past=4000))
