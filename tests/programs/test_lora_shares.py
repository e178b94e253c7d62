"""How rows are shared between both units, against every share of every batch, one by one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Cluster, load_machine
from hybridsim.programs import BALANCED, CHOICES, LoraProgram
from hybridsim.programs.lora_shares import MOST_SHARES, with_shares
from hybridsim.units import ceil_div

BOTH = CHOICES[3]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = load_machine("ahwa_lora_2026").cluster
    assert found is not None
    return found


def busy(program: LoraProgram, cluster: Cluster, u: int, v: int) -> tuple[int, int]:
    """Return how long engine and cores work with so many rows of both products on the engine."""
    shared = replace(program, shares=(u, v))
    total = {"cores": 0, "matrix_engine": 0, "dma": 0}
    for kernel in shared.kernels:
        total[kernel.unit] += cluster.cycles(kernel.work)
    zero = total["dma"] if program.choice == BOTH else 0
    return total["matrix_engine"] + zero, total["cores"]


def naive_shares(program: LoraProgram, cluster: Cluster) -> tuple[int, int]:
    """Return the first of the best shares, each tried by itself."""
    tokens = program.tokens
    if program.choice == BOTH:
        tried = [(rows, rows) for rows in range(tokens + 1)]
        return min(tried, key=lambda own: max(busy(program, cluster, *own)))
    step = ceil_div(tokens, MOST_SHARES)
    rows = sorted({*range(0, tokens + 1, step), tokens})
    each = [(u, v) for u in rows for v in rows]
    costs = {own: busy(program, cluster, *own) for own in each}
    return min(each, key=lambda own: (max(costs[own]), sum(costs[own])))


sizes = st.tuples(st.integers(1, 600), st.integers(1, 300), st.integers(1, 20), st.integers(1, 9))
widths = st.none() | st.integers(60, 200)
transfers = st.sampled_from([8, 64])


@given(
    points=st.lists(st.tuples(sizes, transfers), min_size=1, max_size=3),
    width=widths,
    balanced=st.booleans(),
    often=st.sampled_from([1, 30]),
)
@settings(max_examples=40, deadline=None)
def test_rows_of_columns_are_shared_as_each_batch_by_itself(
    cluster: Cluster, points: list[tuple[tuple[int, ...], int]], width: int | None,
    balanced: bool, often: int,
) -> None:  # fmt: skip
    """However many slices each has, on clusters whose DMA differs."""
    choice = BALANCED if balanced else BOTH
    columns = [np.tile(column, often) for column in np.array([own for own, _ in points]).T]
    beat = np.tile([beat for _, beat in points], often)
    wide = cluster.model_copy(
        update={"dma": cluster.dma.model_copy(update={"bytes_per_cycle": beat})}
    )
    program = LoraProgram(*columns, choice, width)  # type: ignore[arg-type]
    found = with_shares(program, wide).shares
    assert found is not None
    for at, (own, _) in enumerate(points * often):
        one = LoraProgram(*own, choice, width)
        if at < len(points):
            assert (found[0][at], found[1][at]) == naive_shares(one, wide.taken(at))
            assert one.on(wide.taken(at)).shares == (found[0][at], found[1][at])
        assert [int(rows[at]) for rows in found] == [int(r[at % len(points)]) for r in found]


@given(
    points=st.lists(sizes, min_size=2, max_size=5), width=widths,
    asked=st.lists(
        st.tuples(st.booleans(), transfers, st.lists(st.integers(0, 4), min_size=1)),
        min_size=2, max_size=4,
    ),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_it_makes_no_difference_what_was_asked_for_before(
    cluster: Cluster, points: list[tuple[int, ...]], width: int | None,
    asked: list[tuple[bool, int, list[int]]],
) -> None:  # fmt: skip
    """Some of the same batches again, of this or another choice, on this or another DMA."""
    for balanced, beat, places in asked:
        own = cluster.model_copy(
            update={"dma": cluster.dma.model_copy(update={"bytes_per_cycle": beat})}
        )
        choice = BALANCED if balanced else BOTH
        some = [points[place % len(points)] for place in places]
        found = with_shares(LoraProgram(*np.array(some).T, choice, width), own).shares
        alone = [LoraProgram(*one, choice, width).on(own).shares for one in some]
        assert np.array(found).T.tolist() == [list(shares or ()) for shares in alone]


@pytest.mark.parametrize("tokens", [MOST_SHARES, MOST_SHARES + 1, 3 * MOST_SHARES - 1])
def test_long_batches_are_shared_in_steps(cluster: Cluster, tokens: int) -> None:
    one = LoraProgram(64, 32, 8, tokens, BALANCED)
    u, v = one.on(cluster).engine_rows
    step = ceil_div(tokens, MOST_SHARES)
    assert all(rows % step == 0 or rows == tokens for rows in (u, v))
    best = max(busy(one, cluster, u, v))
    for rows in range(0, tokens + 1, step):
        assert best <= max(busy(one, cluster, rows, rows))
