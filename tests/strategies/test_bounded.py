"""What batches of ramps and of several clusters take, against sums over each batch, and runs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.arch import Machine, load_machine
from hybridsim.engines import engine
from hybridsim.mapping import place
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram
from hybridsim.strategies import Job
from hybridsim.strategies.layers.batches import Batching, BatchOrder, BatchSizes, SizeColumns
from hybridsim.strategies.layers.bounded import LINES, Bounded, place_of, sums_of
from hybridsim.strategies.layers.layout import Layout
from hybridsim.strategies.layers.loads import CHAIN, CORES, HELD, LINK, LOADS
from hybridsim.validation.strategies import layer


@given(
    tokens=st.integers(1, 200),
    batch=st.integers(1, 70),
    first=st.none() | st.integers(1, 20),
    last=st.none() | st.integers(1, 20),
    clusters=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_the_cluster_with_most_of_a_load_is_found_without_visiting_full_batches(
    tokens: int, batch: int, first: int | None, last: int | None, clusters: int, seed: int
) -> None:
    size = min(batch, tokens)
    loads = np.random.default_rng(seed).integers(0, 1000, (LOADS, size))  # of 1, 2, ... tokens
    each = BatchSizes.of(tokens, size, BatchOrder(True, first, last)).each()
    cut = SizeColumns.of(np.array([tokens]), np.array([size]), first or 0, last or 0)
    up, left, count, down, before = (
        int(own[0]) for own in (cut.up, cut.left, cut.count, cut.down, cut.before)
    )
    own = size - 1, size, up, left, count, down, first or 0, last or 0
    assert [place_of(number, *own) + 1 for number in range(len(each))] == each.tolist()
    taken = loads[:, each - 1]
    most = np.max([taken[:, on::clusters].sum(axis=1) for on in range(clusters)], axis=0)
    assert sums_of(clusters, len(each), before, HELD, *own, loads) == (
        max(most[CORES], most[CORES + 1]), most[CORES + 2], most[CHAIN], most[HELD],
        taken[LINK].sum(),
    )  # fmt: skip


@pytest.mark.parametrize("last", [None, 1])
@given(
    shape=st.sampled_from([(16, 16), (128, 128), (512, 64), (512, 512)]),
    time=st.sampled_from(["1 ns", "256 ns", "1 us", "2 us"]),
    choice=st.sampled_from(CHOICES),
    order=st.tuples(st.booleans(), st.none() | st.integers(1, 8), st.integers(1, 3)),
    tokens=st.integers(1, 80),
    buffers=st.integers(1, 3),
    every=st.booleans(),
    output_buffers=st.integers(1, 2),
)
def test_no_batch_beats_its_bound(
    last: int | None, shape: tuple[int, int], time: str, choice: LoraChoice,
    order: tuple[bool, int | None, int], tokens: int, buffers: int, every: bool,
    output_buffers: int,
) -> None:  # fmt: skip
    """Of any size; a bound is a time, or what remains once so many tokens are integrated."""
    changes = {"tile.integration_time": time, "tile.output_buffers": output_buffers}
    machine = load_machine("ahwa_lora_2026", {"cluster.count": 3, **changes})
    early, first, clusters = order
    assert_no_batch_beats_its_bound(
        machine, shape, choice, BatchOrder(early, first, last, clusters), tokens, buffers, every
    )


@given(st.integers(1, 40), st.sampled_from(CHOICES), st.booleans())
def test_no_batch_of_layers_without_overlap_beats_its_bound(
    tokens: int, choice: LoraChoice, every: bool
) -> None:
    order = BatchOrder(overlap=False)
    machine = load_machine("ahwa_lora_2026")
    assert_no_batch_beats_its_bound(machine, (128, 64), choice, order, tokens, 1, every)


def assert_no_batch_beats_its_bound(
    machine: Machine, shape: tuple[int, int], choice: LoraChoice, order: BatchOrder, tokens: int,
    buffers: int, every: bool,
) -> None:  # fmt: skip
    sizes = np.arange(1, tokens + 1)
    columns: Any = [np.full_like(sizes, side) for side in (*shape, 8)]
    program = LoraProgram(*columns, sizes, choice)  # type: ignore[arg-type]
    held = np.full_like(sizes, buffers)
    bounds = np.zeros((1 + 2 * LINES, tokens), np.int64)
    asked = Bounded(machine, np.full_like(sizes, tokens), program, held, order, every)
    asked.fill(order.clusters, False, bounds)
    vector = machine.tile.mvm_ps(*shape, 1)
    least = np.maximum(bounds[0], (bounds[1::2] * vector + bounds[2::2]).max(axis=0))
    job = Job(place(layer(*shape), machine), tokens, engine("compiled"))
    assert machine.cluster is not None
    for size in {1, tokens, *range(2, tokens, 1 + tokens // 8)}:
        own = LoraProgram(*shape, 8, size, choice)
        batching = Batching.of(machine.cluster, own, buffers, order, tokens)
        layout = Layout(job)
        layout.adapted(job.mapping.layers[0], batching)
        assert least[size - 1] <= job.run_ps(layout.builder.build())
