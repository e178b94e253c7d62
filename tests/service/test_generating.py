"""Requests that generate tokens, and where adapters of many tasks are kept."""

from functools import cache
from typing import Any

import pytest
from typer.testing import CliRunner

from hybridsim import Machine, generate
from hybridsim.arch import load_machine
from hybridsim.cli.app import app
from hybridsim.errors import CapacityError, InputError
from hybridsim.generation import GenerationTimes, strategy_for
from hybridsim.library import network_path
from hybridsim.service import Request, Service, Store, run_service
from hybridsim.service.residency import tier_of
from hybridsim.strategies import make_strategy
from hybridsim.workload import AdapterSpec, Network, load_network, network_from_config

pytestmark = pytest.mark.usefixtures("times_once")

CONFIG = {
    "model_type": "llama", "vocab_size": 1000, "hidden_size": 256, "intermediate_size": 1024,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}  # fmt: skip
ADAPTER_BYTES = 2 * 4 * 8 * (2 * (256 + 256) + 2 * (256 + 64) + 3 * (256 + 1024))


@pytest.fixture(scope="module")
def network() -> Network:
    adapters = AdapterSpec(rank=8, exclude=("lm_head",))
    return network_from_config(
        CONFIG, name="small", source="test", head="lm_head", adapters=adapters
    )


@cache
def machine(**changes: Any) -> Machine:
    overrides = {"tile.count": 2, "chips.count": 4}
    return load_machine(
        "llm_2026", overrides | {key.replace("__", "."): v for key, v in changes.items()}
    )


def served(network: Network, requests: list[Request], **options: Any) -> Service:
    return run_service(network, options.pop("there", machine()), requests, **options)


def test_a_request_takes_what_its_generation_takes(network: Network) -> None:
    alone = generate(network, machine(), prompt=20, new=5)
    found = served(network, [Request(0, "a", 20, 5)])
    swap = found.requests["start_ps"].iloc[0]
    assert found.requests["end_ps"].iloc[0] - swap == alone.latency_ps
    first = found.requests["first_token_ps"].iloc[0]
    assert first - swap == alone.time_to_first_token_ps
    assert found.result.first_token_ms == dict.fromkeys(("p50", "p90", "p99", "max"), first / 1e9)
    assert found.result.tokens_per_s == pytest.approx(5e12 / found.requests["end_ps"].iloc[0])


def test_times_of_generations_are_those_of_generate_whatever_was_asked_before(
    network: Network,
) -> None:
    times = GenerationTimes(network, machine())
    for prompt, new, batch in ((20, 6, 1), (9, 4, 1), (22, 1, 1), (9, 4, 3), (20, 6, 1)):
        found = generate(network, machine(), prompt=prompt, new=new, sequences=batch)
        expected = (found.time_to_first_token_ps, found.latency_ps)
        assert times.times(prompt, new, batch) == expected


def test_alike_requests_run_together_and_others_one_after_the_other(network: Network) -> None:
    requests = [Request(0, "a", 20, 4), Request(0, "a", 9, 3), Request(0, "a", 20, 4)]
    found = served(network, requests, most=3)
    times = GenerationTimes(network, machine())
    both, other = times.times(20, 4, 2), times.times(9, 3)
    table = found.requests
    start = table["start_ps"].iloc[0]
    assert (table["end_ps"] - start).tolist() == [both[1], both[1] + other[1], both[1]]
    first = [both[0], both[1] + other[0], both[0]]
    assert (table["first_token_ps"] - start).tolist() == first
    assert any("run together" in note for note in found.result.notes)


def test_tasks_of_a_mixed_batch_do_not_share_tokens(network: Network) -> None:
    requests = [Request(0, task, 20, 4) for task in "ab"]
    found = served(network, requests, most=2, mix="mixed")
    one = GenerationTimes(network, machine()).times(20, 4)[1]
    assert found.result.batches == 1
    assert found.result.service_mean_ms == 2 * one / 1e9


def test_requests_that_only_read_may_come_between(network: Network) -> None:
    requests = [Request(0, "a", 20, 4), Request(0, "a", 20)]
    found = served(network, requests, most=2)
    assert found.requests["first_token_ps"].isna().tolist() == [False, True]
    assert (found.requests["end_ps"].diff().iloc[1:] > 0).all()


