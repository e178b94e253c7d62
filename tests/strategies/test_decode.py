"""Generating with kept keys and values: what a token costs, and where the cache lies."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import load_machine
from hybridsim.errors import CapacityError, InputError
from hybridsim.mapping import place
from hybridsim.plan import Plan
from hybridsim.strategies import Job, Schedule, make_strategy
from tests.carried_out import assert_engines_agree, carried_out

MACHINE = load_machine("harp_2026:gpt2")
WIDTH = 768
"""Elements of all heads of a GPT-2 small."""


def decoded(
    past: int,
    network: str = "gpt2",
    machine: str = "harp_2026:gpt2",
    strategy: str = "xb_pipe",
    tokens: int = 1,
    **overrides: Any,
) -> hybridsim.Result:
    loaded, there = hybridsim.load(network, machine, overrides)
    return hybridsim.simulate(
        loaded.without_adapters(), there, make_strategy(strategy), tokens=tokens, past=past
    )


def scheduled(past: int, tokens: int = 1, sram: str = "8 MiB") -> Schedule:
    loaded, there = hybridsim.load("gpt2", "harp_2026:gpt2", {"memory.sram.size": sram})
    job = Job(place(loaded.without_adapters(), there), tokens, past=past)
    return make_strategy("xb_pipe", {"batch": 8}).schedule(job)


def tasks(plan: Plan, label: str) -> list[int]:
    return [task for task in range(len(plan)) if plan.labels[plan.label[task]] == label]


def dram_ps(result: hybridsim.Result) -> int:
    return {row.name: row.busy_ps for row in result.resources}["dram"]


@pytest.mark.parametrize("strategy", ["serial", "il_par", "il_pipe", "xl_pipe", "xb_pipe"])
def test_more_past_never_costs_less(strategy: str) -> None:
    latencies = [decoded(past, strategy=strategy).latency_ps for past in (0, 1, 127, 128, 1023)]
    assert latencies == sorted(latencies)
    assert latencies[0] < latencies[-1]


def test_only_attention_depends_on_the_past() -> None:
    short, long = decoded(7), decoded(511)
    assert [layer.latency_ps for layer in short.layers if "attn" not in layer.name] == [
        layer.latency_ps for layer in long.layers if "attn" not in layer.name
    ]
    changed = {a.kind for a, b in zip(short.ops, long.ops, strict=True) if a.busy_ps != b.busy_ps}
    assert changed == {"attention"}


def test_a_token_after_many_costs_less_than_all_at_once() -> None:
    assert decoded(127).latency_ps < decoded(0, tokens=128).latency_ps


def test_the_last_token_attends_to_all_before_it() -> None:
    """One token after 127 attends to 128: the same attention as the last of 128 at once."""
    loaded, _ = hybridsim.load("gpt2", "harp_2026:gpt2")
    attention = next(op for op in loaded.ops if op.kind == "attention")
    assert loaded.keys(attention, 1, 127) == loaded.keys(attention, 128) == 128


@given(past=st.integers(1, 4000), sram=st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_the_cache_that_does_not_fit_is_fetched(past: int, sram: int) -> None:
    """The first floor(SRAM / bytes of one) stay; 2 (past + 1) x 768 bytes each for the others."""
    schedule = scheduled(past, sram=f"{sram} MiB")
    plan = schedule.plan
    each = 2 * WIDTH + 2 * (past + 1) * WIDTH
    fetched = 0 if 12 * each <= sram * 2**20 else 12 - min(12, sram * 2**20 // each)
    assert len(tasks(plan, "load kv")) == fetched
    assert any("come from the DRAM" in note for note in schedule.notes) == bool(fetched)


def test_a_fetch_waits_for_the_attention_whose_place_it_takes() -> None:
    """3 MiB hold the keys and values of one attention over 1024 tokens; two fit 3.2 MB."""
    plan = scheduled(1023, sram="4 MiB").plan
    timeline = carried_out(plan, MACHINE)
    loads = tasks(plan, "load kv")
    attends = {plan.ops[plan.op[i]]: int(timeline.end[i]) for i in tasks(plan, "attend")}
    assert len(loads) == 10
    for task in loads:
        block = int(plan.ops[plan.op[task]].split(".")[0].removeprefix("block"))
        assert timeline.ready[task] >= attends[f"block{block - 2}.attn"]
        assert timeline.end[task] <= attends[f"block{block}.attn"]


def test_less_sram_is_never_faster() -> None:
    sizes = ["1 MiB", "2 MiB", "4 MiB", "8 MiB", "16 MiB", "32 MiB"]
    found = [decoded(1023, **{"memory.sram.size": size}) for size in sizes]
    latencies = [result.latency_ps for result in found]
    assert latencies == sorted(latencies, reverse=True)
    assert dram_ps(found[-1]) == dram_ps(decoded(0))  # the tables alone
    assert not any("DRAM" in note for note in found[-1].notes)
    assert "come from the DRAM" in found[0].notes[0]


def test_too_many_keys_for_a_scratchpad_go_in_warps() -> None:
    """1024 keys of 64 elements in fp16 fill the 128 KiB of a cluster."""
    short, long = decoded(900), decoded(1023)
    assert not any("keys does not fit" in note for note in short.notes)
    assert "1024 keys does not fit a cluster in the pipelined form" in long.notes[-1]
    assert all(op.tcdm_bytes <= 128 * 1024 for op in long.ops)


def test_a_cache_without_any_place_is_refused() -> None:
    with pytest.raises(CapacityError, match="keys and values of gpt2 do not fit"):
        decoded(4095, **{"memory.dram": None, "free_ops": []})


def test_the_engines_agree_on_a_generated_token() -> None:
    plan = scheduled(1023, tokens=20).plan
    assert_engines_agree(plan, MACHINE)


def test_adapters_work_on_the_new_token_alone() -> None:
    loaded, there = hybridsim.load("gpt2", "harp_2026:gpt2")
    result = hybridsim.simulate(loaded, there, make_strategy("xb_pipe"), tokens=1, past=63)
    assert result.past == 63
    assert {layer.tokens for layer in result.layers} == {1}
    assert result.overhead_percent > 0
    assert hybridsim.Result.from_json(result.to_json()) == result


def test_a_machine_without_memory_model_decodes() -> None:
    assert decoded(64, machine="ahwa_lora_2026").latency_ps > 0


def test_a_decoder_reads_its_encoder_once() -> None:
    """Keys and values of the encoder's 512 rows are made with the first token, and kept."""
    first = decoded(0, "t5_small_decoder", "harp_2026:t5")
    later = decoded(1, "t5_small_decoder", "harp_2026:t5")
    assert later.latency_ps < first.latency_ps
    crossing = {"layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v"}
    own = [layer for layer in first.layers if layer.name.partition(".")[2] in crossing]
    assert len(own) == 12
    assert {layer.tokens for layer in own} == {512}
    assert len(first.layers) - len(later.layers) == 12
    assert "encoder_output" in {op.name for op in first.ops}
    assert "encoder_output" not in {op.name for op in later.ops}
    # 512 x 512 B at 800 MiB/s
    assert dram_ps(first) - dram_ps(later) == 512 * 512 * 10**12 // (800 * 2**20)


def test_cross_attention_keeps_its_length() -> None:
    loaded, _ = hybridsim.load("t5_small_decoder", "harp_2026:t5")
    keys = [loaded.keys(op, 3, 10) for op in loaded.ops if op.kind == "attention"]
    assert keys == [13, 512] * 6


@pytest.mark.parametrize(
    ("network", "strategy", "past", "says"),
    [
        ("bert_base", "xb_pipe", 4, "no attention of bert_base is causal"),
        ("t5_small_encoder", "xb_pipe", 4, "take a decoder"),
        ("gpt2", "token_parallel", 4, "leaves attention out"),
        ("gpt2", "xb_pipe", -1, "give 0 to"),
        ("gpt2", "xb_pipe", 2**21, "give 0 to"),
    ],
)
def test_a_past_of_no_sense_is_refused(network: str, strategy: str, past: int, says: str) -> None:
    loaded, there = hybridsim.load(network, "harp_2026:gpt2")
    with pytest.raises(InputError, match=says):
        hybridsim.simulate(loaded, there, make_strategy(strategy), tokens=1, past=past)


def test_machines_keep_their_free_ops() -> None:
    assert "name:embeddings.add" not in load_machine("harp_2026:gpt2").free_ops
