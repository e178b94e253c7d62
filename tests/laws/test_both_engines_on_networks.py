"""SimPy and the compiled engine agree to the picosecond on everything that is bundled."""

import pytest

import hybridsim
from hybridsim.library import machine_names, network_names
from hybridsim.mapping import place
from hybridsim.strategies import STRATEGIES, Job, make_strategy
from tests.carried_out import assert_engines_agree

# adapters of Llama outgrow the scratchpad: only strategies for whole networks cut them in slices
NETWORKS = [name for name in network_names() if not name.startswith("llama")][::2]
for many in ("bert_base", "bert_large"):  # two and four times as many blocks as distilbert
    NETWORKS.remove(many)
# published_tiles has the cluster of ahwa_lora_2026, and other tiles alone
MACHINES = [name for name in machine_names() if name not in ("llm_2026", "published_tiles")]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_engines_agree(network: str, machine: str, strategy: str) -> None:
    net, parts = hybridsim.load(network, machine, {"tile.count": "as_needed"})
    plan = make_strategy(strategy).schedule(Job(place(net, parts), 20)).plan
    assert_engines_agree(plan, parts)
