"""What HARP counts of keys and values of decoders, row by row of what is known of its files."""

from dataclasses import replace

import pytest

from hybridsim.arch import load_machine
from hybridsim.validation.harp import _loaded, executed, read_case, simulated_ms
from hybridsim.validation.harp_decoder import Counted, counted
from hybridsim.validation.harp_rows import Case
from hybridsim.workload import Attention

BLOCKED = ("Serial", "IL-Par", "IL-Pipe", "XL-Pipe", "IL+XL-Pipe")
"""All but XB-pipe: a block waits for the block before."""


def case(model: str, config: str, parameters: str) -> Case:
    cells = {"model": model, "seq_len": "1", "config": config, "chunk": "8"}
    return read_case(cells | {"other_params": parameters})


def reload_ms(config: str, sram: int = 8) -> float:
    """Return by how much the reloads of GPT-2 after 512 tokens make a token longer."""
    found = case("GPT2", config, f"prefill=512(+1);sram_mib={sram}")
    enough = case("GPT2", config, "prefill=512(+1);sram_mib=64")
    return simulated_ms(found) - simulated_ms(enough)


@pytest.mark.parametrize("config", BLOCKED)
def test_reloads_are_not_hidden_behind_a_block(config: str) -> None:
    """GPT-2 after 512 tokens with 8 MiB: two attentions are fetched, 2 x 513 x 768 bytes each at
    800 MiB/s, 0.939331 ms, on top of the time without reloads; within 0.5 % of that time."""
    total = simulated_ms(case("GPT2", config, "prefill=512(+1);sram_mib=8"))
    assert reload_ms(config) == pytest.approx(2 * 0.939331, abs=0.006 * total)
    assert reload_ms(config) <= 2 * 0.939331


def test_reloads_of_xb_pipe_are_fetched_ahead() -> None:
    """The blocks before take 0.8 ms; so much of the two reloads is hidden."""
    assert 0 < reload_ms("XB-pipe") < 1.1


@pytest.mark.parametrize("config", BLOCKED)
def test_a_reload_begins_when_the_block_before_has_ended(config: str) -> None:
    _, schedule, timeline = executed(case("GPT2", config, "prefill=512(+1);sram_mib=8"))
    plan = schedule.plan
    tasks = [(plan.ops[plan.op[i]], plan.labels[plan.label[i]], i) for i in range(len(plan))]
    loads = [(name, i) for name, label, i in tasks if label == "load kv"]
    assert [name.split(".")[0] for name, _ in loads] == ["block10", "block11"]
    for name, load in loads:
        before = int(name.split(".")[0].removeprefix("block")) - 1
        own = [int(timeline.end[i]) for op, _, i in tasks if op.startswith(f"block{before}.")]
        assert timeline.start[load] == max(own)


def test_no_barrier_no_waiting() -> None:
    """The option is what makes the difference."""
    blocked = case("GPT2", "IL-Par", "prefill=512(+1);sram_mib=8")
    free = replace(blocked, options=(("barrier", 0),))
    assert simulated_ms(free) < simulated_ms(blocked) - 0.8


@pytest.mark.parametrize(
    ("keys", "mib", "stay"),
    [(64, 8, 12), (512, 8, 12), (2048, 8, 12), (512, 4, 7), (64, 4, 7), (128, 1, 1)],
)
def test_the_last_attention_says_how_many_stay(keys: int, mib: int, stay: int) -> None:
    """525,312 B of T5's cross-attention: 8 MiB hold 15, so none of 12 is ever fetched."""
    parameters = f"prefill={keys}(+1);sram_mib={mib}"
    _, schedule, _ = executed(case("T5_decoder", "XB-pipe", parameters))
    plan = schedule.plan
    labels = [plan.labels[code] for code in plan.label.tolist()]
    assert labels.count("load kv") == 12 - stay
    assert f"{stay} of 12 stay in the SRAM, 525,312 B each" in schedule.notes[-1]


def test_both_attentions_have_the_same_keys() -> None:
    """A key costs twice as much as in the attention of the tokens alone."""
    network, machine = _loaded("t5_small_decoder", "t5", ())
    found = counted(network, machine, 1, 300)
    assert found is not None
    attentions = [op for op in found.network.ops if isinstance(op, Attention)]
    assert {found.network.keys(op, 1, 300) for op in attentions} == {301}
    assert {network.keys(op, 1, 300) for op in attentions} == {301, 512}


def test_the_output_of_the_encoder_is_fetched_with_every_token() -> None:
    """512 x 512 bytes at 800 MiB/s, and over 512 bits of link per cycle of 2 ns."""
    _, schedule, timeline = executed(case("T5_decoder", "XB-pipe", "prefill=8(+1)"))
    plan = schedule.plan
    fetched = [i for i in range(len(plan)) if plan.ops[plan.op[i]] == "encoder_output"]
    assert len(fetched) == 1
    lasts = int(timeline.end[fetched[0]] - timeline.start[fetched[0]])
    assert lasts / 1e9 == pytest.approx(512 * 512 / (800 * 2**20) * 1e3)
    few = simulated_ms(case("T5_decoder", "XB-pipe", "prefill=8(+1)"))
    assert few == pytest.approx(0.32 + 0.15, abs=0.02)


def test_a_decoder_without_an_encoder_stays_as_it_is() -> None:
    network, machine = _loaded("gpt2", "gpt2", ())
    assert counted(network, machine, 1, 300) is None
    found = counted(*_loaded("t5_small_decoder", "t5", ()), 1, 0)
    assert found is not None
    assert (type(found.network), found.sram) == (Counted, None)


def test_runs_that_are_no_rows_count_as_before() -> None:
    """The encoder's keys are 512 in every run but those of rows."""
    network, _ = _loaded("t5_small_decoder", "t5", ())
    crossing = [op for op in network.ops if isinstance(op, Attention) and not op.causal]
    assert {network.keys(op, 1, 9) for op in crossing} == {512}
    assert load_machine("harp_2026:t5").memory is not None
