"""What an adapter does, counted beside its definition."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridsim.arch import load_machine
from hybridsim.errors import UnsupportedError
from hybridsim.programs import CHOICES, LoraChoice, LoraProgram
from hybridsim.programs.lora_activity import Activity, batch_activity, weights_activity

CLUSTER = load_machine("ahwa_lora_2026").cluster
assert CLUSTER is not None
ALL = [
    *CHOICES,
    LoraChoice(unit="balanced", order="direct"),
    LoraChoice(unit="matrix_engine", order="direct", add="separate"),
    LoraChoice(unit="cores", order="direct", add="separate"),
]
sizes = st.integers(1, 96)


def naive_macs(tokens: int, inner: int, outer: int, rank: int) -> int:
    """One multiplication per term of each sum of X A and of U B."""
    first = sum(inner for _ in range(tokens) for _ in range(rank))
    return first + sum(rank for _ in range(tokens) for _ in range(outer))


@settings(max_examples=40)
@given(
    choice=st.sampled_from(ALL), tokens=sizes, inner=sizes, outer=sizes,
    rank=st.sampled_from((4, 8, 16)), slices=st.integers(1, 3),
)  # fmt: skip
def test_every_way_multiplies_what_the_definition_does(
    choice: LoraChoice, tokens: int, inner: int, outer: int, rank: int, slices: int
) -> None:
    width = ceil(outer / slices)
    program = LoraProgram(inner, outer, rank, tokens, choice, width)
    try:
        done = batch_activity(program, CLUSTER)
    except UnsupportedError:
        return
    total = sum((activity for activity in done.values()), Activity())
    assert total.macs == naive_macs(tokens, inner, outer, rank)
    assert total.link_bytes == 2 * tokens * (inner + 2 * outer)
    assert total.tcdm_bytes >= total.link_bytes
    for (_, unit), activity in done.items():
        if unit == "matrix_engine":
            assert activity.engine_slots >= activity.macs
        else:
            assert activity.engine_slots == 0
    if choice.unit == "cores":
        assert total.engine_slots == 0
        assert total.tcdm_bytes == total.link_bytes


@pytest.mark.parametrize("choice", CHOICES)
def test_weights_are_moved_whole(choice: LoraChoice) -> None:
    done = weights_activity(LoraProgram(512, 128, 8, 32, choice), CLUSTER)
    assert done["load a", "dma"].link_bytes == 512 * 8 * 2
    assert done["load b", "dma"].tcdm_bytes == 128 * 8 * 2


def test_buffers_are_zeroed_in_full_rows_of_the_array() -> None:
    """36 rows on an array of 8 take 40 rows of U, two bytes each."""
    done = batch_activity(LoraProgram(512, 128, 8, 36, CHOICES[0]), CLUSTER)
    assert done["zero u", "dma"] == Activity(tcdm_bytes=40 * 8 * 2)
    swapped = batch_activity(LoraProgram(512, 128, 4, 36, CHOICES[1]), CLUSTER)
    assert swapped["zero u", "dma"] == Activity(tcdm_bytes=8 * 36 * 2)


def test_activities_add_and_repeat() -> None:
    one = Activity(1, 2, 3, 4)
    assert one + one == one * 2 == Activity(2, 4, 6, 8)
