"""A split covers the result once, keeps the reduction whole, and follows the hardware."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.components.matrix_engine import MatrixEngine
from hybridsim.errors import SpecError
from hybridsim.kernels.split import CoreSplit, EngineSplit, multiply
from tests.kernels.oracles import law

sizes = st.integers(1, 40)
splits = st.one_of(
    st.builds(CoreSplit, cores=st.integers(1, 12)),
    st.builds(
        EngineSplit,
        height=st.sampled_from([1, 2, 4, 8]),
        width=st.integers(1, 24),
        pipe_regs=st.integers(0, 3),
    ),
)


def shapes_of(blocks, rows, columns):
    whole = np.empty((rows, columns))
    return [whole[block].shape for block in blocks]


@law
@given(splits, sizes, sizes)
def test_every_element_belongs_to_exactly_one_block(split, rows, columns):
    times = np.zeros((rows, columns), int)
    for block in split.blocks(rows, columns):
        times[block] += 1
    assert (times == 1).all()


@law
@given(st.integers(1, 12), sizes, sizes)
def test_no_more_blocks_than_cores_and_none_larger_than_the_timing_model_says(
    cores, rows, columns
):
    shapes = shapes_of(CoreSplit(cores).blocks(rows, columns), rows, columns)
    assert len(shapes) <= cores
    assert max(height for height, _ in shapes) == -(-rows // cores)
    assert max(width for _, width in shapes) == -(-columns // max(1, cores // rows))


@law
@given(splits, st.integers(0, 2**32), sizes, sizes, sizes)
def test_a_split_product_is_the_whole_product(split, seed, m, n, k):
    """With integers, so that equality has nothing to do with rounding."""
    rng = np.random.default_rng(seed)
    x, w, y = (rng.integers(-99, 99, shape) for shape in ((m, n), (n, k), (m, k)))
    z = multiply(lambda x, w, y: x @ w + y, x, w, y, split)
    np.testing.assert_array_equal(z, x @ w + y)


@law
@given(splits, sizes, sizes, sizes)
def test_every_block_sees_the_whole_reduction(split, m, n, k):
    seen = set()

    def gemm(x, w, y):
        seen.add(x.shape[1])
        assert (x.shape[0], w.shape[0], w.shape[1]) == (y.shape[0], x.shape[1], y.shape[1])
        return y

    ones = (np.ones(shape, np.float32) for shape in ((m, n), (n, k), (m, k)))
    multiply(gemm, *ones, split)
    (reduction,) = seen
    assert reduction >= n


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (16, 5, [(2, 5)] * 8),  # two rows each
        (8, 5, [(1, 5)] * 8),
        (17, 5, [(3, 5)] + [(2, 5)] * 7),  # the first core takes rows 0, 8 and 16
        (1, 16, [(1, 2)] * 8),  # eight cores share the row
        (1, 4, [(1, 1)] * 4),
        (2, 10, [(1, 3), (1, 3), (1, 3), (1, 1)] * 2),
        (3, 8, [(1, 4)] * 6),  # two cores a row, two cores idle
        (5, 8, [(1, 8)] * 5),
    ],
)
def test_the_split_over_eight_cores(rows, columns, expected):
    assert shapes_of(CoreSplit(cores=8).blocks(rows, columns), rows, columns) == expected


def test_the_engine_computes_full_tiles_over_a_padded_reduction():
    """RedMulE with H=4, L=12, P=3: tiles of 12 x 16, a reduction in steps of 4."""
    shapes = []

    def gemm(x, w, y):
        shapes.append((x.shape, w.shape, y.shape))
        return y

    operands = (np.ones(shape, np.float32) for shape in ((13, 9), (9, 17), (13, 17)))
    z = multiply(gemm, *operands, EngineSplit(height=4, width=12, pipe_regs=3))
    assert shapes == [((12, 12), (12, 16), (12, 16))] * 4
    assert z.shape == (13, 17)


def test_a_short_reduction_is_padded_to_twice_the_engine_height():
    x, w, y = (np.ones(shape, np.float32) for shape in ((1, 3), (3, 2), (1, 2)))
    padded, _, _ = EngineSplit(height=4, width=12, pipe_regs=3).pad(x, w, y)
    assert padded.shape == (12, 8)
    np.testing.assert_array_equal(padded[0], [1, 1, 1, 0, 0, 0, 0, 0])
    assert not padded[1:].any()


def test_operands_are_padded_to_what_the_engine_is_given():
    """Rank 8 on a height of 8: the engine pads to n = 24, past a hazard."""
    taken = MatrixEngine(array_height=8, array_width=24, pipe_regs=3, port_width="512 bit").padded
    x, w, y = (np.ones(shape, np.float32) for shape in ((48, 8), (8, 128), (48, 128)))
    padded, other, _ = EngineSplit(height=8, width=24, pipe_regs=3, taken=taken).pad(x, w, y)
    assert padded.shape == (48, 24)
    assert other.shape == (24, 128)
    assert not padded[:, 8:].any()


def test_a_unit_of_nothing_is_refused():
    with pytest.raises(SpecError, match=r"CoreSplit\.cores: found 0"):
        CoreSplit(cores=0)
    with pytest.raises(SpecError, match=r"EngineSplit\.height: found 0"):
        EngineSplit(height=0, width=12, pipe_regs=3)
    with pytest.raises(SpecError, match=r"EngineSplit\.width: found -1"):
        EngineSplit(height=4, width=-1, pipe_regs=3)
    with pytest.raises(SpecError, match=r"EngineSplit\.pipe_regs: found -1; write 0"):
        EngineSplit(height=4, width=12, pipe_regs=-1)
