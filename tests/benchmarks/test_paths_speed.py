"""How fast long sequences and whole networks go, from loaded objects: ``pytest -m benchmark``.

Time is that of the process, as the machine may be shared; the best of several rounds counts.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

import hybridsim
from hybridsim import Machine, make_strategy
from hybridsim.engines import engine
from hybridsim.engines.looped import Looped
from hybridsim.mapping import place
from hybridsim.plan import Outline
from hybridsim.strategies import ADAPTER_STRATEGIES, Job
from hybridsim.strategies.job import carry_out
from hybridsim.work import price
from tests.carried_out import carried_out

pytestmark = pytest.mark.benchmark(timer=time.process_time, disable_gc=True)

STRATEGIES = [name for name in ADAPTER_STRATEGIES if name != "auto"]


def best(function: Callable[[], Any], rounds: int) -> float:
    """Return the least time of the process that some rounds took [s], after one to warm up."""
    function()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


def by_states(outline: Outline, machine: Machine) -> int:
    """Return the last end of an outline by a table of states that begins empty [ps]."""
    looped = Looped(outline)
    return int(looped.makespans(price(looped.works, machine).time_ps[:, None])[0])


@pytest.mark.benchmark(group="one layer, 131,072 tokens")
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_long_sequence_costs_no_more(benchmark: Any, name: str) -> None:
    """Decide, outline and run; 131,072 tokens take less than twice what 128 take."""
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    strategy, mapping = make_strategy(name, {"batch": 8}), place(network, machine)

    def run(tokens: int) -> int:
        return by_states(strategy.outline(Job(mapping, tokens)).outline, machine)  # type: ignore[attr-defined]

    short = best(lambda: run(128), 50)
    long = best(lambda: run(131_072), 50)
    benchmark.pedantic(run, (131_072,), rounds=20, warmup_rounds=2)
    benchmark.extra_info["growth_from_128"] = round(long / short, 2)
    assert long < 2 * short


@pytest.mark.benchmark(group="one layer, 131,072 tokens")
def test_a_long_sequence_laid_out(benchmark: Any) -> None:
    """The same with every task executed; the ratio to the one above is what jumping saves."""
    network, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    strategy, mapping = make_strategy("token_parallel", {"batch": 8}), place(network, machine)

    def run() -> int:
        return carried_out(strategy.schedule(Job(mapping, 131_072)).plan, machine).makespan

    benchmark.pedantic(run, rounds=5, warmup_rounds=1)


def plan_and_run(name: str, machine_name: str, strategy: str, options: dict[str, Any], path: str):
    network, machine = hybridsim.load(name, machine_name)
    if machine_name == "harp_2026":
        network = network.without_adapters()
    strategy, mapping = make_strategy(strategy, options), place(network, machine)

    def run() -> int:
        job = Job(mapping, 128)
        if path == "looped":
            return by_states(strategy.outline(job).outline, machine)  # type: ignore[attr-defined]
        return carry_out(strategy.schedule(job), machine, engine(path)).makespan

    return run


@pytest.mark.benchmark(group="MobileBERT, 24 blocks, 128 tokens, batch 8: plan and run")
@pytest.mark.parametrize("path", ["compiled", "reference"])
def test_whole_mobilebert(benchmark: Any, path: str) -> None:
    """Every op on the HARP machine; aim 20 ms compiled."""
    run = plan_and_run("mobilebert", "harp_2026", "xb_pipe", {"batch": 8}, path)
    benchmark.pedantic(run, rounds=3 if path == "reference" else 20, warmup_rounds=2)


@pytest.mark.benchmark(group="MobileBERT with adapters, 128 tokens, batch 8: plan and run")
@pytest.mark.parametrize("path", ["compiled", "reference", "looped"])
def test_adapted_mobilebert(benchmark: Any, path: str) -> None:
    run = plan_and_run("mobilebert", "ahwa_lora_2026", "token_parallel", {"batch": 8}, path)
    benchmark.pedantic(run, rounds=3 if path == "reference" else 20, warmup_rounds=2)


@pytest.mark.benchmark(group="BERT-base, 128 tokens: plan and run")
@pytest.mark.parametrize("path", ["compiled", "reference"])
def test_bert_base(benchmark: Any, path: str) -> None:
    """Plan and run of 12 blocks; aim 0.1 s compiled and 5 s on SimPy (3D-CiM: 139.9 s)."""
    run = plan_and_run("bert_base", "ahwa_lora_2026", "token_parallel", {}, path)
    benchmark.pedantic(run, rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("path", ["compiled", "reference"])
def test_memory_of_bert_base(benchmark: Any, path: str) -> None:
    """Peak of a whole process, from import to result; aim 300 MB (3D-CiM: 5.3 GB).

    The kernel's count of this process alone: that of a child also holds what its parent had.
    """
    program = (
        "import hybridsim; n, m = hybridsim.load('bert_base', 'ahwa_lora_2026');"
        f"hybridsim.simulate(n, m, tokens=128, engine='{path}');"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", program]
    found = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "text": True, "check": True}, rounds=1
    )
    benchmark.extra_info["peak_MB"] = round(int(found.stdout) / 1024)