def test_a_cache_that_fits_nowhere_is_refused(network: Network) -> None:
    there = machine(memory__dram__size="6 MiB", memory__sram__size="128 KiB")
    with pytest.raises(CapacityError, match=r"keys and values of .* take"):
        served(network, [Request(0, "a", 2000, 64)] * 64, most=64, there=there)


@pytest.mark.parametrize(
    ("scratchpads", "store", "tier"),
    [(300, 1, "tcdm"), (299, 200, "sram"), (299, 199, "dram"), (0, 300, "sram")],
)
def test_tiers_by_room(scratchpads: int, store: int, tier: str) -> None:
    sizes = {"a": 200, "b": 100}
    assert tier_of(sizes, scratchpads, store) == tier


def test_a_filled_store_fetches_nothing() -> None:
    store = Store.filled({"a": 5, "b": 7})
    assert store.use(["b"]) == store.use(["a", "b"]) == ()
    assert set(store.held) == {"a", "b"}


@pytest.mark.parametrize(("tasks", "tier", "swaps"), [(2, "tcdm", 0), (40, "sram", 40)])
def test_adapters_that_fit_the_scratchpad_are_never_swapped(
    tasks: int, tier: str, swaps: int
) -> None:
    """A task takes 8 x 256 numbers, 4 KiB, of the 128 KiB that the work uses in part."""
    layer = load_network(network_path("layer_128x128"))
    requests = [Request(i * 10**9, f"task{i % tasks}", 32) for i in range(40)]
    there = load_machine("ahwa_lora_2026:served")
    found = run_service(layer, there, requests, policy="none").result
    assert (found.tier, found.swaps) == (tier, swaps)
    assert found.swapped_bytes == swaps * 4096


def test_what_exceeds_the_store_comes_with_every_run(network: Network) -> None:
    """Each chip swaps as much as its store holds; a strategy that cannot bring the rest fails."""
    there = machine(memory__sram__size="64 KiB", cluster__count=1)
    requests = [Request(0, "a", 8, 2), Request(0, "b", 8, 2)]
    found = served(network, requests, there=there).result
    assert found.tier == "dram"
    assert found.swaps == 2
    assert found.adapter_bytes == dict.fromkeys("ab", ADAPTER_BYTES)
    assert 0 < found.swapped_bytes < 2 * ADAPTER_BYTES
    strategy = strategy_for({"adapters_by_capacity": False})
    with pytest.raises(CapacityError, match="but the store holds 64 KiB"):
        served(network, requests, there=there, strategy=strategy)


def test_chips_fetch_their_own_layers_at_the_same_time(network: Network) -> None:
    there = machine(cluster__count=1)
    found = served(network, [Request(0, "a", 8, 2)], there=there)
    assert found.result.tier == "sram"
    assert found.result.swapped_bytes == ADAPTER_BYTES
    assert there.memory is not None
    assert there.memory.dram is not None
    assert found.result.lost_to_swaps_ms < there.link.transfer_ps(ADAPTER_BYTES) / 1e9


def test_the_command_serves_a_decoder(tmp_path: Any) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("arrival,task,prompt,output\n0 s,a,16,3\n1 ms,b,16,3\n")
    call = ["serve", "gpt2", "harp_2026:gpt2", "--requests", str(trace)]
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 0, run.output
    for word in ("first token p99", "tokens/s", "adapters kept in"):
        assert word in run.stdout
    trace.write_text("arrival,task,prompt,output\n1 s,a,16,3\n1 ms,b,16,3\n")
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 2
    assert "the line before arrives at 1 s; sort the requests by arrival" in run.stderr
    assert run.stderr.count("\n") == 1


def test_random_requests_may_generate() -> None:
    call = ["serve", "gpt2", "harp_2026:gpt2", "--count", "3", "--tokens", "8", "--output", "2"]
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 0, run.output
    assert "generated" in run.stdout
    run = CliRunner().invoke(app, [*call[:-1], "-1"])
    assert run.exit_code == 2
    assert "--output: found -1" in run.stderr


def test_strategies_for_layers_cannot_generate(network: Network) -> None:
    with pytest.raises(InputError, match="leaves attention out"):
        served(network, [Request(0, "a", 8, 2)], strategy=make_strategy("token_parallel"))
