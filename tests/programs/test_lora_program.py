"""The adapter program: what runs where, how long, and how much memory it takes."""

import numpy as np
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
    peak = 32 + 8 * 4  # 4 x 8 fused multiply-adds on the engine, 4 lanes on each of 8 cores
    assert LoraProgram(*shape, choice).on(cluster).compute_cycles(cluster) >= macs / peak


@given(shape=shapes)
@settings(max_examples=60, deadline=None)
def test_both_units_together_are_no_slower_than_the_better_one(
    cluster: Cluster, shape: tuple[int, int, int, int]
) -> None:
    both = LoraProgram(*shape, BOTH).on(cluster).compute_cycles(cluster)
    alone = [
        LoraProgram(*shape, choice).on(cluster).compute_cycles(cluster)
        for choice in (DIRECT, CORES)
    ]
    assert both <= min(alone)


@given(shape=shapes, choice=st.sampled_from(CHOICES), buffers=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_memory_is_at_least_the_published_need(
    cluster: Cluster, shape: tuple[int, int, int, int], choice: LoraChoice, buffers: int
) -> None:
    """2 B x (in r + r out + t in + t r + t out); more where the engine writes full rows."""
    program = LoraProgram(*shape, choice)
    published = cluster.tcdm.lora_bytes(*shape)
    assert program.tcdm_bytes(cluster, 1) >= published
    assert program.tcdm_bytes(cluster, buffers) - program.tcdm_bytes(cluster, 1) == (
        buffers - 1
    ) * (program.tcdm_bytes(cluster, 2) - program.tcdm_bytes(cluster, 1))


def test_the_engine_pays_for_being_programmed_in_each_product(cluster: Cluster) -> None:
    assert cluster.matrix_engine is not None
    kernels = LoraProgram(512, 128, 8, 16, DIRECT).kernels
    alone = cluster.matrix_engine.gemm_cycles(16, 512, 8)
    assert cluster.cycles(kernels[1].work) == alone + cluster.offload.program_engine_cycles()


def test_swapping_pays_for_transposing_the_input(cluster: Cluster) -> None:
    """Tokens arrive one vector at a time, so X^T has to be made."""
    units = [kernel.unit for kernel in LoraProgram(512, 128, 8, 64, SWAPPED).kernels]
    assert units == ["dma", "cores", "matrix_engine", "cores", "matrix_engine"]


def test_the_engine_computes_in_half_precision_only() -> None:
    cluster = load_machine("ahwa_lora_2026", {"cluster.precision": "fp32"}).cluster
    assert cluster is not None
    with pytest.raises(UnsupportedError, match="fp16, not fp32"):
        LoraProgram(128, 128, 8, 8, DIRECT).cycles(cluster)
    assert LoraProgram(128, 128, 8, 8, CORES).compute_cycles(cluster) > 0


def test_a_program_holds_no_cluster_and_is_shared_between_machines(cluster: Cluster) -> None:
    """A faster clock changes what kernels take, not what they are, nor how rows are shared."""
    clock = cluster.clock.model_copy(update={"frequency": 2 * cluster.clock.frequency})
    faster = cluster.model_copy(update={"clock": clock})
    for choice in CHOICES:
        program = LoraProgram(512, 128, 8, 16, choice)
        assert program.on(cluster) == program.on(faster)
        for kernel in program.on(cluster).kernels:
            assert faster.time_ps(kernel.work) == -(-cluster.time_ps(kernel.work) // 2)


def test_a_kernel_without_rows_takes_a_picosecond(cluster: Cluster) -> None:
    for kernel in LoraProgram(512, 128, 8, 16, BOTH, shares=(0, 0)).kernels:
        idle = kernel.work.part != "cores"
        assert (cluster.time_ps(kernel.work) == 1) == idle


@given(
    shapes=st.lists(shapes, min_size=1, max_size=6),
    choice=st.sampled_from(CHOICES[:3]),
    add=st.sampled_from(["fused", "separate"]),
)
@settings(max_examples=40, deadline=None)
def test_columns_give_what_single_programs_give(
    cluster: Cluster, shapes: list[tuple[int, int, int, int]], choice: LoraChoice, add: str
) -> None:
    choice = choice.model_copy(update={"add": add})
    columns = LoraProgram(*np.array(shapes, np.int64).T, choice)  # type: ignore[arg-type]
    together = np.stack(np.broadcast_arrays(*columns.cycles(cluster)))
    for place, shape in enumerate(shapes):
        single = LoraProgram(*shape, choice)
        assert tuple(together[:, place]) == single.cycles(cluster)
        room = columns.tcdm_bytes(cluster, 2)[place]  # type: ignore[index]
        assert room == single.tcdm_bytes(cluster, 2)
