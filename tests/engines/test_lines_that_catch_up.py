"""Lines of points on which a tile that is ahead is caught up with, batch by batch."""

from typing import Any

import numpy as np
import pytest

from hybridsim.arch import load_machine
from hybridsim.engines.lines import StepTimes
from hybridsim.mapping import place
from hybridsim.programs import CHOICES
from hybridsim.strategies import Job
from hybridsim.strategies.layers.outlines import ONCE, Steps, pipeline_of
from hybridsim.validation.strategies import layer


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("buffers", [2, 5])
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_what_comes_back_in_time_need_not_do_so_along_a_line(
    choice: Any, buffers: int, early: bool
) -> None:
    """A kernel takes as long as the MVMs of a batch, but more in the first one; so the tile is
    ahead, always by the same time. Where a vector takes longer it is so by less with each batch,
    until the tile sets the pace: periods of the first point tell nothing of that."""
    job = Job(place(layer(64, 64), load_machine("ahwa_lora_2026", {"tile.output_buffers": 8})), 8)
    own = pipeline_of(Steps(choice, 1, early, True, 1), buffers, job, 8)
    vector, once = np.arange(18, 26), np.ones((ONCE, 1), np.int64)
    batches = np.full_like(vector, 150)
    for kernel in range(1, int(own.steps.row.max()) + 1):
        steps = np.ones((int(own.steps.row.max()) + 1, 2), np.int64)
        steps[0], steps[kernel] = 0, (65, 20)
        tokens, ends = np.array([1, 1]), [np.array([n]) for n in (0, 1, 0)]
        times = StepTimes(once, 0 * once, steps, tokens, *ends)
        line = own.makespans(times, 0 * vector, vector, batches)
        for at in range(len(vector)):
            point = 0 * vector[:1], vector[at : at + 1], batches[:1]
            assert own.makespans(times, *point) == line[at], (kernel, vector[at])
