"""Six strategies side by side on BERT-base, once everything is compiled."""

import pytest

import hybridsim

pytestmark = pytest.mark.benchmark
SIX = ["token_parallel", "early_xa", "separate_add", "swapped", "split_cores", "cross_layer"]


def test_six_strategies_on_bert_base(benchmark) -> None:
    """72 layers, 128 tokens each; the aim is below a second."""
    network, machine = hybridsim.load("bert_base", "ahwa_lora_2026")
    hybridsim.compare(network, machine, SIX, 128)
    found = benchmark(hybridsim.compare, network, machine, SIX, 128)
    assert len(found.rows) == 6


def test_auto_on_bert_base(benchmark) -> None:
    """The search of all shapes is kept from call to call; what is timed are whole networks."""
    network, machine = hybridsim.load("bert_base", "ahwa_lora_2026")
    auto = hybridsim.Auto()
    hybridsim.simulate(network, machine, auto, 128)
    result = benchmark(hybridsim.simulate, network, machine, auto, 128)
    assert result.notes
