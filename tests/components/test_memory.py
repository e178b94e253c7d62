"""Memory outside of the clusters."""

import numpy as np
import pytest

import hybridsim
from hybridsim.components.memory import Dram, Memory
from hybridsim.errors import SpecError


def test_embedding_rows_of_mobilebert_take_as_long_as_published() -> None:
    """HARP: 128 tokens of 128 + 512 + 512 bytes at 800 MiB/s take 0.1758 ms."""
    dram = Dram(bandwidth="800 MiB/s")  # type: ignore[arg-type]
    assert dram.transfer_ps(128 * (128 + 512 + 512)) / 1e9 == pytest.approx(0.1758, abs=0.0001)


def test_sizes_may_be_arrays() -> None:
    dram = Dram(bandwidth="3 kB/s")  # type: ignore[arg-type]
    assert dram.transfer_ps(np.array([0, 1000, 3000])).tolist() == [0, 333_333_333_334, 10**12]


def test_memory_is_optional_in_every_part() -> None:
    memory = Memory(sram=None, dram=None, activation_width="8 bit")  # type: ignore[arg-type]
    assert Memory.model_validate(memory.to_text()) == memory
    assert hybridsim.load_machine("ahwa_lora_2026").activation_bits == 16
    assert hybridsim.load_machine("harp_2026").activation_bits == 8
    bare = hybridsim.load_machine("harp_2026", {"memory": None, "cluster": None})
    assert bare.activation_bits == 8


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("memory.dram.bandwidth", "0 B/s"),
        ("memory.sram.size", "-1 KiB"),
        ("memory.activation_width", 8),
        ("cluster.plain_count", -1),
        ("tile.sharing", "speed"),
        ("tile.periphery.residual", 3),
    ],
)
def test_values_of_no_sense_are_refused(path: str, value: object) -> None:
    with pytest.raises(SpecError, match=path.replace(".", r"\.")):
        hybridsim.load_machine("harp_2026", {path: value})
