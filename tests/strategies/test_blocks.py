"""Blocks of points: decided, laid out and priced together as each of them on its own."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Machine, MappingRules, load_machine
from hybridsim.engines import engine as engine_by_name
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import place
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies import Job, LayerDecisions, make_strategy
from hybridsim.strategies.layers import (
    LayerPoints,
    choose,
    one_by_one,
    shape_of,
)
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes, SizeColumns
from hybridsim.strategies.layers.bounded import NEVER
from hybridsim.strategies.layers.outlines import Steps
from hybridsim.strategies.layers.times import layer_times, times_of_kinds, vector_ps
from hybridsim.strategies.layers.trials import ROWS, Trials, bound_ps
from hybridsim.validation.strategies import layer
from hybridsim.work import price

MACHINE = load_machine("ahwa_lora_2026", {"cluster.count": 3})
ENGINE = engine_by_name("compiled")


# ---- the naive choice: every candidate of one layer, run


def naive_latencies(
    machine: Machine, point: dict[str, int], choices: tuple[LoraChoice, ...], order: BatchOrder
) -> dict[tuple[int, bool, int, int, int], int]:
    """Return (choice, whether it is sliced, batch, buffers, scratchpad) -> latency of a layer."""
    cluster, tokens = machine.cluster, point["tokens"]
    assert cluster is not None
    outer, found = point["out_features"], {}
    sizes = [min(point["batch"], tokens)] if point["batch"] else range(1, tokens + 1)
    job = the_job({name: np.array([n]) for name, n in point.items()}, machine, 0)
    (placed,) = job.mapping.layers
    for number, choice in enumerate(choices):
        for width in dict.fromkeys((outer, min(outer, machine.tile.columns))):
            for size in sizes:
                program = LoraProgram(
                    point["in_features"], outer, point["rank"], size, choice, width
                )
                try:
                    program = program.on(cluster)
                    program.cycles(cluster)
                    need = [program.tcdm_bytes(cluster, n + 1) for n in range(point["buffers"])]
                except UnsupportedError:
                    continue
                if need[0] > cluster.tcdm.size:
                    continue
                buffers = sum(each <= cluster.tcdm.size for each in need)
                own = Batching.of(cluster, program, buffers, order, tokens)
                plan = one_by_one(job, {shape_of(job, placed): own}).lay_out(job).plan
                key = (number, len(program.slices) > 1, size, buffers, need[buffers - 1])
                found[key] = ENGINE(plan, price(plan.works, machine).time_ps).makespan
    return found


# ---- random blocks


@st.composite
def blocks(draw: st.DrawFn) -> tuple[dict[str, np.ndarray[Any, Any]], Machine]:
    """Return points of one layer as columns, and a machine with some fields as columns."""
    count = draw(st.integers(1, 5))

    def column(values: st.SearchStrategy[int]) -> np.ndarray[Any, Any]:
        return np.array(draw(st.lists(values, min_size=count, max_size=count)), np.int64)

    points = {
        "in_features": column(st.sampled_from([16, 100, 512, 768])),
        "out_features": column(st.sampled_from([16, 128, 512, 700, 1030, 1600])),
        "rank": column(st.sampled_from([1, 8, 12])),
        "tokens": column(st.integers(1, 150)),
        "copies": column(st.sampled_from([1, 1, 2, 3])),
        "batch": column(st.sampled_from([0, 0, 1, 7, 16, 40])),
        "buffers": column(st.integers(1, 3)),
    }
    cluster = MACHINE.cluster
    assert cluster is not None
    clock = cluster.clock.model_copy(
        update={"frequency": column(st.sampled_from([10**8, 5 * 10**8, 333 * 10**6]))}
    )
    dma = cluster.dma.model_copy(update={"bytes_per_cycle": column(st.sampled_from([4, 64]))})
    tcdm = cluster.tcdm.model_copy(
        update={"size": column(st.sampled_from([2**12, 2**15, 2**17, 2**20]))}
    )
    tile = MACHINE.tile.model_copy(
        update={"integration_time": column(st.sampled_from([10_000, 128_000, 2_000_000]))}
    )
    link = MACHINE.link.model_copy(update={"width": column(st.sampled_from([8, 64]))})
    layout = draw(st.sampled_from(["token_major", "feature_major"]))
    changed = {"clock": clock, "dma": dma, "tcdm": tcdm, "x_layout": layout}
    parts = cluster.model_copy(update=changed)
    machine = MACHINE.model_copy(update={"cluster": parts, "tile": tile, "link": link})
    return points, machine


strategies = st.fixed_dictionaries(
    {
        "unit": st.sampled_from(["matrix_engine", "cores", "both", "balanced", "either", "best"]),
        "order": st.sampled_from(["natural", "direct", "swapped", "best"]),
        "early_xa": st.booleans(),
        "add": st.sampled_from(["fused", "separate"]),
        "first_batch": st.none() | st.integers(1, 20),
        "last_batch": st.none() | st.integers(1, 20),
        "clusters": st.sampled_from([1, 2, "all"]),
    }
).filter(lambda o: o["unit"] != "balanced" or o["add"] == "fused")


def the_job(points: dict[str, np.ndarray[Any, Any]], machine: Machine, at: int) -> Job:
    shape = int(points["in_features"][at]), int(points["out_features"][at])
    network = layer(*shape).with_adapters(rank=int(points["rank"][at]))
    rules = MappingRules(copies=int(points["copies"][at]))
    machine = machine.model_copy(update={"mapping": rules})
    return Job(place(network, machine), int(points["tokens"][at]))


@given(block=blocks(), options=strategies)
@settings(max_examples=12, deadline=None)
def test_a_block_is_decided_as_its_points_are_and_by_what_is_fastest(
    block: Any, options: dict[str, Any]
) -> None:
    points, machine = block
    points["tokens"] = points["tokens"] % 24 + 1
    strategy: Any = make_strategy("token_parallel", options)
    order = strategy.batch_order(the_job(points, machine.taken(0), 0))
    choices = strategy.choices(machine)

    def chosen(own: dict[str, Any], parts: Machine) -> list[tuple[int, ...] | None]:
        job = the_job(own, parts.taken(0), 0)
        found = choose(parts, LayerPoints(**own), choices, order, job)
        columns = (found.choice, found.sliced, found.batch, found.buffers, found.tcdm_bytes)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [row if fits else None for row, fits in zip(rows, found.fits, strict=True)]

    for at, own in enumerate(chosen(points, machine)):
        point = {name: int(column[at]) for name, column in points.items()}
        alone = {name: column[at : at + 1] for name, column in points.items()}
        assert chosen(alone, machine.taken(slice(at, at + 1))) == [own]
        naive = naive_latencies(machine.taken(at), point, choices, order)
        # of equally fast ones the smallest batch, then the first way
        best = min(naive, key=lambda key: (naive[key], key[2], key[:2]), default=None)
        assert own == best


@given(block=blocks(), options=strategies, serial=st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_block_takes_as_long_as_its_points_do(
    block: Any, options: dict[str, Any], serial: bool
) -> None:
    """One pipeline for all points that are alike, and one pricing of all their works."""
    points, machine = block
    name = "layer_serial" if serial else "token_parallel"
    given = {"unit": options["unit"], "order": options["order"]} if serial else options
    strategy: Any = make_strategy(name, given)
    if serial:
        points["buffers"][:] = 1
    order = strategy.batch_order(the_job(points, machine.taken(0), 0))
    columns = LayerPoints(**points)
    job = the_job(points, machine.taken(0), 0)
    chosen = choose(machine, columns, strategy.choices(machine), order, job)
    expected_ps, tasks = np.zeros((2, len(columns)), np.int64)
    for at in np.flatnonzero(chosen.fits).tolist():
        update = {"batch": int(points["batch"][at]) or None, "buffers": int(points["buffers"][at])}
        one = strategy.model_copy(update=update)
        alone_job = the_job(points, machine.taken(at), at)
        alone = one.schedule(alone_job).plan
        expected_ps[at] = ENGINE(alone, price(alone.works, alone_job.machine).time_ps).makespan
        tasks[at] = len(alone)
    found = layer_times(machine, columns, chosen, strategy.choices(machine), order, job)
    assert np.array_equal(found.latency_ps, expected_ps)
    assert np.array_equal(found.tasks, tasks)


@given(block=blocks(), options=strategies, lanes=st.integers(1, 3))
@settings(max_examples=12, deadline=None)
def test_no_candidate_is_faster_than_its_bound(
    block: Any, options: dict[str, Any], lanes: int
) -> None:
    """That would lose the best one without a trace."""
    points, machine = block
    points["tokens"] = points["tokens"] % 40 + 1
    machine = machine.model_copy(update={"link": machine.link.model_copy(update={"count": lanes})})
    strategy: Any = make_strategy("token_parallel", options)
    job = the_job(points, machine.taken(0), 0)
    order, counts, columns = strategy.batch_order(job), (1, 2, 3), LayerPoints(**points)
    choices = strategy.choices(machine)
    trials = Trials.of(machine, columns, choices, order, counts)
    at, code = np.tile(trials.setting, len(counts)), np.arange(len(trials) * len(counts))
    one, own = machine.taken(at), columns.taken(at)
    found = layer_times(one, own, trials.chosen(code, counts), choices, order, job).latency_ps
    share = vector_ps(one, own) // own.copies
    for number, vector, latency in zip(code, share, found, strict=True):
        on, candidate = divmod(int(number), len(trials))
        step = int(trials.step[candidate])
        first = int(trials.start[candidate]) + on * ROWS * step
        bound = bound_ps(trials.bounds, first, step, int(vector))
        assert bound <= latency or bound == NEVER  # with fewer batches than clusters


@given(block=blocks(), options=strategies, counts=st.sampled_from(((1,), (1, 3))))
@settings(max_examples=20, deadline=None)
def test_what_was_priced_for_bounds_is_what_is_run(
    block: Any, options: dict[str, Any], counts: tuple[int, ...]
) -> None:
    """Candidates take as long with the prices of their bounds as priced anew."""
    points, machine = block
    points["tokens"] = points["tokens"] % 40 + 1
    strategy: Any = make_strategy("token_parallel", options)
    job = the_job(points, machine.taken(0), 0)
    order, columns, choices = (
        strategy.batch_order(job),
        LayerPoints(**points),
        strategy.choices(machine),
    )
    trials = Trials.of(machine, columns, choices, order, counts)
    asked = np.diff(trials.begin)[trials.setting] * len(counts) > 1
    code = np.flatnonzero(np.tile(asked, len(counts)))
    at = trials.setting[code % max(1, len(trials))]
    one, own, chosen = machine.taken(at), columns.taken(at), trials.chosen(code, counts)
    vector, each = vector_ps(one, own), np.arange(len(code))
    how = one, own, chosen, choices, order, job, each, vector
    anew, handed = times_of_kinds(*how), times_of_kinds(*how, trials.prices)
    assert np.array_equal(anew.latency_ps, handed.latency_ps)
    assert np.array_equal(anew.tasks, handed.tasks)


@given(
    tokens=st.integers(1, 500),
    batch=st.integers(1, 70),
    first=st.none() | st.integers(1, 70),
    last=st.none() | st.integers(1, 70),
)
def test_sizes_as_columns_are_those_of_one_layer(
    tokens: int, batch: int, first: int | None, last: int | None
) -> None:
    order = BatchOrder(True, first, last)
    one = BatchSizes.of(tokens, batch, order)
    columns = SizeColumns.of(np.array([tokens]), np.array([batch]), first or 0, last or 0)
    start, end = columns.ends()
    assert tuple(int(size[0]) for size in start) == one.first
    assert tuple(int(size[0]) for size in end) == one.last
    assert (int(columns.count[0]), int(columns.batch[0])) == (one.count, one.full)
    each = one.each()
    assert (columns.first_size[0], columns.last_size[0]) == (each[0], each[-1])
    assert one.tokens == tokens == each.sum()


def test_an_outline_of_slots_is_that_of_the_decisions() -> None:
    """The same tasks and needs; only the works are slots."""
    job = Job(place(layer(512, 128), MACHINE), 96)
    decided = make_strategy("early_xa", {"batch": 16, "clusters": 2}).decide(job)
    assert isinstance(decided, LayerDecisions)
    ((_, batching),) = decided.batchings
    steps = Steps(batching.program.choice, 1, early=True, overlap=True, clusters=2)
    plan = decided.lay_out(job).plan
    slots = steps.outline(batching.buffers, batching.sizes.batches // 2, job).expand()
    for name in ("use_first", "use", "need_first", "need", "room", "op", "item"):
        assert np.array_equal(getattr(plan, name), getattr(slots, name))


def test_a_choice_that_no_unit_can_run_is_refused_by_name() -> None:
    machine = load_machine("ahwa_lora_2026", {"cluster.matrix_engine": None})
    job = Job(place(layer(128, 128), machine), 8)
    with pytest.raises(UnsupportedError, match="no matrix engine"):
        make_strategy("token_parallel").decide(job)
    small = load_machine("ahwa_lora_2026", {"cluster.tcdm.size": "4 KiB"})
    with pytest.raises(CapacityError, match="not even one token fits"):
        make_strategy("token_parallel").decide(Job(place(layer(512, 512), small), 8))
