import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.components.dma import Dma

FIELDS = {
    "bytes_per_cycle": "64 B/cycle",
    "issue_1d": "15 cycles",
    "issue_2d": "30 cycles",
    "first_byte_from_memory": "15 cycles",
    "first_byte_from_tcdm": "12 cycles",
    "rows_ahead": 5,
    "short_rows": 5,
    "short_rows_cycles": "8 cycles",
}
WIDE = Dma(**FIELDS)
STORING = Dma(**FIELDS, store_burst=32, store_ahead=3)
NARROW = Dma(**{**FIELDS, "bytes_per_cycle": "8 B/cycle"})

SIZES = st.integers(1, 1 << 20)
ROWS = st.integers(1, 200)
ENGINES = st.sampled_from([WIDE, NARROW, STORING])
SOURCES = st.sampled_from(["memory", "tcdm"])


def seen_after(cycles: int, strided: bool) -> int:
    """The first of the looks, five cycles apart, at which the measured program saw it idle."""
    phase = 1 if strided else 3
    return next(look for look in range(phase, 10**6, 5) if look >= cycles)


@pytest.mark.parametrize(
    ("size", "cycles"), [(64, 33), (1024, 48), (4096, 98), (8192, 158), (65536, 1058)]
)
def test_contiguous_loads_are_exact(size, cycles):
    """Snitch cluster RTL, DRAM to TCDM, with the polling of that program."""
    assert seen_after(WIDE.transfer_cycles(size), strided=False) == cycles


@pytest.mark.parametrize(("size", "cycles"), [(1024, 43), (4096, 93), (16384, 283), (32768, 543)])
def test_contiguous_copies_are_exact(size, cycles):
    """Snitch cluster RTL, TCDM to TCDM."""
    assert seen_after(WIDE.transfer_cycles(size, source="tcdm"), strided=False) == cycles


@pytest.mark.parametrize(
    ("size", "cycles"),
    [
        (4, 28),
        (64, 28),
        (256, 33),
        (512, 43),
        (1024, 58),
        (8192, 158),
        (32768, 543),
        (65536, 1053),
    ],
)
def test_contiguous_stores_are_exact(size, cycles):
    """Snitch cluster RTL, TCDM to DRAM: 512 B and 1 KiB are slow, 2 KiB and more are not."""
    taken = STORING.transfer_cycles(size, source="tcdm")
    assert seen_after(taken, strided=False) == cycles
    assert WIDE.transfer_cycles(size, source="tcdm") <= taken
    copied = STORING.transfer_cycles(size, source="tcdm", to="tcdm")
    assert copied == WIDE.transfer_cycles(size, source="tcdm")


@pytest.mark.parametrize(
    ("rows", "row", "cycles"),
    [(1, 64, 46), (16, 64, 71), (32, 64, 96), (32, 128, 111), (2, 512, 61), (32, 1024, 561)],
)
def test_strided_loads_are_exact(rows, row, cycles):
    """Snitch cluster RTL, 2-D DRAM to TCDM; rows of one beat cost 1.6 cycles."""
    taken = WIDE.transfer_cycles(rows * row, rows, strided=True)
    assert seen_after(taken, strided=True) == cycles


@pytest.mark.parametrize(("size", "cycles"), [(1024, 150), (4096, 535)])
def test_queued_transfers_hide_their_latency(size, cycles):
    """Snitch cluster RTL, 8 back to back: the model is 8 cycles late, a shorter issue there."""
    assert WIDE.queued_cycles(size, 8) == pytest.approx(cycles, abs=8)


@given(dma=ENGINES, size=SIZES, rows=ROWS, source=SOURCES)
def test_a_transfer_is_never_faster_than_its_beats(dma, size, rows, source):
    cycles = dma.transfer_cycles(size, rows, source=source)
    assert type(cycles) is int
    assert cycles * dma.bytes_per_cycle > size
    assert dma.beats(size, rows) >= dma.beats(size)


@given(dma=ENGINES, size=SIZES, rows=ROWS, source=SOURCES)
def test_more_bytes_never_take_less(dma, size, rows, source):
    cost = dma.transfer_cycles
    assert cost(size, rows, source=source) <= cost(size + 1, rows, source=source)
    assert cost(size, 1, source=source) <= cost(size, rows, source=source)


@given(dma=ENGINES, row=st.integers(1, 5000), rows=ROWS)
def test_more_rows_never_take_less(dma, row, rows):
    cost = dma.transfer_cycles
    assert cost(row * rows, rows, strided=True) <= cost(row * (rows + 1), rows + 1, strided=True)


@given(beats=st.integers(1, 999), more=st.integers(1, 999))
def test_whole_beats_add_up(beats, more):
    """The second part of a transfer costs its beats alone."""
    together = WIDE.transfer_cycles(64 * (beats + more))
    assert together == WIDE.transfer_cycles(64 * beats) + more


@given(dma=ENGINES, size=SIZES, transfers=st.integers(1, 50))
def test_a_queue_lies_between_its_data_and_its_parts(dma, size, transfers):
    queued = dma.queued_cycles(size, transfers)
    assert transfers * dma.beats(size) < queued <= transfers * dma.transfer_cycles(size)
    assert dma.queued_cycles(size, 1) == dma.transfer_cycles(size)


@given(shapes=st.lists(st.tuples(SIZES, ROWS), min_size=1, max_size=6), dma=ENGINES)
def test_arrays_cost_what_their_elements_cost(shapes, dma):
    sizes, rows = (np.array(column, np.int64) for column in zip(*shapes, strict=True))
    assert dma.transfer_cycles(sizes, rows).tolist() == [dma.transfer_cycles(*s) for s in shapes]
    assert dma.queued_cycles(sizes, rows).tolist() == [dma.queued_cycles(*s) for s in shapes]


def test_a_narrow_engine_needs_eight_times_the_beats():
    assert NARROW.beats(4096) == 8 * WIDE.beats(4096) == 512
    assert NARROW.transfer_cycles(4096) == 30 + 512


def test_a_dma_reads_back_what_it_writes():
    assert Dma(**NARROW.to_text()) == NARROW
