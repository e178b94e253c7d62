"""Streams: what no cut beats, what a stretch takes, and which cut is chosen."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim import make_strategy
from hybridsim.arch import load_machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import PlacedLayer, place
from hybridsim.plan import Plan
from hybridsim.programs import LoraProgram
from hybridsim.simulation import job_of
from hybridsim.strategies import CrossLayer, Job
from hybridsim.strategies.layers.choosers import BatchChooser
from hybridsim.strategies.layers.decisions import Group, LayerDecisions, shape_of
from hybridsim.strategies.layers.estimate import PricedParts, alone_ps
from hybridsim.strategies.layers.stream_cuts import StreamCuts
from hybridsim.strategies.layers.stream_loads import StreamLoads
from hybridsim.strategies.layers.streams import (
    cut_to_fit,
    layer_inputs,
    least_estimate,
    stretches_of,
)
from hybridsim.strategies.layers.way_times import BatchTables
from hybridsim.validation.strategies import layer
from tests.carried_out import carried_out, durations


def stream(seed: int) -> tuple[Job, CrossLayer]:
    """A small encoder on a machine of 1 to 3 clusters, and a stream with things left open."""
    draw = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[draw.integers(len(values))]

    overrides = {
        "cluster.count": int(draw.integers(1, 4)),
        "cluster.tcdm.size": one_of("96 KiB", "160 KiB", "1 MiB"),
        "link.width": f"{one_of(1, 8, 64)} B/cycle",
        "tile.integration_time": one_of("32 ns", "256 ns", "2 us"),
        "tile.columns": one_of(128, 512),
    }
    network, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026", overrides)
    options = {
        "unit": one_of("matrix_engine", "cores", "best"),
        "early_xa": one_of(False, True),
        "first_batch": one_of(None, 1),
        "last_batch": one_of(None, 2),
        "clusters": int(draw.integers(1, overrides["cluster.count"] + 1)),
    }
    strategy = make_strategy("cross_layer", options)
    assert isinstance(strategy, CrossLayer)
    return job_of(network, machine, strategy, int(draw.integers(2, 14))), strategy


@pytest.mark.parametrize("seed", range(4))
def test_no_cut_beats_its_bound_nor_the_one_that_is_chosen(seed: int) -> None:
    """Whole stretches laid out and run, against sums of groups that were run once."""
    job, strategy = stream(seed)
    choosers = [BatchChooser(strategy, job)]
    cuts = StreamCuts(job, choosers, range(1, job.tokens + 1), buffers=2)
    inputs, layers = layer_inputs(job.mapping.network), stretches_of(job)[1].layers
    batches, (bounds,) = cuts._bounds(layers)
    took = {}
    for at in np.flatnonzero(bounds >= 0).tolist():
        cut = batches[at // 2], 2 - at % 2, 0
        groups = cut_to_fit(job, layers, inputs, choosers[0].batching, cut, "")
        took[cut] = run_ps(job, groups)
        assert bounds[at] <= took[cut]
    chosen = cuts.fastest(layers)
    assert took
    assert chosen == min(took, key=lambda cut: (took[cut], cut[0], -cut[1]))


@pytest.mark.parametrize("full", [1, 2])
def test_a_cut_by_estimate_has_as_many_buffers_as_find_room(full: int) -> None:
    """Where those of ``full`` do not, it is one with the others; layers stream all the same."""
    job, strategy = stream(0)
    chooser = BatchChooser(strategy, job)

    def decide(asked: PlacedLayer, batch: int | None, buffers: int | None) -> Any:
        if buffers == full:
            raise CapacityError("no room")
        return chooser.batching(asked, batch, buffers)

    layers = stretches_of(job)[1].layers
    cut = least_estimate(job, [decide], range(1, job.tokens + 1), 2, layers)
    assert cut is not None
    assert cut[1] == 3 - full


@pytest.mark.parametrize("seed", range(4))
def test_what_was_decided_at_once_is_what_is_decided_one_by_one(seed: int) -> None:
    """Each layer, with a batch and buffers or with both left open; asked for before or not."""
    job, strategy = stream(seed)
    prepared, alone = BatchChooser(strategy, job), BatchChooser(strategy, job)
    prepared.prepare(range(1, 4), (1, 2))
    layers = {shape_of(job, layer): layer for layer in job.mapping.layers if layer.adapter}
    for asked in layers.values():
        for batch, buffers in ((None, None), (None, 1), (4, 2), *product((1, 2, 3), (1, 2))):
            found = [told(chooser, asked, batch, buffers) for chooser in (prepared, alone)]
            assert found[0] == found[1]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_said_of_a_streamed_layer_is_so_when_it_runs(seed: int) -> None:
    """How long its units are busy, to a picosecond a task, as none is shorter; and how long at
    least before its first kernel, behind its last one and in all."""
    job, strategy = stream(seed)
    chooser, sizes = BatchChooser(strategy, job), range(1, job.tokens + 1)
    chooser.prepare(sizes, (2, 1))
    layers = {shape_of(job, own): own for own in job.mapping.layers if own.adapter}
    for asked in layers.values():
        offered = chooser.offered(asked, [*sizes])
        loads = StreamLoads(job, BatchTables(job)).of(asked, offered)
        for at, (batch, buffers) in enumerate(product(sizes, (2, 1))):
            if not offered.found.fits[at]:
                continue
            group = Group(((asked.name, chooser.batching(asked, batch, buffers)),), batch=batch)
            plan = group_plan(job, [asked], group)
            line, units = carried_out(plan, job.machine), ("cores", "matrix_engine", "dma")
            kinds = [
                {plan.resources[use].kind for use in plan.uses_of(i)} for i in range(len(plan))
            ]
            on = [[unit in own for own in kinds] for unit in units]
            busy = np.array([durations(plan, job.machine)[own].sum() for own in on])
            assert (loads.busy[:, at] <= busy).all()
            assert (busy <= loads.busy[:, at] + np.sum(on, axis=1)).all()
            kernels = np.logical_or(*on[:2])
            assert loads.start[at] <= line.start[kernels].min()
            assert loads.end[at] <= line.makespan - line.end[kernels].max()
            assert loads.least[at] <= line.makespan


def group_plan(job: Job, layers: Sequence[PlacedLayer], *groups: Group) -> Plan:
    """Return the plan of some groups, of these layers alone."""
    alone = Job(replace(job.mapping, layers=tuple(layers)), job.tokens, job.engine)
    return LayerDecisions((), groups).draft(alone).outline.expand()


def told(chooser: BatchChooser, asked: Any, batch: int | None, buffers: int | None) -> Any:
    """Return the batching of a layer, or that none fits."""
    try:
        return chooser.batching(asked, batch, buffers)
    except CapacityError:
        return "none fits"


def run_ps(job: Job, groups: Any) -> int:
    """Return how long groups take, one after the other."""
    names = {name for group in groups for name, _ in group.members}
    layers = [layer for layer in job.mapping.layers if layer.name in names]
    return job.run_ps(group_plan(job, layers, *groups))


@pytest.mark.parametrize("time", ["1 ns", "2 us"])
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"buffers": 2}, -0.01, 0.01),
        ({"buffers": 1}, 0, 0.09),
        ({"buffers": 2, "early_xa": True}, 0, 0.01),
        ({"buffers": 1, "early_xa": True}, 0, 0.09),
        ({"buffers": 2, "last_batch": 2}, -0.07, 0.07),
    ],
)
def test_an_estimate_is_near_what_one_layer_takes(
    options: dict[str, Any], least: float, most: float, time: str
) -> None:
    """Whether the cluster or the tiles set the pace: its pipeline is regular, but for its ends."""
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": time})
    given = {"batch": 8, "unit": "matrix_engine"} | options
    strategy: Any = make_strategy("token_parallel", given)
    job = Job(place(layer(512, 128), machine), 128)
    off, _ = estimate_off(job, strategy)
    assert least <= off <= most


@pytest.mark.parametrize(("unit", "batch"), [("matrix_engine", 4), ("cores", 8), ("both", 4)])
def test_an_estimate_is_near_where_outputs_pass_in_slices(unit: str, batch: int) -> None:
    """The last slice, which is narrower, and the full ones before it."""
    overrides = {"cluster.tcdm.size": "64 KiB", "tile.columns": 128}
    machine = load_machine("ahwa_lora_2026", overrides)
    strategy = make_strategy("token_parallel", {"batch": batch, "buffers": 2, "unit": unit})
    off, program = estimate_off(Job(place(layer(128, 2000), machine), 128), strategy)
    assert program.slices == (*15 * (128,), 80)
    assert -0.07 <= off <= 0


def estimate_off(job: Job, strategy: Any) -> tuple[float, LoraProgram]:
    """Return how far the estimate for a job of one layer is off, and what its batches compute."""
    decided = strategy.decide(job)
    ((_, batching),) = decided.batchings
    estimate = alone_ps(PricedParts.of(job.machine), job.tokens, batching, 1)
    took = carried_out(decided.lay_out(job).plan, job.machine).makespan
    return (estimate - took) / took, batching.program
