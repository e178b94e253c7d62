"""Bounds of adapters: what they take on clusters, and what is saved where A and B stay."""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim import load_machine, make_strategy
from hybridsim.programs import CHOICES
from hybridsim.simulation import job_of
from hybridsim.strategies import NetworkStrategy
from hybridsim.strategies.networks.adapter_bounds import Adapted, AdapterBounds
from hybridsim.strategies.networks.adapters import NetworkAdapters
from hybridsim.strategies.networks.bounds import NetworkBounds
from hybridsim.strategies.networks.dataflow import Batches, Cuts
from hybridsim.strategies.networks.options import AdapterOptions
from hybridsim.strategies.networks.structure import structure_of
from hybridsim.units import Ints
from hybridsim.validation.strategies import layer

SIDES = st.sampled_from([16, 128, 200, 512, 1200])
ROOMS = st.sampled_from(["6 KiB", "12 KiB", "20 KiB", "64 KiB"])


def asked(inner: int, outer: int, tokens: int, fields: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return the strategy, the job and the structure of one adapted layer."""
    strategy = make_strategy("xb_pipe", {"unit": "best", "share_adapters": "never"})
    assert isinstance(strategy, NetworkStrategy)
    job = job_of(layer(inner, outer), load_machine("ahwa_lora_2026", fields), strategy, tokens)
    return strategy, job, structure_of(job)


@given(SIDES, SIDES, st.integers(1, 100), st.integers(1, 4), ROOMS, st.booleans())
@settings(deadline=None)
def test_no_way_to_adapt_a_layer_is_faster_than_its_bound(
    inner: int, outer: int, tokens: int, pieces: int, room: str, stays: bool
) -> None:
    """To the picosecond, whether an adapter fits, or goes in slices."""
    _, job, structure = asked(inner, outer, tokens, {"cluster.tcdm.size": room})
    (placed,), machine, options = structure.placed, job.machine, AdapterOptions(CHOICES)
    sizes: Ints = np.arange(1, tokens + 1)
    bounds = AdapterBounds(structure, machine, options, machine.cluster)
    found = bounds.of(placed, Cuts.of(structure.works[0], sizes), np.full_like(sizes, pieces))
    ways = NetworkAdapters(structure.network, machine, options)
    for at in {0, tokens // 3, tokens // 2, tokens - 1}:
        batches = Batches.of(tokens, int(sizes[at]))
        if not ways.parts_ps(placed, batches, stays):
            continue  # not a token fits
        time = ways.alone(placed, batches, pieces, stays).time_ps
        least = found.load_ps[at] - stays * found.saved_ps[at]
        assert least <= pieces * time, (tokens, sizes[at])
        assert found.first_ps[at] <= time


@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 10**7)), min_size=1, max_size=5),
    st.integers(0, 10**5),
)
@settings(deadline=None)
def test_no_picosecond_that_may_be_saved_is_lost_to_rounding(
    each: list[tuple[int, int]], buffers: int
) -> None:
    """What is kept finds room beside buffers, and no byte saves more than the best one."""
    strategy, job, structure = asked(128, 128, 16, {})
    (name,) = (work.name for work in structure.works)
    options = strategy.deciding(job, strategy.candidates(job)[0])
    bounds = NetworkBounds(structure, job.machine, options, np.array([16]))
    saved, size = (np.array(column) for column in zip(*each, strict=True))
    none = np.zeros_like(saved)
    own = Adapted(none, saved, size, none + buffers, none, none)
    cluster = job.machine.cluster
    room = cluster.total * max(0, cluster.tcdm.size - buffers)
    (found,) = bounds._saved({name: own}).values()
    for at, (time, taken) in enumerate(each):
        assert found[at] >= min(time, ceil(Fraction(time, taken) * room))
        assert found[at] <= time
