"""A whole trace on a whole machine: what each policy costs, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from hybridsim.arch import load_machine
from hybridsim.cli.app import app
from hybridsim.errors import InputError
from hybridsim.library import network_path
from hybridsim.service import Request, poisson_requests, run_service
from hybridsim.simulation import simulate
from hybridsim.strategies import make_strategy
from hybridsim.workload import load_network


@pytest.fixture(scope="module")
def network():
    return load_network(network_path("minilm_l6"))


@pytest.fixture(scope="module")
def machine():
    return load_machine("ahwa_lora_2026:served")


def test_one_request_takes_one_simulation_and_one_fetch(network, machine):
    found = run_service(network, machine, [Request(0, "qa", 64)]).result
    alone = simulate(network, machine, tokens=64).latency_ps
    fetched = network.adapter_parameters * 2
    assert found.swapped_bytes == fetched
    assert found.service_mean_ms == alone / 1e9
    assert found.lost_to_swaps_ms == machine.memory.dram.transfer_ps(fetched) / 1e9
    assert found.latency_ms["p50"] == found.service_mean_ms + found.lost_to_swaps_ms


def test_a_batch_of_one_task_is_one_stream_of_tokens(network, machine):
    requests = [Request(0, "qa", 64)] * 3
    found = run_service(network, machine, requests, most=3).result
    assert found.batches == 1
    assert found.service_mean_ms == simulate(network, machine, tokens=192).latency_ps / 1e9


def test_a_mixed_batch_costs_no_more_than_its_tasks_one_after_the_other(network, machine):
    requests = [Request(0, task, 16) for task in ("qa", "sst2", "mnli")]
    mixed = run_service(network, machine, requests, most=3, mix="mixed").result
    apart = run_service(network, machine, requests, most=3).result
    assert mixed.batches == 1
    assert mixed.service_mean_ms <= 3 * apart.service_mean_ms
    assert mixed.service_mean_ms >= simulate(network, machine, tokens=48).latency_ps / 1e9


def test_times_do_not_depend_on_the_memory_of_the_served_variant(network, machine):
    plain = simulate(network, load_machine("ahwa_lora_2026"), tokens=64)
    assert simulate(network, machine, tokens=64).latency_ps == plain.latency_ps


def test_requests_that_generate_are_refused_for_encoders(network, machine):
    requests = [Request(0, "qa", 64, 5)]
    with pytest.raises(InputError, match=r"no attention of minilm_l6 is causal"):
        run_service(network, machine, requests)
    with pytest.raises(InputError, match="generates 5 tokens; token_parallel leaves attention"):
        run_service(network, machine, requests, strategy=make_strategy("token_parallel"))


def test_a_machine_without_memory_is_refused(network):
    with pytest.raises(InputError, match=r"no memory\.sram"):
        run_service(network, load_machine("ahwa_lora_2026"), [Request(0, "qa", 64)])


def _serve(*arguments):
    return CliRunner().invoke(app, ["serve", "minilm_l6", "ahwa_lora_2026:served", *arguments])


def test_the_command_answers_as_data_and_in_files(tmp_path):
    found = _serve("--count", "50", "--tokens", "16", "--json", "--out", str(tmp_path / "out"))
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["requests"] == 50
    assert answer["swaps"] >= answer["tasks"] == 8
    assert json.loads((tmp_path / "out" / "service.json").read_text()) == answer
    assert len((tmp_path / "out" / "requests.csv").read_text().splitlines()) == 51


def test_only_tasks_that_are_asked_for_count_in_the_order_in_which_they_come(network, machine):
    requests = poisson_requests([*"abcdefgh"], 1, 3, 8, seed=3)
    found = run_service(network, machine, requests).result
    expected = list(dict.fromkeys(request.task for request in requests))
    assert [*found.adapter_bytes] == expected
    assert expected != sorted(expected)


def test_the_table_names_swaps_and_percentiles():
    found = _serve("--count", "20", "--tokens", "16", "--policy", "none")
    assert found.exit_code == 0, found.output
    for word in ("p50", "p99", "swaps", "lost to swaps", "policy none"):
        assert word in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "fifo"), "--policy: 'fifo' is not known"),
        (("--tasks", "0"), "--tasks: found 0"),
        (("--rate", "0"), "rate: found 0"),
        (("--rate", "1e-7"), "rate: found 1e-07 requests per second"),
        (("--rate", "1e-300"), "rate: found 1e-300 requests per second"),
        (("--load", "nan"), "--load: found 'nan'"),
        (("--seed", "-1"), "--seed: found -1; write a whole number from 0"),
        (("--count", "100000000000000"), "--count: found 100000000000000"),
        (("--tasks", "100000000000"), "--tasks: found 100000000000; write a whole number from 1"),
        (("--requests", "/dev/zero"), "/dev/zero: is a device or a pipe"),
        (("--requests", "nothing.csv", "--too-long", "drop"), "--too-long: 'drop' is not known"),
        (("--target-token", "5"), "--target-token: found '5'; write a time above 0"),
        (("--mix", "continuous"), "no attention of minilm_l6 is causal"),
        (("--exact",), "--exact, --interpolate and --no-reuse: are of continuous batching"),
        (("--adapter", "qa"), "--adapter: found 'qa'; write task=FOLDER"),
        (("--requests", "nothing.csv"), "nothing.csv: no such file"),
    ],
)
def test_bad_requests_end_with_one_sentence(arguments, message):
    small = () if "--requests" in arguments else ("--count", "2", "--tokens", "8")
    found = _serve(*small, *arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
