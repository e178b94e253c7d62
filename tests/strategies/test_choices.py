"""Options of the pipeline: laws that hold for every combination, and what each is for."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Machine, load_machine
from hybridsim.errors import CapacityError
from hybridsim.mapping import place
from hybridsim.plan import Plan, Timeline
from hybridsim.programs import BALANCED, CHOICES, LoraProgram
from hybridsim.strategies import (
    BatchOrder,
    BatchSizes,
    Job,
    Schedule,
    TokenParallel,
    make_strategy,
)
from hybridsim.validation.strategies import layer
from hybridsim.workload import Network
from tests.carried_out import carried_out

BY_FEATURES = load_machine(
    "ahwa_lora_2026", {"cluster.count": 3, "cluster.x_layout": "feature_major"}
)
MACHINES = {n: load_machine("ahwa_lora_2026", {"cluster.count": n}) for n in (1, 2, 3)}


def job_of(network: Network, machine: Machine, tokens: int = 128) -> Job:
    return Job(place(network, machine), tokens)


def scheduled(
    options: dict[str, Any], network: Network | None = None, clusters: int = 1, tokens: int = 128
) -> Schedule:
    job = job_of(network or layer(128, 128), MACHINES[clusters], tokens)
    return TokenParallel(**options).schedule(job)


def of(plan: Plan, *labels: str) -> np.ndarray:
    """Return the tasks with one of these labels, in order of the plan."""
    codes = [plan.labels.index(label) for label in labels if label in plan.labels]
    return np.flatnonzero(np.isin(plan.label, codes))


options = st.fixed_dictionaries(
    {
        "batch": st.integers(1, 40),
        "unit": st.sampled_from(["matrix_engine", "cores", "both", "balanced"]),
        "order": st.sampled_from(["natural", "direct", "swapped"]),
        "buffers": st.integers(1, 3),
        "early_xa": st.booleans(),
        "add": st.sampled_from(["fused", "separate"]),
        "first_batch": st.none() | st.integers(1, 40),
        "last_batch": st.none() | st.integers(1, 40),
        "clusters": st.sampled_from([1, 2, "all"]),
        "prefetch_weights": st.booleans(),
    }
).filter(lambda o: o["unit"] != "balanced" or o["add"] == "fused")


@given(
    options=options,
    tokens=st.integers(1, 200),
    machine=st.sampled_from([MACHINES[3], BY_FEATURES]),
)
@settings(max_examples=50, deadline=None)
def test_every_token_is_integrated_and_stored_once(
    engine, options: dict[str, Any], tokens: int, machine: Machine
) -> None:
    """In every composition: tiles are as busy as ever, and each batch is stored after its add."""
    schedule = TokenParallel(**options).schedule(job_of(layer(128, 128), machine, tokens))
    plan, timeline = schedule.plan, carried_out(schedule.plan, machine, engine)
    assert timeline.duration[of(plan, "mvm")].sum() == tokens * 256_000
    stores, mvms = of(plan, "store z"), of(plan, "mvm")
    assert len(stores) == len(mvms)
    assert sorted(plan.item[stores]) == sorted(plan.item[mvms]) == [*range(len(mvms))]
    assert (timeline.start[stores] >= timeline.end[mvms]).all()
    assert timeline.end[stores].max() == timeline.makespan


@given(tokens=st.integers(1, 500), batch=st.integers(1, 64), ramp=st.tuples(
    st.none() | st.integers(1, 64), st.none() | st.integers(1, 64)))  # fmt: skip
def test_batches_hold_all_tokens_and_none_is_larger_than_asked_for(
    tokens: int, batch: int, ramp: tuple[int | None, int | None]
) -> None:
    sizes = _sizes(tokens, batch, *ramp)
    assert sum(sizes) == tokens
    assert 1 <= min(sizes) <= max(sizes) <= max(batch, 1)
    if ramp[1] and ramp[1] < batch and ramp[1] <= tokens and not ramp[0]:
        assert sizes[-1] == ramp[1]


def _sizes(tokens: int, batch: int, first: int | None, last: int | None) -> list[int]:
    return BatchSizes.of(tokens, batch, BatchOrder(True, first, last)).each().tolist()


def test_a_ramp_halves_to_the_last_batch() -> None:
    assert _sizes(128, 32, None, 4) == [4, 32, 32, 32, 16, 8, 4]
    assert _sizes(128, 36, None, None) == [36, 36, 36, 20]
    assert _sizes(5, 4, None, 1) == [2, 2, 1]


@pytest.mark.parametrize("unit", ["matrix_engine", "cores", "both", "balanced"])
@pytest.mark.parametrize("time", ["128 ns", "256 ns", "2 us"])
def test_early_work_never_goes_before_a_ready_addition(engine, unit: str, time: str) -> None:
    """When X A of a later batch begins, no kernel of an earlier one is ready on that unit."""
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": time})
    strategy = TokenParallel(early_xa=True, unit=unit, batch=16, buffers=3)
    plan = strategy.schedule(job_of(layer(512, 128), machine)).plan
    timeline = carried_out(plan, machine, engine)
    checked = 0
    for task in of(plan, "xa"):
        unit_index = plan.uses_of(task)[0]
        others = of(plan, "ub+y", "ub", "add y")
        others = others[[plan.uses_of(o)[0] == unit_index for o in others]]
        earlier = others[plan.item[others] < plan.item[task]]
        waiting = (timeline.ready[earlier] <= timeline.start[task]) & (
            timeline.start[earlier] > timeline.start[task]
        )
        assert not waiting.any()
        checked += len(earlier)
    assert checked


@pytest.mark.parametrize("last", [1, 2, 8])
def test_the_last_addition_is_never_delayed(engine, last: int) -> None:
    """Where the tile is slowest, what shows is fetch, addition and store of the last batch."""
    machine = load_machine("ahwa_lora_2026", {"tile.integration_time": "4 us"})
    strategy = make_strategy("separate_add", {"unit": "cores", "batch": 16, "last_batch": last})
    plan = strategy.schedule(job_of(layer(512, 128), machine)).plan
    timeline = carried_out(plan, machine, engine)
    tail = sum(int(timeline.duration[of(plan, a)[-1]]) for a in ("load y", "add y", "store z"))
    assert timeline.makespan == 128 * 4_000_000 + tail


def test_what_needs_only_the_input_runs_before_the_tile_is_done(engine) -> None:
    for name, early in (("early_xa", ["xa"]), ("separate_add", ["xa", "ub"])):
        machine = load_machine("ahwa_lora_2026", {"tile.integration_time": "4 us"})
        plan = make_strategy(name, {"batch": 16}).schedule(job_of(layer(128, 128), machine)).plan
        timeline = carried_out(plan, machine, engine)
        for label in early:
            assert (timeline.end[of(plan, label)] < timeline.end[of(plan, "mvm")]).all()
    fused = make_strategy("early_xa", {"batch": 16}).schedule(job_of(layer(128, 128), machine))
    timeline = carried_out(fused.plan, machine, engine)
    assert (timeline.start[of(fused.plan, "ub+y")] > timeline.end[of(fused.plan, "mvm")]).all()


def test_a_product_of_its_own_takes_a_second_output_buffer() -> None:
    """2 B x 16 rows of the array x 128 columns more per batch in flight."""
    sizes = [
        scheduled({"batch": 12, "early_xa": True, "add": add, "buffers": 2}).layers[0].tcdm_bytes
        for add in ("fused", "separate")
    ]
    assert sizes[1] - sizes[0] == 2 * 2 * 16 * 128


@pytest.mark.parametrize("batch", [8, 20, 32])
def test_batches_go_round_the_clusters(batch: int) -> None:
    schedule = scheduled({"batch": batch, "clusters": "all"}, clusters=3, tokens=128)
    plan = schedule.plan
    for task in of(plan, "load x"):
        name = plan.resources[plan.uses_of(task)[0]].name
        assert name == f"cluster{plan.item[task] % 3}.dma"


def test_two_clusters_halve_what_is_bound_by_one() -> None:
    network = layer(512, 128)
    each = [
        hybridsim.simulate(
            network, MACHINES[2], TokenParallel(batch=8, clusters=n, unit="cores"), 256
        ).latency_ps
        for n in (1, 2)
    ]
    assert 0.5 < each[1] / each[0] < 0.6


def test_more_clusters_than_there_are_is_refused() -> None:
    with pytest.raises(CapacityError, match="clusters: found 4; ahwa_lora_2026 has 2"):
        scheduled({"clusters": 4}, clusters=2)


def test_weights_fetched_ahead_shorten_layers_that_wait_for_them() -> None:
    """And lie beside those of the layer before: A and B of rank 8 in FP16."""
    net, machine = hybridsim.load(
        "minilm_l6", "ahwa_lora_2026", {"cluster.dma.bytes_per_cycle": "1 B/cycle"}
    )
    times = [
        hybridsim.simulate(
            net, machine, TokenParallel(early_xa=True, prefetch_weights=ahead, batch=8), 32
        )
        for ahead in (False, True)
    ]
    assert times[1].latency_ps < times[0].latency_ps
    assert max(layer.tcdm_bytes for layer in times[1].layers) <= 128 * 1024
    pairs = zip(*(each.layers for each in times), strict=True)
    more = [ahead.tcdm_bytes - own.tcdm_bytes for own, ahead in pairs]
    ops = [net.op(layer.name) for layer in times[1].layers]
    assert more == [8 * (op.in_features + op.out_features) * 2 for op in ops[1:]] + [0]


def test_a_split_of_each_product_is_no_slower_than_one_of_rows() -> None:
    """The busier unit: engine and cores, with the same or with different shares."""
    cluster = MACHINES[1].cluster
    assert cluster is not None
    for shape in ((128, 128), (512, 128), (128, 512), (768, 768)):
        for tokens in (1, 4, 12, 20, 36, 64):
            busiest = []
            for choice in (CHOICES[3], BALANCED):
                busy = {"cores": 0, "matrix_engine": 0, "dma": 0}
                for kernel in LoraProgram(*shape, 8, tokens, choice).on(cluster).kernels:
                    busy[kernel.unit] += cluster.cycles(kernel.work)
                busiest.append(max(busy["cores"], busy["matrix_engine"]))
            assert busiest[1] <= busiest[0]


# -- streams


def stream(name: str, tokens: int = 128, **options: Any) -> tuple[Schedule, Job]:
    net, machine = hybridsim.load(name, "ahwa_lora_2026", {"cluster.tcdm.size": "1 MiB"})
    job = job_of(net, machine, tokens)
    return make_strategy("cross_layer", options).schedule(job), job


@pytest.mark.parametrize("options", [{}, {"early_xa": True}, {"unit": "cores", "batch": 16}])
def test_a_batch_waits_for_the_same_batch_of_what_its_layer_reads(
    engine, options: dict[str, Any]
) -> None:
    """Found again from the network itself, by walking back from every layer."""
    schedule, job = stream("minilm_l6", 64, **options)
    plan, timeline = schedule.plan, carried_out(schedule.plan, job.machine, engine)
    ends, starts = _by_batch(plan, timeline)
    checked = 0
    for op in job.mapping.network.ops:
        if op.name not in plan.ops:
            continue
        for source, whole in _sources(job.mapping.network, op.name):
            # layers with other batches are in another group, which has to end before
            apart = whole or len(ends[source]) != len(starts[op.name])
            for batch, start in starts[op.name].items():
                done = max(ends[source].values()) if apart else ends[source][batch]
                assert start >= done
                checked += 1
    assert checked > 100


def _by_batch(plan: Plan, timeline: Timeline) -> tuple[Any, Any]:
    """Return layer -> batch -> end of its last store, and start of its first MVM or load of X."""
    ends: dict[str, dict[int, int]] = {}
    starts: dict[str, dict[int, int]] = {}
    for task in of(plan, "store z"):
        batches = ends.setdefault(plan.ops[plan.op[task]], {})
        item = int(plan.item[task])
        batches[item] = max(batches.get(item, 0), int(timeline.end[task]))
    for task in of(plan, "mvm", "load x"):
        batches = starts.setdefault(plan.ops[plan.op[task]], {})
        item = int(plan.item[task])
        batches[item] = min(batches.get(item, 2**62), int(timeline.start[task]))
    return ends, starts


def _sources(network: Network, name: str) -> list[tuple[str, bool]]:
    """Return the linear layers that an op reads, and whether it needs all of their tokens."""
    found: dict[str, bool] = {}
    todo = [(read, False) for read in network.op(name).inputs]
    while todo:
        at, whole = todo.pop()
        op = network.op(at)
        if op.kind == "linear":
            found[at] = found.get(at, False) or whole
        else:
            whole = whole or op.kind in ("attention", "trigram", "first_token")
            todo += [(read, whole) for read in op.inputs]
    return sorted(found.items())


def test_a_stream_is_faster_where_tiles_set_the_pace() -> None:
    net, machine = hybridsim.load(
        "minilm_l6", "ahwa_lora_2026", {"tile.integration_time": "20 us", "cluster.count": 4}
    )
    times = [
        hybridsim.simulate(net, machine, make_strategy(name), 64).latency_ps
        for name in ("token_parallel", "cross_layer")
    ]
    assert times[1] < 0.7 * times[0]


def test_branches_run_side_by_side(engine) -> None:
    """Q, K and V sit on tiles of their own, so their first MVMs begin at the same instant."""
    schedule, job = stream("minilm_l6", 64)
    plan, timeline = schedule.plan, carried_out(schedule.plan, job.machine, engine)
    names = [name for name in plan.ops if name.endswith(("query", "key", "value"))][:3]
    first = {name: of(plan, "mvm")[plan.op[of(plan, "mvm")] == plan.ops.index(name)][0]
             for name in names}  # fmt: skip
    assert len({int(timeline.start[task]) for task in first.values()}) == 1


def test_a_stream_is_cut_where_the_scratchpad_is_full_and_says_so() -> None:
    net, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    result = hybridsim.simulate(net, machine, make_strategy("cross_layer"), 128)
    assert any("do not fit the TCDM" in note for note in result.notes)
    assert any("attention" in note for note in result.notes)
    assert result.to_json() == hybridsim.Result.from_json(result.to_json()).to_json()


def test_layers_that_share_a_tile_are_not_streamed_together() -> None:
    net, machine = hybridsim.load("mobilebert", "harp_2026")
    result = hybridsim.simulate(net, machine, make_strategy("cross_layer"), 4)
    assert any("a tile is shared" in note for note in result.notes)


def test_what_a_stream_holds_fits_the_scratchpad(engine) -> None:
    """At every instant the adapters that are live take no more than there is."""
    net, machine = hybridsim.load("minilm_l6", "ahwa_lora_2026")
    schedule = make_strategy("cross_layer").schedule(job_of(net, machine, 64))
    plan, timeline = schedule.plan, carried_out(schedule.plan, machine, engine)
    moved = of(plan, "load a", "store z")
    changes = []
    for decided in schedule.layers:
        own = moved[plan.op[moved] == plan.ops.index(decided.layer.name)]
        changes += [(int(timeline.start[own].min()), decided.tcdm_bytes)]
        changes += [(int(timeline.end[own].max()), -decided.tcdm_bytes)]
    held = np.cumsum([size for _, size in sorted(changes)])
    assert held.max() <= 128 * 1024
