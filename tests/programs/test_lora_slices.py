"""Adapters in slices of their inputs: the same work, less room, never faster."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hybridsim
from hybridsim.arch import Cluster, load_machine
from hybridsim.errors import CapacityError, UnsupportedError
from hybridsim.mapping import place
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram
from hybridsim.strategies import Job, make_strategy


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    found = load_machine("llm_2026").cluster
    assert found is not None
    return found


shapes = st.tuples(
    st.sampled_from([512, 768, 2048]),
    st.sampled_from([128, 512, 2048]),
    st.sampled_from([8, 16]),
    st.integers(1, 48),
)


@given(shape=shapes, choice=st.sampled_from(CHOICES), inputs=st.sampled_from([128, 500, 512]))
@settings(max_examples=30, deadline=None)
def test_slices_cover_all_inputs_and_cost_no_less(
    cluster: Cluster, shape: tuple[int, int, int, int], choice: LoraChoice, inputs: int
) -> None:
    whole = LoraProgram(*shape, choice).on(cluster)
    sliced = LoraProgram(*shape, choice, slice_inputs=inputs).on(cluster)
    assert sum(sliced.input_slices) == shape[0]
    assert max(sliced.input_slices) <= inputs
    assert sliced.compute_cycles(cluster) >= whole.compute_cycles(cluster)
    assert sliced.tcdm_bytes(cluster, 1) <= whole.tcdm_bytes(cluster, 1)


@given(shape=shapes, choice=st.sampled_from(CHOICES))
@settings(max_examples=40, deadline=None)
def test_one_slice_of_everything_is_the_same_program(
    cluster: Cluster, shape: tuple[int, int, int, int], choice: LoraChoice
) -> None:
    whole = LoraProgram(*shape, choice).on(cluster)
    sliced = LoraProgram(*shape, choice, slice_inputs=shape[0]).on(cluster)
    assert sliced.kernels == whole.kernels


def test_room_of_a_sliced_adapter_by_hand(cluster: Cluster) -> None:
    """2 B x (16 x 512 of A or B, and per token 512 of X, 16 of U, 512 of Y); on the cores."""
    program = LoraProgram(14336, 4096, 16, 8, CHOICES[2], 512, 512)
    assert program.tcdm_bytes(cluster, 1) == 2 * (16 * 512 + 8 * (512 + 16 + 512))


def test_x_is_free_only_after_its_last_slice(cluster: Cluster) -> None:
    for choice in CHOICES[:3]:
        program = LoraProgram(1536, 512, 8, 16, choice, slice_inputs=512)
        products = [kernel for kernel in program.kernels if kernel.work.label == "xa"]
        assert [kernel.frees for kernel in products] == [(), (), ("x",)]


def test_balanced_takes_all_inputs_at_once(cluster: Cluster) -> None:
    with pytest.raises(UnsupportedError, match="unit=balanced takes all inputs at once"):
        LoraProgram(1024, 512, 8, 16, BALANCED, slice_inputs=512).on(cluster)


def test_whole_networks_cut_adapters_that_outgrow_the_scratchpad() -> None:
    """Down projections of Llama-3.1-8B: A alone is 448 KiB, a cluster has 128 KiB."""
    network, machine = hybridsim.load("llama_3_1_8b", "llm_2026")
    job = Job(place(network, machine), 1, past=8)
    schedule = make_strategy("network", {"batch": "all"}).schedule(job)
    assert machine.cluster is not None
    adapted = [layer for layer in schedule.layers if layer.choice]
    assert len(adapted) == 224
    assert max(layer.tcdm_bytes for layer in adapted) <= machine.cluster.tcdm.size


def test_strategies_for_layers_name_those_that_cut() -> None:
    network, machine = hybridsim.load("llama_3_2_1b", "llm_2026")
    with pytest.raises(CapacityError, match=r"which adapts in slices"):
        hybridsim.simulate(network, machine, make_strategy("token_parallel"), 8)
