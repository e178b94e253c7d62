"""SimPy and the compiled engine agree to the picosecond on everything that is bundled."""

from itertools import product

import pytest

import hybridsim
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import place
from hybridsim.strategies import STRATEGIES, Job, make_strategy
from tests.carried_out import assert_engines_agree
from tests.sampling import every

DEEP = ("bert_base", "bert_large")
"""Two and four times as many blocks as distilbert."""
# adapters of Llama outgrow the scratchpad: only strategies for whole networks cut them in slices
NETWORKS = [name for name in network_names() if not name.startswith("llama")][::2]
# published_tiles has the cluster of ahwa_lora_2026, and other tiles alone
MACHINES = [name for name in machine_names() if name not in ("llm_2026", "published_tiles")]


@pytest.mark.parametrize(
    ("network", "machine", "strategy"),
    every(5, product([name for name in NETWORKS if name not in DEEP], MACHINES, STRATEGIES)),
)
def test_the_engines_agree(network: str, machine: str, strategy: str) -> None:
    assert_agreed(network, machine, strategy, tokens=20)


@pytest.mark.parametrize("strategy", [*STRATEGIES][1::3])
@pytest.mark.parametrize("network", DEEP)
def test_the_engines_agree_on_many_blocks(network: str, strategy: str) -> None:
    assert_agreed(network, "ahwa_lora_2026", strategy, tokens=5)


def assert_agreed(network: str, machine: str, strategy: str, tokens: int) -> None:
    net, parts = hybridsim.load(network, machine, {"tile.count": "as_needed"})
    plan = make_strategy(strategy).schedule(Job(place(net, parts), tokens)).plan
    assert_engines_agree(plan, parts)
