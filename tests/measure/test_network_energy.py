"""Energy of whole networks and of generated tokens: counts by hand, and sums over tasks."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from hybridsim import Generation, generate
from hybridsim.arch import Machine, load_machine
from hybridsim.generation import strategy_for
from hybridsim.measure.area import area_of, sram_mib, tdp_uw, tiles_there
from hybridsim.measure.energy import RunEnergy, energy_of_run
from hybridsim.simulation import Run, execute
from hybridsim.workload import AdapterSpec, Network, network_from_config
from tests.sampling import every

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 1024,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip
LLM = {"tile.count": 2, "chips.count": 4}
NOTHING = {
    "tile": None, "link": None, "chip_link": None, "sram": None, "dram": None, "cluster": None,
}  # fmt: skip


@cache
def small(rank: int = 8) -> Network:
    adapters = AdapterSpec(rank=rank, exclude=("lm_head",))
    return network_from_config(
        CONFIG, name="small", source="test", head="lm_head", adapters=adapters
    )


def machine(variant: str = "", **changes: Any) -> Machine:
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return load_machine(f"llm_2026{variant}", LLM | overrides)


def energies(**known: Any) -> dict[str, Any]:
    return {"energy": NOTHING | known}


def run_of(there: Machine, tokens: int = 40, past: int = 0, **options: Any) -> Run:
    return execute(small(), there, strategy_for(options), tokens, past=past)


def energy(run: Run) -> RunEnergy:
    found = energy_of_run(run.job, run.schedule, run.timeline)
    assert found is not None
    return found


def generated(there: Machine, **options: Any) -> Generation:
    return generate(small(), there, **{"prompt": 40, "new": 7} | options)


@pytest.mark.parametrize("variant", every(2, ["", ":mesh", ":tree", ":harp_powers"]))
def test_tokens_draw_the_sum_of_their_tasks(variant: str) -> None:
    """Each token as a run of its own, laid out from scratch and summed task by task."""
    there = machine(variant)
    found = generated(there, new=4)
    assert found.decode is not None
    assert found.decode.energy is not None
    assert found.prefill.energy is not None
    first = energy(run_of(there))
    assert found.prefill.energy.component_aj == first.by_component
    assert found.prefill.energy.total_aj == first.total
    assert not found.prefill.energy.not_counted
    whole = 0
    for index, taken in enumerate(found.token_pj):
        one = energy(run_of(there, 1, 40 + index))
        assert sum(one.by_task.tolist()) == sum(one.by_component.values())
        assert taken == one.total / 10**6
        whole += one.total
    assert found.decode.energy.total_aj == whole
    assert found.decode.energy.per_token_pj == pytest.approx(whole / 10**6 / 3)


def test_a_cache_that_moves_to_the_dram_is_charged_token_by_token() -> None:
    changes = {"chips": None, "tile.count": 40, "memory.sram.size": "25 KiB"}
    there = load_machine("llm_2026", changes)
    options = {"adapters_by_capacity": False}
    found = generate(small(), there, prompt=20, new=60, strategy=strategy_for(options))
    for index in (0, 20, 40, 58):
        run = execute(small(), there, strategy_for(options), 1, past=20 + index)
        assert found.token_pj[index] == energy(run).total / 10**6


def test_adapters_draw_in_both_phases_and_a_batch_draws_less_per_token() -> None:
    there = machine()
    one, four = generated(there), generated(there, sequences=4)
    for phase in (one.prefill, one.decode):
        assert phase is not None
        assert phase.energy is not None
        assert phase.energy.per_token_pj > phase.energy.yardstick_per_token_pj
        assert phase.energy.tops_per_watt > 0
    assert one.decode is not None
    assert four.decode is not None
    assert one.decode.energy is not None
    assert four.decode.energy is not None
    assert four.decode.energy.macs == 4 * one.decode.energy.macs
    assert four.decode.energy.per_token_pj < one.decode.energy.per_token_pj


def test_multiply_accumulates_of_a_token_by_hand() -> None:
    """Attention over 40 + 1 + past keys: 8 heads of 32, two products, four blocks."""
    run = run_of(machine(), 1, 40)
    assert run.result.energy is not None
    per_block = 256 * 256 * 2 + 2 * 256 * 64 + 3 * 256 * 1024
    lora = 8 * (2 * (256 + 256) + 2 * (256 + 64) + 3 * (256 + 1024))
    attention = 2 * 41 * 256
    assert run.result.energy.macs == 4 * (per_block + lora + attention) + 256 * 1000


@pytest.mark.parametrize("unit", ["matrix_engine", "cores"])
def test_engines_count_the_products_of_adapters_and_attentions(unit: str) -> None:
    """One attojoule per multiply-accumulate of use on the engine, whatever the batches."""
    known = {"engine_mac": "1 aJ/MAC", "engine_idle_mac": "0 aJ/MAC", "cores_power": "0 W"}
    there = machine(**energies(cluster=known))
    lora = 4 * 8 * (2 * (256 + 256) + 2 * (256 + 64) + 3 * (256 + 1024))
    for batch in (8, 16, "all"):
        found = energy(run_of(there, unit=unit, order="direct", batch=batch))
        attention = 4 * 2 * 40 * 40 * 256
        expected = attention + (40 * lora if unit == "matrix_engine" else 0)
        assert found.by_component["matrix_engine"] == expected


@pytest.mark.parametrize("early", [False, True])
def test_the_dma_moves_whole_operands(early: bool) -> None:
    """One attojoule per byte: X, Y, Z, zeroed U, and A and B for every batch and piece."""
    there = machine(**energies(cluster={"tcdm_byte": "1 aJ/B", "cores_power": "0 W"}))
    options = {"unit": "cores", "keep_adapters": "batch", "split": False, "batch": 16}
    found = energy(run_of(there, early_xa=early, **options))
    shapes = [(256, 256)] * 2 + [(256, 64)] * 2 + [(256, 1024)] * 2 + [(1024, 256)]
    each = sum(40 * (i + 2 * o) + 3 * 8 * (i + o) + early * 2 * 40 * 8 for i, o in shapes)
    per_batch = 3  # 40 tokens in batches of 16
    attention = 8 * 32 * 2 * (40 + per_batch * 40)
    assert found.by_component["tcdm"] == 4 * 2 * (each + attention)


def test_units_known_make_a_cluster_draw_no_more_than_as_a_whole() -> None:
    by_unit, whole = (energy(run_of(machine(v), 1, 40)) for v in ("", ":harp_powers"))
    assert "cluster" not in by_unit.by_component
    assert {"cores", "matrix_engine", "tcdm"}.isdisjoint(whole.by_component)
    assert whole.by_component["cluster"] > sum(
        by_unit.by_component[part] for part in ("cores", "matrix_engine")
    )


def test_bytes_between_chips() -> None:
    """A whole vector for every hop of a token: hidden, of keys, or inside the last layers."""
    there = machine(**energies(chip_link={"byte": "1 aJ/B"}))
    run = run_of(there, 1, 40)
    plan = run.schedule.plan
    hops = plan.which(lambda work: work.kind == "hop")
    taken = energy(run).by_task[hops].tolist()
    assert set(taken) <= {64, 256, 1024}
    assert taken.count(256) >= 3
    assert energy(run).by_component["chip_link"] == sum(taken)


@pytest.mark.parametrize("variant", ["mesh", "tree"])
def test_a_byte_is_charged_on_every_edge_that_it_crosses(variant: str) -> None:
    """One transfer from memory at node 0 to one cluster, edge by edge as routed."""
    there = machine(f":{variant}", **energies(link={"byte_hop": "1 aJ/B"}))
    run = run_of(there, 1, 40, share_adapters="never")
    plan, found = run.schedule.plan, energy(run).by_task
    moved = np.flatnonzero(plan.label == plan.labels.index("load a b"))
    sizes = {8 * 2 * (i + o) for i, o in ((256, 256), (256, 64), (256, 1024), (1024, 256))}

    def edges(task: int) -> int:
        return sum("edge" in plan.resources[use].name for use in plan.uses_of(task))

    # whole widths of 64 bytes, each on every edge of the one way, and none for ports
    assert {int(found[t]) / edges(int(t)) for t in moved if found[t]} <= {
        -(-size // 64) * 64 for size in sizes
    }
    assert found[moved].sum() > 0


def test_the_sram_is_read_for_adapters_and_kept_keys() -> None:
    there = machine(**energies(sram={"byte": "1 aJ/B"}))
    run = run_of(there, 1, 40)
    lora = 4 * 2 * 8 * (2 * (256 + 256) + 2 * (256 + 64) + 3 * (256 + 1024))
    kept = 4 * 2 * 40 * 64
    operands = 4 * (256 + 64 + 64)  # all of them multiples of the link's width
    assert energy(run).by_component["sram"] == lora + kept + operands


def test_what_is_there_is_there_on_every_chip() -> None:
    one, four = machine(chips__count=1, tile__count=8), machine()
    assert sram_mib(four) == 4 * sram_mib(one)
    assert tiles_there(four, 0) == 8
    areas = [area_of(each, 8) for each in (one, four)]
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[1].component_um2["cluster"] == 4 * areas[0].component_um2["cluster"]
    assert areas[1].component_um2["tile"] == areas[0].component_um2["tile"]
    whole, part = tdp_uw(four, 8), tdp_uw(one, 8)
    assert whole is not None
    assert part is not None
    assert whole > 3 * part


def test_a_machine_without_energies_says_nothing() -> None:
    found = generated(machine(energy=None), new=2)
    assert found.prefill.energy is None
    assert found.token_pj == ()
    assert "energy" not in found.to_csv()
    assert "energy_pj" in generated(machine(), new=2).to_csv()
