"""Adapters of a few tokens that clusters share: times by hand, bytes, engines, and when not."""

from typing import Any

import numpy as np
import pytest

from hybridsim import Machine, generate
from hybridsim.arch import load_machine
from hybridsim.generation import strategy_for
from hybridsim.measure.energy import energy_of_run
from hybridsim.simulation import Run, execute
from hybridsim.workload import AdapterSpec, Network, network_from_config
from tests.carried_out import assert_engines_agree

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 1024, "intermediate_size": 2048,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip


def network() -> Network:
    adapters = AdapterSpec(rank=16, exclude=("lm_head",))
    return network_from_config(
        CONFIG, name="small", source="test", head="lm_head", adapters=adapters
    )


def machine(variant: str = "", **changes: Any) -> Machine:
    overrides = {"tile.count": 16, "chips.count": 2}
    return load_machine(
        f"llm_2026{variant}", overrides | {k.replace("__", "."): v for k, v in changes.items()}
    )


def run_of(there: Machine, tokens: int = 1, past: int = 40, **options: Any) -> Run:
    return execute(network(), there, strategy_for(options), tokens, past=past)


def tasks(run: Run, label: str) -> list[int]:
    plan = run.schedule.plan
    return np.flatnonzero(plan.label == plan.labels.index(label)).tolist()


def test_a_generated_token_gets_faster_and_computes_the_same() -> None:
    shared, alone = (run_of(machine(), share_adapters=each) for each in ("best", "never"))
    assert shared.timeline.makespan < alone.timeline.makespan
    parts = [d.shared for d in shared.schedule.layers if d.shared is not None]
    assert parts
    assert all(d.shared is None for d in alone.schedule.layers)
    for first, second in parts:
        assert first.rank < 16 == second.rank
    assert any("are shared by" in note for note in shared.schedule.notes)
    energies = [each.result.energy for each in (shared, alone)]
    assert energies[0] is not None
    assert energies[1] is not None
    assert energies[0].macs == energies[1].macs


def test_every_cluster_waits_for_all_of_u() -> None:
    run = run_of(machine())
    plan = run.schedule.plan
    products, made, moved = (tasks(run, each) for each in ("u b + y", "x a", "move u"))
    assert len(made) == len(products) == len(tasks(run, "load a b")) > 0
    for task in products[:20]:
        u = [n for n in plan.needs_of(task) if n in moved]
        assert len(u) == 1
        sources = plan.needs_of(int(u[0]))
        assert set(sources) == {each for each in made if plan.op[each] == plan.op[task]}


def test_the_clusters_together_fetch_each_adapter_once() -> None:
    """One attojoule a byte: A and B in all, kept keys, and what attentions read."""
    none = dict.fromkeys(("tile", "link", "chip_link", "dram", "cluster"))
    sizes = []
    for share in ("best", "never"):
        run = run_of(machine(energy=none | {"sram": {"byte": "1 aJ/B"}}), share_adapters=share)
        found = energy_of_run(run.job, run.schedule, run.timeline)
        assert found is not None
        sizes.append(found.by_component["sram"])
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("variant", ["", ":mesh"])
def test_both_engines_agree(variant: str) -> None:
    there = machine(variant)
    assert_engines_agree(run_of(there).schedule.plan, there)


def test_a_prompt_and_a_single_cluster_share_nothing() -> None:
    for run in (run_of(machine(), tokens=64, past=0), run_of(machine(cluster__count=1))):
        assert all(d.shared is None for d in run.schedule.layers)


def test_more_clusters_are_never_slower() -> None:
    times = [run_of(machine(cluster__count=n)).timeline.makespan for n in (1, 2, 4, 16, 64)]
    assert times == sorted(times, reverse=True)


def test_requests_of_a_batch_share_their_adapters_too() -> None:
    shared, alone = (
        generate(
            network(), machine(), prompt=8, new=2, sequences=4,
            strategy=strategy_for({"share_adapters": each}),
        )
        for each in ("best", "never")
    )  # fmt: skip
    assert shared.token_ps[0] < alone.token_ps[0]
    assert shared.prefill.latency_ps == alone.prefill.latency_ps
