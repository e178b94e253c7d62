"""Laws of the matrix engine, on arrays that were measured and on arrays that were not."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hybridsim.components.matrix_engine import HAZARDS, MOST, MatrixEngine
from hybridsim.components.redmule_contents import Outcome, outcome
from hybridsim.components.redmule_cycles import WORKS, Hazard, outcome_of, parts, reciprocal
from hybridsim.components.redmule_replay import replay
from hybridsim.components.redmule_waits import wait_tables
from hybridsim.errors import UnsupportedError
from hybridsim.machine_code.functions import MachineCode

MEASURED = ((4, 12), (4, 8), (8, 24))
NARROW = ((4, 8), (4, 4), (2, 4), (8, 16))
"""Height and width with L < H P: the port has room to spare while X is loaded."""
FULL = ((4, 12), (8, 24), (2, 6))
"""L = H P, the designers' limit: W and X alone can fill the port."""
BEYOND = ((4, 16), (2, 12), (8, 32), (2, 32))
"""Wider than the designers' limit; nobody measured one."""

arrays = st.sampled_from(NARROW + FULL + BEYOND)
sizes = st.integers(1, 200)
few_examples = settings(max_examples=60, deadline=None)


def engine(array: tuple[int, int]) -> MatrixEngine:
    height, width = array
    return MatrixEngine(
        array_height=height, array_width=width, pipe_regs=3, port_width=f"{64 * height} bit"
    )


@pytest.mark.parametrize(
    ("array", "shape", "cycles"),
    [
        ((4, 12), (96, 96, 96), 18540),  # 99.4 % of 48 MAC/cycle; 58.5 GFLOPS at 613 MHz, as
        # published by Tortorella et al., FGCS 2023
        ((4, 8), (64, 64, 64), 8285),  # 31.64 MAC/cycle; published 31.6, DATE 2022
        ((8, 24), (64, 64, 64), 1702),
    ],
)
def test_published_utilization(array, shape, cycles):
    assert engine(array).gemm_cycles(*shape) == pytest.approx(cycles, rel=0.001)


def test_peak_is_the_size_of_the_array():
    assert engine((4, 12)).macs_per_cycle == engine((4, 12)).peak == 48


def test_spec_reads_back_what_it_writes():
    spec = engine((8, 24))
    assert MatrixEngine.model_validate(spec.to_text()) == spec


@pytest.mark.parametrize("width", ["128 bit", "512 bit", "288 bit"])
def test_a_port_that_does_not_fit_the_array_is_refused(width):
    with pytest.raises(ValidationError, match="write '256 bit'"):
        MatrixEngine(array_height=4, array_width=8, pipe_regs=3, port_width=width)


