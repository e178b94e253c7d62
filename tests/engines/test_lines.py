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


def test_kinds_that_take_as_long_in_all_are_alike() -> None:
    """Kinds 0 and 2 have a last and a usual batch each, kind 1 one more; kind 3 is as kind 0."""
    sizes = [0, 1, 0, 1, 2, 0, 2, 0, 1]
    steps = StepTimes(
        once_ps=np.array([[1, 1, 1, 1], [4, 4, 4, 4]]),
        once_tokens=np.zeros((2, 4), np.int64),
        steps_ps=np.array([sizes, sizes]) + 10,
        tokens=np.array(sizes),
        begin=np.array([0, 2, 5, 7]),
        before=np.array([0, 1, 0, 0]),
        after=np.array([1, 1, 1, 1]),
    )
    every, alone = np.arange(4), np.array([7, 7, 7, 8])
    assert steps.alike(every, np.zeros(4, np.int64)).tolist() == [0, 1, 2, 0]
    assert steps.alike(every, alone).tolist() == [0, 1, 2, 3]
