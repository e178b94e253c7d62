"""The adapter program: what runs where, how long, and how much memory it takes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import Cluster, load_machine
from hybridsim.errors import UnsupportedError
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram

DIRECT, SWAPPED, CORES, BOTH = CHOICES


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = load_machine("ahwa_lora_2026").cluster
    assert found is not None
    return found


shapes = st.tuples(
    st.sampled_from([64, 128, 384, 512, 768]),
    st.sampled_from([64, 128, 384, 512, 768]),
    st.sampled_from([4, 8, 16]),
    st.integers(1, 128),
)


@given(shape=shapes, choice=st.sampled_from(CHOICES))
@settings(max_examples=100, deadline=None)
def test_no_program_is_faster_than_its_units_at_their_peak(
    cluster: Cluster, shape: tuple[int, int, int, int], choice: LoraChoice
) -> None:
    inner, outer, rank, tokens = shape
    macs = tokens * rank * (inner + outer)
    peak = 48 + 8 * 4  # 4 x 12 fused multiply-adds on the engine, 4 lanes on each of 8 cores
    assert LoraProgram(cluster, *shape, choice).compute_cycles >= macs / peak


@given(shape=shapes)
@settings(max_examples=60, deadline=None)
def test_both_units_together_are_no_slower_than_the_better_one(
    cluster: Cluster, shape: tuple[int, int, int, int]
) -> None:
    both = LoraProgram(cluster, *shape, BOTH).compute_cycles
    alone = [LoraProgram(cluster, *shape, choice).compute_cycles for choice in (DIRECT, CORES)]
    assert both <= min(alone)


@given(shape=shapes, choice=st.sampled_from(CHOICES), buffers=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_memory_is_at_least_the_published_need(
    cluster: Cluster, shape: tuple[int, int, int, int], choice: LoraChoice, buffers: int
) -> None:
    """2 B x (in r + r out + t in + t r + t out); more where the engine writes full rows."""
    program = LoraProgram(cluster, *shape, choice)
    published = cluster.tcdm.lora_bytes(*shape)
    assert program.tcdm_bytes(1) >= published
    assert program.tcdm_bytes(buffers) - program.tcdm_bytes(1) == (buffers - 1) * (
        program.tcdm_bytes(2) - program.tcdm_bytes(1)
    )


def test_the_engine_pays_for_being_programmed_in_each_product(cluster: Cluster) -> None:
    assert cluster.matrix_engine is not None
    kernels = LoraProgram(cluster, 512, 128, 8, 16, DIRECT).kernels
    alone = cluster.matrix_engine.gemm_cycles(16, 512, 8)
    assert kernels[1].cycles == alone + cluster.offload.program_engine_cycles()


def test_swapping_pays_for_transposing_the_input(cluster: Cluster) -> None:
    """Tokens arrive one vector at a time, so X^T has to be made."""
    units = [kernel.unit for kernel in LoraProgram(cluster, 512, 128, 8, 64, SWAPPED).kernels]
    assert units == ["dma", "cores", "matrix_engine", "cores", "matrix_engine"]


def test_the_engine_computes_in_half_precision_only() -> None:
    cluster = load_machine("ahwa_lora_2026", {"cluster.precision": "fp32"}).cluster
    assert cluster is not None
    with pytest.raises(UnsupportedError, match="fp16, not fp32"):
        _ = LoraProgram(cluster, 128, 128, 8, 8, DIRECT).kernels
    assert LoraProgram(cluster, 128, 128, 8, 8, CORES).compute_cycles > 0
