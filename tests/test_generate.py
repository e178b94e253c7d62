"""Generating text: sums, first token, tokens one by one, caches, and what is refused."""

import csv
import io
import json
from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

import hybridsim
from hybridsim import Generation, generate
from hybridsim.cli.app import app
from hybridsim.errors import CapacityError, InputError
from hybridsim.generation import strategy_for
from hybridsim.workload import AdapterSpec, Network, network_from_config

pytestmark = pytest.mark.usefixtures("few_samples")

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 1024,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip
CHIPS = {"tile.count": 2, "chips.count": 4}


@cache
def small(head: Any = "lm_head") -> Network:
    adapters = AdapterSpec(rank=8, exclude=("lm_head",) if head == "lm_head" else ())
    return network_from_config(CONFIG, name="small", source="test", head=head, adapters=adapters)


@cache
def machine(**changes: Any) -> hybridsim.Machine:
    overrides = CHIPS | {key.replace("__", "."): value for key, value in changes.items()}
    return hybridsim.load_machine("llm_2026", overrides)


@cache
def generated(**options: Any) -> Generation:
    return generate(small(), machine(), **{"prompt": 40, "new": 9} | options)


def test_the_prompt_and_every_token_are_runs_of_their_own() -> None:
    """As simulated one by one, without any template."""
    found = generated()
    strategy = strategy_for({})
    first = hybridsim.simulate(small(), machine(), strategy, 40)
    assert found.time_to_first_token_ps == first.latency_ps
    assert found.prefill.yardstick_ps == first.yardstick_ps
    for index, (token, bare) in enumerate(
        zip(found.token_ps, found.yardstick_token_ps, strict=True)
    ):
        one = hybridsim.simulate(small(), machine(), strategy, 1, past=40 + index)
        assert (token, bare) == (one.latency_ps, one.yardstick_ps)
    assert len(found.token_ps) == 8


def test_the_whole_is_the_sum_of_its_tokens() -> None:
    found = generated(sequences=3)
    assert found.latency_ps == found.time_to_first_token_ps + sum(found.token_ps)
    assert found.yardstick_ps == found.prefill.yardstick_ps + sum(found.yardstick_token_ps)
    assert found.tokens_per_s == pytest.approx(27e12 / found.latency_ps)
    later = len(found.token_ps)
    assert found.decode_tokens_per_s == pytest.approx(3e12 * later / sum(found.token_ps))
    assert found.decode is not None
    assert found.decode.latency_ps == sum(found.token_ps) // 8
    for phase in (found.prefill, found.decode):
        for share in (phase.critical_path_share, phase.yardstick_critical_path_share):
            assert sum(share.values()) == pytest.approx(1)
            assert list(share.values()) == sorted(share.values(), reverse=True)


def test_adapters_cost_in_both_phases_and_nothing_without_them() -> None:
    found = generated()
    assert found.decode is not None
    assert found.prefill.overhead_percent > 0
    assert found.decode.overhead_percent > 0
    bare = generate(small().without_adapters(), machine(), prompt=40, new=9)
    assert bare.overhead_percent == 0
    assert bare.token_ps == bare.yardstick_token_ps == found.yardstick_token_ps


def test_the_cache_by_hand() -> None:
    """2 x 4 blocks x 2 heads x 32 elements of a byte, for 40 + 8 tokens of 5 requests."""
    found = generated(sequences=5)
    assert found.cache.total_bytes == 2 * 4 * 2 * 32 * (40 + 8) * 5
    assert (found.cache.outside_bytes, found.cache.where) == (0, "SRAM")


