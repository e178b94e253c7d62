"""Points on lines: what their works take, and what tasks of batches take."""

import numpy as np

from hybridsim.engines.lines import Lines, StepTimes


def test_a_point_takes_what_its_kind_takes_and_more_with_each_place() -> None:
    lines = Lines(np.array([[1, 2], [0, 5]]), np.array([1, 0, 1]), np.array([3, 7, 0]))
    time_ps = np.array([[10, 20], [30, 40]])
    assert lines.times(time_ps).tolist() == [[20 + 6, 10 + 7, 20], [40 + 15, 30, 40]]
    some = lines.taken(np.array([2, 0]))
    assert some.times(time_ps).tolist() == [[20, 26], [40, 55]]
    apart = Lines.apart(time_ps)
    assert apart.times(time_ps).tolist() == time_ps.tolist()


def test_slots_are_what_is_done_once_then_each_entry_of_each_step() -> None:
    """Kinds 0 and 2 have a last, a first and a usual batch each; kind 1 has others in between."""
    entries = np.arange(8)
    steps = StepTimes(
        once_ps=np.array([[1, 2, 3], [4, 5, 6]]),
        once_tokens=np.array([[0, 0, 0], [7, 7, 8]]),
        steps_ps=np.array([10 + entries, 20 + entries]),
        tokens=100 + entries,
        begin=np.array([0, 3, 5]),
        before=np.array([1, 1, 1]),
        after=np.array([1, 0, 1]),
    )
    time_ps, tokens = steps.slots(np.arange(8), np.array([0, 2]))
    assert time_ps.T.tolist() == [[1, 4, 10, 11, 12, 20, 21, 22], [3, 6, 15, 16, 17, 25, 26, 27]]
    assert tokens.T.tolist() == [[0, 7, 100, 101, 102, 0, 0, 0], [0, 8, 105, 106, 107, 0, 0, 0]]
    time_ps, tokens = steps.slots(np.array([5, 1, 3]), np.array([1]))
    assert (time_ps.T.tolist(), tokens.T.tolist()) == ([[24, 5, 14]], [[0, 7, 104]])
