"""Blocks of points: decided, laid out and priced together as each of them on its own."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Cluster, Machine, load_machine
from hybridsim.engines import engine as engine_by_name
from hybridsim.engines.looped import Looped
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import place
from hybridsim.programs import LoraChoice, LoraProgram
from hybridsim.strategies import Job, LayerDecisions, make_strategy
from hybridsim.strategies.layers import LayerPoints, choose, outline_of, points_alike
from hybridsim.strategies.layers.batches import BatchOrder, BatchSizes, SizeColumns
from hybridsim.validation.strategies import layer
from hybridsim.work import price

MACHINE = load_machine("ahwa_lora_2026", {"cluster.count": 3})
ENGINE = engine_by_name("compiled")


# ---- the naive choice: every candidate of one layer, in plain integers


def kernels_ps(cluster: Cluster, program: LoraProgram) -> list[int]:
    return [cluster.to_ps(cluster.cycles(kernel.work)) for kernel in program.kernels]


def end_of(program: LoraProgram, cycles: list[int]) -> int:
    ends: list[int] = []
    for kernel, own in zip(program.kernels, cycles, strict=True):
        ends.append(max([ends[i] for i in kernel.after], default=0) + own)
    return max(ends)


@dataclass(frozen=True)
class Naive:
    """One candidate, with what its estimate is made of."""

    machine: Machine
    program: LoraProgram

    @property
    def cluster(self) -> Cluster:
        assert self.machine.cluster is not None
        return self.machine.cluster

    def moved(self, elements: int) -> int:
        return int(self.machine.transfer_ps(elements * self.cluster.element_bytes))

    def first(self) -> int:
        own, cluster = self.program, self.cluster
        cycles = [cluster.cycles(kernel.work) for kernel in own.kernels]
        slices = [self.moved(own.tokens * width) for width in own.slices]
        return self.mvm() + slices[0] + cluster.to_ps(end_of(own, cycles)) + slices[-1]

    def mvm(self) -> int:
        own = self.program
        return int(self.machine.tile.mvm_ps(own.in_features, own.out_features, own.tokens))

    def tail(self) -> int:
        own, cluster = self.program, self.cluster
        ends: list[int] = []
        for kernel in own.kernels:
            on_y = "y" in kernel.reads
            late = on_y or ("b" in kernel.reads and own.choice.add == "fused")
            before = max([ends[i] for i in kernel.after], default=0)
            ends.append(before + cluster.cycles(kernel.work) if late else 0)
        slices = [self.moved(own.tokens * width) for width in own.slices]
        return slices[0] + cluster.to_ps(max(ends)) + slices[-1]

    def turn(self, buffers: int) -> int:
        own, cluster = self.program, self.cluster
        slices = [self.moved(own.tokens * width) for width in own.slices]
        moving = self.moved(own.tokens * own.in_features) + 2 * sum(slices)
        if buffers == 1:
            cycles = [cluster.cycles(kernel.work) for kernel in own.kernels]
            return cluster.to_ps(end_of(own, cycles)) + moving
        busy = {"cores": 0, "matrix_engine": 0, "dma": moving}
        for kernel, own_ps in zip(own.kernels, kernels_ps(cluster, own), strict=True):
            busy[kernel.unit] += own_ps
        return max(busy.values())

    def estimate(self, tokens: int, buffers: int, order: BatchOrder) -> int:
        batch = self.program.tokens
        turn = max(self.mvm(), -(-self.turn(buffers) // order.clusters))
        if not (order.early or order.first_batch or order.last_batch or order.clusters > 1):
            return self.first() + (-(-tokens // batch) - 1) * turn
        sizes = BatchSizes.of(tokens, batch, order).each().tolist()
        last = Naive(self.machine, self.program.of_tokens(sizes[-1]).on(self.cluster))
        if not order.early:
            return self.first() + (tokens - sizes[-1]) * turn // batch + last.tail()
        start = self.moved(sizes[0] * self.program.in_features)
        return max(tokens * self.mvm(), start + tokens * turn) // batch + last.tail()


def naive_candidates(
    machine: Machine, point: dict[str, int], choices: tuple[LoraChoice, ...]
) -> Iterator[tuple[LoraProgram, int]]:
    """Yield every program that fits with the most buffers, in the order of ties."""
    cluster, tokens = machine.cluster, point["tokens"]
    assert cluster is not None
    sizes = [2**i for i in range(30) if 2**i < tokens] + [tokens]
    if point["batch"]:
        sizes = [min(point["batch"], tokens)]
    outer = point["out_features"]
    for choice in choices:
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
                if need[0] <= cluster.tcdm.size:
                    yield program, sum(each <= cluster.tcdm.size for each in need)


def naive_choice(
    machine: Machine, point: dict[str, int], choices: tuple[LoraChoice, ...], order: BatchOrder
) -> tuple[Any, ...] | None:
    found = []
    for number, (program, buffers) in enumerate(naive_candidates(machine, point, choices)):
        estimate = Naive(machine, program).estimate(point["tokens"], buffers, order)
        sliced = len(program.slices) > 1
        result = (choices.index(program.choice), sliced, program.tokens, buffers)
        need = program.tcdm_bytes(machine.cluster, buffers)  # type: ignore[arg-type]
        found.append(((estimate, program.tokens, number), (*result, need)))
    return min(found)[1] if found else None


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
    return Job(place(network, machine), int(points["tokens"][at]))


@given(block=blocks(), options=strategies)
@settings(max_examples=60, deadline=None)
def test_a_block_is_decided_as_its_points_are(block: Any, options: dict[str, Any]) -> None:
    points, machine = block
    strategy: Any = make_strategy("token_parallel", options)
    order = strategy.batch_order(the_job(points, machine.taken(0), 0))
    found = choose(machine, LayerPoints(**points), strategy.choices(machine), order)
    for at in range(len(points["tokens"])):
        point = {name: int(column[at]) for name, column in points.items()}
        expected = naive_choice(machine.taken(at), point, strategy.choices(machine), order)
        assert found.fits[at] == (expected is not None)
        if expected is not None:
            columns = (found.choice, found.sliced, found.batch, found.buffers, found.tcdm_bytes)
            assert tuple(column[at] for column in columns) == expected


@given(block=blocks(), options=strategies, serial=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_block_takes_as_long_as_its_points_do(
    block: Any, options: dict[str, Any], serial: bool
) -> None:
    """One plan of slots for all points that are alike, and one pricing of all their works."""
    points, machine = block
    name = "layer_serial" if serial else "token_parallel"
    given = {"unit": options["unit"], "order": options["order"]} if serial else options
    strategy: Any = make_strategy(name, given)
    if serial:
        points["buffers"][:] = 1
    order = strategy.batch_order(the_job(points, machine.taken(0), 0))
    columns = LayerPoints(**points)
    chosen = choose(machine, columns, strategy.choices(machine), order)
    done = np.zeros(len(columns), np.bool_)
    for own in points_alike(machine, columns, chosen, strategy.choices(machine), order):
        times = own.times()
        job = the_job(points, own.machine.taken(0), int(own.points[0]))
        for group in own.outlines():
            looped = outline_of(group.key, job).looped
            slots = slots_of(looped)
            counts = group.rounds[None, :] if looped.lengths else None
            latencies = looped.makespans(times[slots[:, None], group.columns], counts)
            for at, latency in zip(own.points[group.columns].tolist(), latencies, strict=True):
                update = {
                    "batch": int(points["batch"][at]) or None,
                    "buffers": int(points["buffers"][at]),
                }
                one = strategy.model_copy(update=update)
                alone_job = the_job(points, machine.taken(at), at)
                alone = one.schedule(alone_job).plan
                expected = ENGINE(alone, price(alone.works, alone_job.machine).time_ps)
                assert latency == expected.makespan
                done[at] = True
    assert np.array_equal(done, chosen.fits)


def slots_of(looped: Looped) -> np.ndarray[Any, Any]:
    """Return the number of each slot of an outline, in the order of its works."""
    return np.array([work.shape[0] for work in looped.works])


def test_equal_keys_share_an_outline_of_slots() -> None:
    """Whatever the sizes, and the ramp that makes as many batches that are not full."""
    shapes = (np.array([512, 100]), np.array([128, 512]), np.array([8, 12]))
    points = LayerPoints(*shapes, np.array([64, 60]), np.array([16, 20]), np.array([2, 2]))
    longer = replace(points, batch=2 * points.batch)
    keys = []
    for each, last in ((points, 4), (longer, 8)):
        strategy: Any = make_strategy("token_parallel", {"last_batch": last, "clusters": 1})
        order = strategy.batch_order(Job(place(layer(16, 16), MACHINE), 1))
        chosen = choose(MACHINE, each, strategy.choices(MACHINE), order)
        alike = points_alike(MACHINE, each, chosen, strategy.choices(MACHINE), order)
        keys.append({part.key for own in alike for part in own.outlines()})
    assert len(keys[0]) == 2
    assert len(keys[0] & keys[1]) > 0


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
    job = Job(place(layer(512, 128), MACHINE), 100)
    decided = make_strategy("early_xa", {"batch": 16, "clusters": 2}).decide(job)
    assert isinstance(decided, LayerDecisions)
    ((_, batching),) = decided.batchings
    points = LayerPoints(*(np.array([n]) for n in (512, 128, 8, 100, 16, batching.buffers)))
    chosen = choose(MACHINE, points, (batching.program.choice,), batching.order)
    (own,) = points_alike(MACHINE, points, chosen, (batching.program.choice,), batching.order)
    (part,) = own.outlines()
    plan, slots = decided.lay_out(job).plan, part.key.outline(job).expand()
    assert part.key.few > 0  # so it is as long
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
