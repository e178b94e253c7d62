"""The sparse side path on cores: counts against a walk through its loop, and its laws."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hybridsim
from hybridsim.programs.side_path import (
    PER_OUTPUT,
    PER_WEIGHT,
    PER_WORD,
    SUMS,
    dealt,
    side_path_cost,
    side_path_cycles,
)

MACHINE = hybridsim.load("layer_512x128", "ahwa_lora_2026")[1]
CORES = MACHINE.cluster.cores


def walked(per_output, tokens, lanes):
    """Count instruction by instruction what one core does."""
    words, cycles = -(-tokens // lanes), CORES.barrier
    for first in range(0, words, SUMS):
        block = min(SUMS, words - first)
        for weights in per_output:
            cycles += 2 * block + PER_OUTPUT + CORES.loop_iteration  # sums in and out
            for _ in range(weights):
                cycles += PER_WEIGHT + CORES.loop_iteration
                for _ in range(block):
                    cycles += PER_WORD
    return cycles


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 200),
    st.sampled_from([1, 4]),
)
def test_cycles_are_those_of_the_loop(per_output, tokens, lanes):
    found = side_path_cycles(
        CORES, sum(per_output), len(per_output), tokens, lanes, "plain" if lanes == 1 else "turned"
    )
    assert found == walked(per_output, tokens, lanes)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 8))
def test_the_busiest_core_has_its_share_and_little_more(per_output, cores):
    """Graham, 1966: no list order is worse than the mean and (1 - 1 / cores) of the largest."""
    weights, outputs = dealt(per_output, cores)
    best = max(sum(per_output) / cores, max(per_output))
    assert best <= weights <= sum(per_output)
    assert outputs <= sum(1 for w in per_output if w)
    assert weights <= sum(per_output) / cores + (1 - 1 / cores) * max(per_output) + 1e-9


def test_it_hides_behind_its_tile_or_adds_what_is_longer():
    few = side_path_cost(MACHINE, 512, 512, [0] * 511 + [1], 64)
    assert few.least_added_ps == 0 < few.most_added_ps
    many = side_path_cost(MACHINE, 512, 512, [50] * 512, 64)
    assert many.least_added_ps == many.cores_ps + many.moved_ps - many.tile_ps > 0
    assert few.tile_ps == many.tile_ps == 64 * MACHINE.tile.integration_time
    assert many.moved_bytes == 50 * 512 * (2 + 2) + 2 * 513


@pytest.mark.parametrize("indirection", [False, True])
def test_more_weights_or_tokens_never_cost_less(indirection):
    costs = [
        side_path_cost(MACHINE, 512, 512, [n] * 512, tokens, indirection)
        for n, tokens in ((3, 16), (6, 16), (6, 64))
    ]
    for less, more in pairwise(costs):
        assert less.cores_ps < more.cores_ps
        assert less.energy_aj < more.energy_aj


def test_no_core_adds_more_than_its_lanes_in_a_cycle():
    """A bound that needs none of the counts."""
    for tokens in (1, 16, 100):
        cost = side_path_cost(MACHINE, 512, 512, [40] * 512, tokens, True)
        products = 40 * 512 * tokens / (CORES.count * CORES.lanes(MACHINE.cluster.precision))
        assert cost.cores_ps >= MACHINE.cluster.to_ps(1) * products / 0.8
