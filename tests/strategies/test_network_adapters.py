"""Ways to compute the adapters of a network: the fastest is taken, on clusters that are alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.mapping import PlacedLayer, place
from hybridsim.programs import CHOICES, LoraChoice
from hybridsim.strategies.networks.adapters import NetworkAdapters
from hybridsim.strategies.networks.dataflow import Batches
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.validation.strategies import layer
from hybridsim.workload import Combine, Experts, Input, Network, Router, Select

MACHINE = load_machine("ahwa_lora_2026", {"cluster.count": 4})
SIDES = st.sampled_from([16, 128, 200, 512])


def adapters(
    network: Network, choices: tuple[LoraChoice, ...] = CHOICES
) -> tuple[NetworkAdapters, PlacedLayer]:
    """Return the ways to compute the adapters of a network, and the first layer that has one."""
    placed = next(own for own in place(network, MACHINE).layers if own.adapter is not None)
    return NetworkAdapters(network, MACHINE, AdapterOptions(choices)), placed


@given(SIDES, SIDES, st.integers(1, 80), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_the_fastest_way_is_taken_of_those_left_open(
    inner: int, outer: int, rows: int, count: int, pieces: int, stays: bool
) -> None:
    """Of several ways the batches of a layer take what they take in the fastest one alone."""
    asked: Any = Batches(rows, 1 + rows // 2, count), pieces, stays
    network = layer(inner, outer)
    several, placed = adapters(network)
    each = [adapters(network, (choice,))[0].alone(placed, *asked) for choice in CHOICES]
    found = several.alone(placed, *asked)
    assert found.time_ps == min(way.time_ps for way in each)
    assert found.decision in [way.decision for way in each]


@given(SIDES, SIDES, st.integers(1, 200), st.integers(1, 3), st.integers(2, 4))
def test_a_cluster_takes_for_its_share_what_it_takes_for_a_batch_of_that_size(
    inner: int, outer: int, rows: int, count: int, pieces: int
) -> None:
    """However many others take shares of the same batch; the largest share sets the pace."""
    ways, placed = adapters(layer(inner, outer))
    share = -(-rows // pieces)
    shared = ways.alone(placed, Batches(rows, rows, count), pieces)
    assert shared.time_ps == ways.alone(placed, Batches(share, share, count), 1).time_ps


@pytest.mark.parametrize("experts", [2, 3, 8])
@pytest.mark.parametrize("each", [1, 4])
def test_vectors_of_several_experts_meet_the_adapters_of_these(experts: int, each: int) -> None:
    """A and B come once for each expert that is called, in every batch: none of them may stay."""
    sides: Any = {"in_features": 128, "out_features": 128, "bias": False}
    ops = (
        Input(name="x", features=128),
        Router(name="router", inputs=("x",), **sides | {"out_features": experts}),
        Select(name="choice", inputs=("router",), features=experts, active=1),
        Experts(name="bank", inputs=("x", "choice"), experts=experts, active=1, **sides),
        Combine(name="sum", inputs=("bank", "choice"), features=128, experts=experts, active=1),
    )
    network = Network(name="routed", source="made up", ops=ops).with_adapters(
        targets=("bank",), rank=8
    )
    ways, _ = adapters(network)
    bank = next(own for own in place(network, MACHINE).layers if own.name == "bank")
    for stays in (False, True):
        way = ways.alone(bank, Batches(experts * each, experts * each, 3), 1, stays)
        decision = way.decision
        assert decision.load_bytes == experts * decision.weight_bytes
        assert decision.fetched_again
        assert way.room_bytes == 0