@given(number=st.integers(0, 2**19), size=st.integers(1, 2**19 - 1))
@example(number=2**19, size=2**19 - 1)
def test_parts_are_a_division_rounded_up(number, size):
    for own in (number, number // size * size, number // size * size + 1):
        assert parts(own, size, reciprocal(size)) == -(-own // size)


@given(array=arrays, m=sizes, n=sizes, k=sizes)
@example(array=(4, 16), m=12, n=177, k=49)
@few_examples
def test_terms_add_up(array, m, n, k):
    terms = engine(array).gemm_terms(m, n, k)
    assert list(terms) == ["setup", "preload", "compute", "port_wait", "z_wait", "drain"]
    assert all(term >= 0 for term in terms.values())
    assert sum(terms.values()) == engine(array).gemm_cycles(m, n, k)


@given(array=arrays, shapes=st.lists(st.tuples(sizes, sizes, sizes), min_size=1, max_size=8))
@few_examples
def test_arrays_and_ints_agree(array, shapes):
    spec = engine(array)
    m, n, k = np.array(shapes, dtype=np.int64).T
    for equation in (spec.gemm_cycles, spec.raw_cycles, spec.hazard, spec.gemm_bytes):
        together, single = equation(m, n, k), [equation(*shape) for shape in shapes]
        assert together.dtype == np.int64
        assert all(type(one) is int for one in single)
        assert together.tolist() == single
    assert np.stack(spec.padded(m, n, k), axis=1).tolist() == [
        list(spec.padded(*shape)) for shape in shapes
    ]


def test_sizes_may_be_mixed_and_shaped():
    spec = engine((4, 8))
    cycles = spec.gemm_cycles(np.arange(1, 7).reshape(2, 3), 128, np.int64(8))
    assert cycles.shape == (2, 3)
    assert cycles[1, 2] == spec.gemm_cycles(6, 128, 8)
    assert spec.gemm_cycles(np.array([], np.int64), 128, 8).shape == (0,)


@given(array=arrays, m=sizes, n=sizes, k=sizes)
@few_examples
def test_never_faster_than_the_array(array, m, n, k):
    spec = engine(array)
    assert spec.raw_cycles(m, n, k) * spec.peak >= m * n * k
    assert spec.gemm_cycles(m, n, k) * spec.peak >= m * n * k


@given(array=arrays, m=sizes, n=st.integers(9, 200), k=sizes)
@example(array=(8, 24), m=49, n=57, k=61)
@few_examples
def test_a_tile_more_costs_at_least_its_multiplications(array, m, n, k):
    """A further row or column of tiles adds P + 1 cycles per row of W for each of its tiles.

    Waits for the port are left out: with the tile more, the last one may wait a cycle less.
    """
    spec, (height, width) = engine(array), array
    n = max(n, 3 * height + 1)
    compute = 4 * -(-n // height) * height
    cycles = spec.raw_cycles(m, n, k) - spec.gemm_terms(m, n, k)["port_wait"]
    assert spec.raw_cycles(m + width, n, k) >= cycles + compute * -(-k // spec.tile_columns)
    assert spec.raw_cycles(m, n, k + spec.tile_columns) >= cycles + compute * -(-m // width)


@given(array=st.sampled_from(NARROW), down=st.integers(2, 9), across=st.integers(2, 9),
       n=st.integers(9, 200))  # fmt: skip
@few_examples
def test_full_tiles_add_up_where_the_port_has_room(array, down, across, n):
    """L < H P and n > 3 H: no tile waits, so tiles cost what they compute and nothing else."""
    spec, (height, width) = engine(array), array
    n = max(n, 3 * height + 1)
    one = spec.raw_cycles(width, n, 2 * spec.tile_columns)
    compute = 4 * -(-n // height) * height
    many = spec.raw_cycles(down * width, n, across * spec.tile_columns)
    assert many == one + (down * across - 2) * compute


@given(array=st.sampled_from(NARROW), m=sizes, n=st.integers(9, 200), k=sizes)
@few_examples
def test_monotone_where_the_port_has_room(array, m, n, k):
    """The unpadded job gets faster by no row, step of the reduction or column, but for a cycle.

    On an array of 2 x 4, one column more than 37 x 9 x 39 ends a cycle sooner.
    """
    spec = engine(array)
    n = max(n, 3 * array[0] + 1)
    cycles = spec.raw_cycles(m, n, k) - 1
    assert cycles <= spec.raw_cycles(m + 1, n, k)
    assert cycles <= spec.raw_cycles(m, n + 1, k)
    assert cycles <= spec.raw_cycles(m, n, k + 1)


def test_the_measured_machine_is_not_monotone():
    """Measured on 4 x 12: 8 rows of X with n = 8 take longer than 12 rows (2338, 2258)."""
    spec = engine((4, 12))
    eight, twelve = (spec.gemm_cycles(rows, 8, 768) for rows in (8, 12))
    assert eight == pytest.approx(2338, rel=0.01)
    assert twelve == pytest.approx(2258, rel=0.01)
    assert eight > twelve


@given(array=st.sampled_from(NARROW + FULL), data=st.data())
@few_examples
def test_close_to_the_replay(array, data):
    """Of unmeasured shapes and arrays that work: within 5 % of the machine stepped through."""
    spec, (height, width) = engine(array), array
    m, k = data.draw(st.integers(1, 4 * width)), data.draw(st.integers(1, 16 * height))
    n = data.draw(st.integers(height + 1, 12 * height))
    if spec.hazard(m, n, k) == Hazard.NONE:
        cycles = spec.replayed_cycles(m, n, k)
        assert abs(spec.raw_cycles(m, n, k) - cycles) <= 0.05 * cycles + 2


@pytest.mark.parametrize("array", [(4, 8), (4, 12)])
def test_waits_for_z_are_those_of_the_replay(array):
    """Products of few rows of W make the array wait for its output buffer; deep ones do not."""
    spec = engine(array)
    for m, n, k in ((40, 8, 96), (120, 8, 96), (64, 16, 96), (96, 64, 96)):
        assert spec.hazard(m, n, k) == Hazard.NONE
        waits = replay(*array, 3, m, n, k).z_wait
        assert (waits > 0) == (n == 8), (n, waits)
        assert abs(spec.gemm_terms(m, n, k)["z_wait"] - waits) <= 0.05 * waits


@pytest.mark.parametrize(
    ("array", "shape"),
    [((2, 8), (106, 6, 151)), ((2, 8), (116, 6, 77)), ((2, 8), (34, 6, 59)),
     ((4, 16), (104, 10, 78)), ((4, 16), (77, 9, 78))],
)  # fmt: skip
def test_waits_for_the_port_and_for_z_are_told_apart(array, shape):
    """In jobs that wait for both; within 1 % of their cycles."""
    spec, run = engine(array), replay(*array, 3, *shape)
    terms = spec.gemm_terms(*shape)
    for found, waits in ((terms["port_wait"], run.port_wait), (terms["z_wait"], run.z_wait)):
        assert waits > 0
        assert abs(found - waits) <= 0.01 * run.cycles


@given(m=st.integers(1, 30), n=st.integers(1, 20), k=st.integers(1, 50), with_y=st.booleans())
@settings(max_examples=10, deadline=None)
def test_machine_code_replays_what_python_does(m, n, k, with_y):
    """Jobs that end, and jobs that hang: the same cycles and waits to the cycle."""
    fast = replay(4, 12, 3, m, n, k, with_y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MachineCode, "__call__", lambda own, *given: own.py_func(*given))
        assert replay(4, 12, 3, m, n, k, with_y) == fast


@given(array=st.sampled_from(NARROW + FULL), m=sizes, n=st.integers(1, 60), k=sizes)
@few_examples
def test_padding_makes_a_job_work(array, m, n, k):
    """What is charged has no hazard, covers the job, and is charged the same when asked for."""
    spec = engine(array)
    shape = spec.padded(m, n, k)
    assert spec.hazard(*shape) == Hazard.NONE
    assert spec.padded(*shape) == shape
    assert all(padded >= size for padded, size in zip(shape, (m, n, k), strict=True))
    assert spec.gemm_cycles(m, n, k) == spec.raw_cycles(*shape)
    if spec.hazard(m, n, k) == Hazard.NONE:
        assert shape == (m, n, k)


@pytest.mark.parametrize(
    ("array", "shape", "hazard", "padded"),
    [
        ((4, 12), (16, 4, 128), Hazard.SHORT_REDUCTION, (16, 8, 128)),
        ((4, 12), (12, 3, 16), Hazard.SHORT_REDUCTION, (12, 8, 16)),
        ((8, 24), (128, 8, 128), Hazard.SHORT_REDUCTION, (128, 24, 128)),
        ((4, 12), (24, 8, 16), Hazard.SHORT_TALL, (24, 12, 16)),
        ((4, 12), (144, 9, 16), Hazard.TALL_RAGGED, (144, 12, 16)),
        ((4, 8), (8, 17, 32), Hazard.EARLY_PAD, (8, 24, 32)),
        ((4, 12), (8, 17, 32), Hazard.EARLY_PAD, (8, 24, 32)),
        ((4, 8), (16, 32, 17), Hazard.NARROW_EDGE, (16, 32, 32)),
        ((4, 12), (24, 8, 21), Hazard.DEADLOCK, (24, 8, 32)),
        ((8, 24), (128, 16, 128), Hazard.OVERTAKEN, (128, 24, 128)),
    ],
)
def test_each_measured_hazard(array, shape, hazard, padded):
    """One measured row (hung or wrong) per hazard; the padding is zeros in X and W."""
    assert engine(array).hazard(*shape) == hazard
    assert engine(array).padded(*shape) == padded
    assert HAZARDS[hazard]


@pytest.mark.parametrize(
    ("array", "shape"),
    [((4, 12), (132, 9, 16)), ((4, 12), (180, 13, 16)), ((4, 12), (24, 8, 17)),
     ((4, 8), (10, 20, 12)), ((4, 12), (12, 4, 16)), ((4, 12), (128, 8, 768))],
)  # fmt: skip
def test_neighbours_of_a_hazard_that_were_measured_to_work(array, shape):
    assert engine(array).hazard(*shape) == Hazard.NONE


def test_without_y_only_one_tile_works():
    spec = engine((4, 12))
    assert spec.gemm_cycles(12, 16, 16, with_y=False) == 156  # measured
    assert spec.hazard(13, 16, 16, with_y=False) == Hazard.NO_Y
    with pytest.raises(UnsupportedError, match="filled with zeros"):
        spec.gemm_cycles(np.array([12, 13]), 16, 16, with_y=False)


@pytest.mark.parametrize("shape", [(0, 8, 8), (8, -1, 8), (8, 8, MOST + 1)])
def test_impossible_sizes_are_refused(shape):
    with pytest.raises(UnsupportedError, match="must be 1 to 65535"):
        engine((4, 12)).gemm_cycles(*shape)


@given(array=st.sampled_from([(4, 12), (8, 24)]), m=st.integers(1, 400), k=st.integers(1, 400),
       heights=st.integers(2, 3))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_a_long_job_fails_when_its_cut_form_does(array, m, heights, k):
    tables, n = wait_tables(*array, 3), heights * array[0]
    found = tables.settled(lambda: outcome_of(tables.array, tables.waits, m, n, k))
    assert (found == WORKS) == (outcome(*array, 3, m, n, k) == Outcome.WORKS)


@given(array=st.sampled_from(NARROW + FULL), m=sizes, n=st.integers(9, 100), k=sizes)
@few_examples
def test_what_is_charged_uses_the_right_rows(array, m, n, k):
    """The padded shape runs to its end with the X that belongs to it, stepped through."""
    shape = engine(array).padded(m, max(n, array[0] + 1), k)
    assert outcome(*array, 3, *shape) == Outcome.WORKS


def test_rank_eight_on_a_height_of_eight_is_padded_past_its_hazard_and_charged():
    """Published RTL: H = 8, n = 16 and several rows of tiles, wrong in 21 of 21 cases.

    48 x 16 x 128 took 923 cycles, and 48 x 24 x 128, which is right, 1,060.
    """
    spec = engine((8, 24))
    assert spec.raw_cycles(48, 16, 128) == 923
    assert spec.hazard(48, 16, 128) == Hazard.OVERTAKEN
    assert spec.padded(48, 8, 128) == spec.padded(48, 16, 128) == (48, 24, 128)
    assert spec.gemm_cycles(48, 8, 128) == 1060
    assert spec.hazard(24, 16, 128) == Hazard.NONE


def test_a_job_that_hangs_has_no_cycles():
    with pytest.raises(UnsupportedError, match="hangs"):
        engine((4, 12)).replayed_cycles(24, 8, 21)


def test_buffers_hold_whole_rows_of_tiles():
    """Measured: 8 x 8 x 8 on 4 x 12 writes 64 bytes (4 rows of 8) beyond its 8 rows."""
    spec = engine((4, 12))
    assert spec.buffer_rows(8) == 12
    assert spec.buffer_rows(np.array([1, 12, 13])).tolist() == [12, 12, 24]
    assert spec.gemm_bytes(8, 8, 8) == 2 * (8 * 8 + 8 * 8 + 12 * 8)
    assert spec.gemm_bytes(13, 4, 16, element_bytes=1) == 13 * 12 + 12 * 16 + 24 * 16
