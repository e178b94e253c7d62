"""Tables of what batches take: looked up, or priced as they are."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hybridsim
from hybridsim.programs import BALANCED, CHOICES, LoraChoice, LoraProgram
from hybridsim.programs.lora_shares import with_shares
from hybridsim.strategies.layers.trials import _most_that_fit
from hybridsim.strategies.layers.way_times import WayTimes, looked_up


@pytest.mark.parametrize("choice", [*CHOICES, BALANCED], ids=str)
@pytest.mark.parametrize("columns", [None, 96])
def test_what_is_looked_up_is_what_batches_are_priced_at(
    choice: LoraChoice, columns: int | None
) -> None:
    """Three layers that cut into as many slices, their batches in any order and some twice."""
    _, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026", {"link.width": "4 B/cycle"})
    draw = np.random.default_rng(len(str(choice)))
    sizes = draw.integers(1, 40, 120)
    shapes = np.array([(128, 160, 8), (160, 192, 4), (96, 100, 8)], np.int64)
    sides: Any = shapes[draw.integers(3, size=120)].T
    tokens: Any = sizes
    program = LoraProgram(*sides, tokens, choice, columns)
    known = looked_up(machine, program)
    assert known is not None
    assert machine.cluster is not None
    priced = WayTimes.of(machine, with_shares(program, machine.cluster), machine.cluster)
    assert np.array_equal(known.steps_ps, priced.steps_ps)
    assert np.array_equal(known.loads, priced.loads)


def test_batches_of_few_sizes_or_many_layers_are_priced_as_they_are() -> None:
    _, machine = hybridsim.load("layer_512x128", "ahwa_lora_2026")
    sizes: Any = np.array([700, 701])
    assert looked_up(machine, LoraProgram(128, 128, 8, sizes, CHOICES[0])) is None
    sides: Any = np.arange(17, 57)
    assert looked_up(machine, LoraProgram(sides, 128, 8, sides, CHOICES[0])) is None


def test_a_batch_that_fills_the_scratchpad_to_the_last_byte_fits() -> None:
    """And no token more: of 100 B, ten tokens of 10 B, four of 25 B, and none of 101 B."""
    each = np.array([10, 25, 101, 10])

    def of(there: np.ndarray, size: np.ndarray) -> tuple[SimpleNamespace, SimpleNamespace]:
        taken = each[there] * size
        program = SimpleNamespace(tcdm_bytes=lambda cluster, buffers: taken * buffers)
        return program, SimpleNamespace(tcdm=SimpleNamespace(size=100))

    most = np.array([64, 64, 64, 7])
    assert _most_that_fit(np.arange(4), most, of).tolist() == [10, 4, 0, 7]
