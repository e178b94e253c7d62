import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridsim.components.offload import Offload

OFFLOAD = Offload(
    barrier="3 cycles",
    barrier_interval="2 cycles",
    wake_up="10 cycles",
    flag_wake_up="12 cycles",
    peripheral_store="4 cycles",
    peripheral_queue="11 cycles",
    peripheral_load="9 cycles",
    engine_registers=10,
)


@pytest.mark.parametrize(("stores", "measured"), [(10, 29), (16, 54)])
def test_posted_stores_take_what_was_measured(stores, measured):
    """Snitch cluster RTL, stores to a peripheral register."""
    assert OFFLOAD.stores_cycles(stores) == pytest.approx(measured, abs=1)


@pytest.mark.parametrize(("stores", "measured"), [(10, 48), (16, 73)])
def test_a_load_waits_for_the_stores_before_it(stores, measured):
    """Snitch cluster RTL, stores and one read-back."""
    both = OFFLOAD.stores_arrived_cycles(stores) + OFFLOAD.peripheral_load
    assert both == pytest.approx(measured, abs=1)


def test_barriers_take_what_was_measured():
    """Snitch cluster RTL: one 3 cycles, 32 back to back 65."""
    assert OFFLOAD.barrier_cycles(1) == 3
    assert OFFLOAD.barrier_cycles(32) == 65


def test_polling_cores_wake_one_after_the_other():
    """Snitch cluster RTL: first of 8 after 12 cycles, last after 19."""
    assert OFFLOAD.flag_wake_cycles(1) == 12
    assert OFFLOAD.flag_wake_cycles(8) == 19


def test_programming_an_engine_is_made_of_its_parts():
    """Acquire 9, ten registers and a trigger at 4 each, wake-up 10.

    The measurements bracket it: 30-55 for the registers, 10-20 for a status read, about 10 to
    wake up.
    """
    assert OFFLOAD.program_engine_cycles() == 9 + 11 * 4 + 10
    assert 30 + 10 + 10 <= OFFLOAD.program_engine_cycles() <= 55 + 20 + 10


@given(registers=st.integers(1, 64))
def test_one_more_register_costs_one_more_store(registers):
    more = OFFLOAD.trigger_cycles(registers + 1) - OFFLOAD.trigger_cycles(registers)
    assert more == OFFLOAD.peripheral_store
    assert OFFLOAD.program_engine_cycles(registers) > OFFLOAD.trigger_cycles(registers)


@given(stores=st.integers(1, 100))
def test_the_core_goes_on_before_its_stores_arrive(stores):
    assert stores <= OFFLOAD.stores_cycles(stores) < OFFLOAD.stores_arrived_cycles(stores)
    assert OFFLOAD.stores_cycles(stores) <= OFFLOAD.stores_cycles(stores + 1)


@given(counts=st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_arrays_cost_what_their_elements_cost(counts):
    many = np.array(counts, np.int64)
    for cost in (
        OFFLOAD.barrier_cycles,
        OFFLOAD.flag_wake_cycles,
        OFFLOAD.stores_cycles,
        OFFLOAD.stores_arrived_cycles,
    ):
        assert cost(many).tolist() == [cost(count) for count in counts]


def test_an_offload_reads_back_what_it_writes():
    assert Offload(**OFFLOAD.to_text()) == OFFLOAD
