"""What batches of ramps and of several clusters take, against sums over each batch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.strategies.layers.batches import BatchOrder, BatchSizes, SizeColumns
from hybridsim.strategies.layers.bounded import place_of, sums_of
from hybridsim.strategies.layers.loads import CHAIN, CORES, HELD, LINK, LOADS


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
