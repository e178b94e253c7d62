"""A layer on a cluster: blocks that fit, and what is moved and multiplied of them."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hybridsim.arch import Cluster, load_machine
from hybridsim.programs.product import ProductWork

CLUSTER = load_machine("ahwa_lora_2026").cluster
assert CLUSTER is not None

sizes = st.integers(1, 100)


def cluster(kib: int) -> Cluster:
    tcdm = CLUSTER.tcdm.model_copy(update={"size": kib * 1024})
    return CLUSTER.model_copy(update={"tcdm": tcdm})


def naive(work: ProductWork, on: Cluster) -> tuple[int, int, int]:
    """Return cycles, bytes moved and products, block after block in three loops."""
    blocks, size, dma = work.blocks(on), on.element_bytes, on.dma
    cycles = moved = macs = 0
    for row in range(0, work.rows, blocks.rows):
        rows = min(blocks.rows, work.rows - row)
        lies_there = None
        for column in range(0, work.columns, blocks.columns):
            columns = min(blocks.columns, work.columns - column)
            for at in range(0, work.inputs, blocks.inputs):
                inputs = min(blocks.inputs, work.inputs - at)
                fetched = [inputs * columns * size]
                if lies_there != (row, at):
                    fetched.append(rows * inputs * size)
                    lies_there = row, at
                cycles += sum(dma.transfer_cycles(each) for each in fetched)
                shape = (rows, inputs, columns)
                again = blocks.inputs < work.inputs
                kernel = work.kernel(type(blocks)(*shape), again)
                cycles += on.cycles(kernel)
                moved += sum(fetched)
                macs += rows * inputs * columns
            stored = rows * columns * size
            cycles += dma.transfer_cycles(stored, source="tcdm")
            moved += stored
    return int(cycles), moved, macs


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, st.booleans(), st.sampled_from([1, 4, 128]))
@example(64, 512, 128, True, 128)
@example(1, 300, 300, False, 1)
def test_a_product_costs_what_its_blocks_cost_one_after_the_other(
    rows: int, inputs: int, columns: int, on_engine: bool, kib: int
) -> None:
    work, on = ProductWork(rows, inputs, columns, on_engine), cluster(kib)
    cycles, moved, macs = naive(work, on)
    assert macs == rows * inputs * columns
    assert work.moved_bytes(on) == moved
    assert work.time_ps(on) == on.to_ps(cycles)
    assert 0 < work.tcdm_bytes(on) <= on.tcdm.size


def test_what_fits_comes_once_and_what_does_not_is_cut() -> None:
    whole = ProductWork(64, 128, 128, True)
    assert (*whole.blocks(CLUSTER),) == (64, 128, 128)
    assert whole.passes(CLUSTER) == 1
    assert whole.moved_bytes(CLUSTER) == 2 * (64 * 128 + 128 * 128 + 64 * 128)
    wide = ProductWork(64, 512, 512, True)
    assert wide.blocks(CLUSTER).columns < 512
    assert wide.passes(CLUSTER) == 1
    assert ProductWork(20_000, 4096, 512, True).passes(CLUSTER) == 4
