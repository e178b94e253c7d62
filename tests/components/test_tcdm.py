from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.components.tcdm import Tcdm

TCDM = Tcdm(size="128 KiB", banks=32, bank_width="64 bit")
FEATURES = st.integers(1, 2000)
RANKS = st.integers(1, 64)


@pytest.mark.parametrize(
    ("features", "tokens", "size"),
    [((128, 128), 8, 8_320), ((128, 128), 128, 71_680), ((512, 128), 8, 20_608),
     ((512, 128), 128, 176_128)],
)  # fmt: skip
def test_an_adapter_takes_the_published_bytes(features, tokens, size):
    """AHWA-LoRA (2026): rank 8, 2-byte elements."""
    assert TCDM.lora_bytes(*features, 8, tokens) == size
    assert TCDM.fits(size) == (size <= 131_072)


@given(
    features=st.tuples(FEATURES, FEATURES), rank=RANKS, element=st.sampled_from([1, 2, 4]),
    double=st.booleans(),
)  # fmt: skip
def test_the_largest_batch_fits_and_the_next_does_not(features, rank, element, double):
    most = TCDM.most_tokens(*features, rank, element, double_buffered=double)

    def fits(tokens: int) -> bool:
        return TCDM.fits(TCDM.lora_bytes(*features, rank, tokens, element, double_buffered=double))

    assert fits(most) or most == 0
    assert not fits(most + 1)


@given(features=st.tuples(FEATURES, FEATURES), rank=RANKS, tokens=st.integers(1, 500))
def test_a_second_buffer_costs_one_more_of_x_and_y(features, rank, tokens):
    single = TCDM.lora_bytes(*features, rank, tokens)
    double = TCDM.lora_bytes(*features, rank, tokens, double_buffered=True)
    assert double - single == 2 * tokens * sum(features)


@given(tokens=st.lists(st.integers(1, 500), min_size=1, max_size=5))
def test_arrays_cost_what_their_elements_cost(tokens):
    many = np.array(tokens, np.int64)
    assert TCDM.lora_bytes(128, 512, 8, many).tolist() == [
        TCDM.lora_bytes(128, 512, 8, t) for t in tokens
    ]
    assert TCDM.most_tokens(many, many, 8).tolist() == [TCDM.most_tokens(t, t, 8) for t in tokens]
    assert TCDM.stream_cycles(many, 4).tolist() == [4 * t for t in tokens]
    assert TCDM.beside_dma_cycles(many, 2, 64).tolist() == [
        TCDM.beside_dma_cycles(t, 2, 64) for t in tokens
    ]


@pytest.mark.parametrize(("cores", "cycles"), [(2, 573), (4, 1075), (8, 2090)])
def test_a_bank_serves_one_access_a_cycle(cores, cycles):
    """Snitch cluster RTL: 256 accesses per core; some 50 cycles of set-up are not the bank's."""
    assert 40 <= cycles - TCDM.stream_cycles(256, cores) <= 65


def test_a_stream_alone_is_served_in_each_cycle():
    assert TCDM.stream_cycles(256, 1) == 256


def test_streams_wait_for_the_dma_as_measured():
    """Snitch cluster RTL: 461 cycles beside a DMA, 334 to 347 without, for 256 elements."""
    slower = TCDM.beside_dma_cycles(256, 2, 64) - 256
    assert slower == pytest.approx(461 - 340, rel=0.1)


@pytest.mark.parametrize(("streams", "beat"), [(1, 64), (2, 64), (3, 64), (2, 8), (1, 256)])
def test_streams_wait_for_the_dma_as_often_as_they_meet_it(streams, beat):
    """All places of the streams, against a beat on the first banks."""
    places = list(product(range(32), repeat=streams))
    meeting = sum(any(bank < beat // 8 for bank in place) for place in places)
    cycles = TCDM.beside_dma_cycles(len(places), streams, beat)
    assert cycles == len(places) + meeting


def test_a_tcdm_reads_back_what_it_writes():
    assert Tcdm(**TCDM.to_text()) == TCDM