def test_a_cache_that_moves_to_the_dram_on_the_way() -> None:
    """The SRAM of a chip holds keys and values of fewer tokens than are generated."""
    there = hybridsim.load_machine(
        "llm_2026", {"chips": None, "tile.count": 40, "memory.sram.size": "25 KiB"}
    )
    options = {"adapters_by_capacity": False}
    found = generate(small(), there, prompt=20, new=60, strategy=strategy_for(options))
    strategy = strategy_for(options)
    for index in (0, 20, 40, 58):
        one = hybridsim.simulate(small(), there, strategy, 1, past=20 + index)
        assert found.token_ps[index] == one.latency_ps
    assert found.cache.where == "SRAM and DRAM"
    # block by block, from a whole number of blocks on, each with 79 tokens
    assert found.cache.outside_bytes % (2 * 2 * 32 * 79) == 0
    jumps = [b - a for a, b in zip(found.token_ps, found.token_ps[1:], strict=False)]
    assert max(jumps) > 20 * (sorted(jumps)[len(jumps) // 2] + 1)


def test_reserved_strategies_take_no_template_and_give_the_same_form() -> None:
    found = generated(new=3, strategy=strategy_for({}, "xb_pipe"))
    one = hybridsim.simulate(small(), machine(), strategy_for({}, "xb_pipe"), 1, past=41)
    assert found.token_ps[1] == one.latency_ps


def test_both_engines_give_the_same_generation() -> None:
    compiled, reference = (generated(new=3, engine=name) for name in ("compiled", "reference"))
    assert compiled == reference


def test_one_token_has_no_decode() -> None:
    found = generated(new=1)
    assert (found.decode, found.token_ps, found.decode_tokens_per_s) == (None, (), 0.0)
    assert found.latency_ps == found.time_to_first_token_ps


def test_a_network_without_a_head_says_so() -> None:
    found = generate(small("none"), machine(), prompt=8, new=2)
    assert any("no language model head" in note for note in found.notes)
    assert not any("no language model head" in note for note in generated(new=2).notes)


def test_it_reads_back_and_its_table_has_a_row_per_token() -> None:
    found = generated()
    assert Generation.from_json(found.to_json()) == found
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [int(row["latency_ps"]) for row in rows] == [found.prefill.latency_ps, *found.token_ps]
    assert [int(row["past_tokens"]) for row in rows] == list(range(40, 49))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"prompt": 0}, "prompt: found 0; give 1 to"),
        ({"new": 0}, "new: found 0; give 1 to"),
        ({"sequences": 5000}, "sequences: found 5000; give 1 to 4096"),
        ({"prompt": 4000, "new": 200}, r"are 4200; small allows 4096; lower the prompt"),
    ],
)
def test_numbers_out_of_range(options: dict[str, int], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        generated(**options)


def test_an_encoder_generates_nothing() -> None:
    network = hybridsim.load_network(hybridsim.library.network_path("minilm_l6"))
    with pytest.raises(InputError, match=r"no attention of minilm_l6 is causal.*take a decoder"):
        generate(network, machine())


def test_a_cache_that_outgrows_the_dram() -> None:
    with pytest.raises(CapacityError, match=r"take .* on chip \d of llm_2026, which has .*lower"):
        generate(small(), machine(memory__dram__size="1 MiB", memory__sram__size="64 KiB"),
                 prompt=2000, new=2, sequences=64)  # fmt: skip


def test_too_few_chips() -> None:
    with pytest.raises(CapacityError, match=r"raise chips.count to \d+"):
        generate(small(), machine(chips__count=2))


def test_the_command(tmp_path: Any) -> None:
    call = ["generate", "gpt2", "harp_2026:gpt2", "--prompt", "16", "--new", "3"]
    run = CliRunner().invoke(app, [*call, "--json"])
    assert run.exit_code == 0
    document = json.loads(run.stdout)
    network, there = hybridsim.load("gpt2", "harp_2026:gpt2")
    found = generate(network, there, prompt=16, new=3)
    assert document == found.document()
    run = CliRunner().invoke(app, [*call, "--out", str(tmp_path / "there")])
    assert run.exit_code == 0
    assert "first token" in run.stdout
    assert (tmp_path / "there" / "tokens.csv").read_text() == found.to_csv()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["bert_base", "llm_2026"], "no attention of bert_base is causal"),
        (["gpt2", "llm_2026", "--strategy", "token_parallel"], "leaves attention out"),
        (["llama_3_1_8b_lm", "llm_2026", "--set", "chips.count=5"], "raise chips.count to 9"),
        (["gpt2", "llm_2026", "--prompt", "2000"], "gpt2 allows 1024"),
    ],
)
def test_the_command_refuses(call: list[str], message: str) -> None:
    run = CliRunner().invoke(app, ["generate", *call])
    assert run.exit_code == 2
    assert message in run.stderr
    assert run.stdout == ""


@pytest.mark.slow
def test_llama_3_1_8b() -> None:
    """What docs/generation.md says: prompt 512, 128 tokens, rank 16 on every linear layer."""
    network, there = hybridsim.load("llama_3_1_8b_lm", "llm_2026")
    found = generate(network, there)
    assert found.decode is not None
    assert found.cache.total_bytes == 2 * 32 * 8 * 128 * 639
    assert (found.prefill.bound, found.decode.bound) == ("attend", "attend")
    assert found.prefill.overhead_percent < 20
    assert 30 < found.decode.overhead_percent < 60
    alone = generate(network, there, new=2, strategy=strategy_for({"share_adapters": "never"}))
    assert alone.decode is not None
    assert alone.decode.bound == "adapt"
    assert alone.decode.overhead_percent > 100
